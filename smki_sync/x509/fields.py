"""The five extensions that a mirror asks: what a key is for, whose it is, and its identifiers.

For: keyUsage, basicConstraints, subject and authority key identifier, and the hardware module name
in a device's subjectAltName. Refuses: to fail. What is malformed, repeated or unknown says nothing;
the strict parser has its own word on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

from smki_sync.model.identity import EUI_OCTETS, Eui, KeyId, eui_of, key_id_of
from smki_sync.x509.der import (
    BIT_STRING,
    BOOLEAN,
    OCTET_STRING,
    OID,
    SEQUENCE,
    Malformed,
    check_bits,
    read,
    read_all,
)
from smki_sync.x509.memo import remember

# Object identifiers as they stand in the octets, header included (RFC 5280 4.2.1).
SUBJECT_KEY_ID = bytes.fromhex("0603551D0E")
KEY_USAGE = bytes.fromhex("0603551D0F")
SUBJECT_ALT_NAME = bytes.fromhex("0603551D11")
BASIC_CONSTRAINTS = bytes.fromhex("0603551D13")
AUTHORITY_KEY_ID = bytes.fromhex("0603551D23")
_WANTED = frozenset({SUBJECT_KEY_ID, KEY_USAGE, SUBJECT_ALT_NAME, BASIC_CONSTRAINTS, AUTHORITY_KEY_ID})
_OID_OCTETS = 5

DIGITAL_SIGNATURE = b"\x80"
KEY_AGREEMENT = b"\x08"
KEY_CERT_SIGN = 0x04
"""Flags of keyUsage, in its first octet (RFC 5280 4.2.1.3)."""

_KEY_IDENTIFIER = 0x80  # AuthorityKeyIdentifier: [0] IMPLICIT OCTET STRING
_OTHER_NAME = 0xA0  # GeneralName: [0] IMPLICIT OtherName
_OTHER_VALUE = 0xA0  # OtherName: value [0] EXPLICIT
_HARDWARE_MODULE_NAME = bytes.fromhex("06082B06010505070804")  # RFC 4108 section 5

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A hardware module name; ``eui`` is ``None`` where its serial number is no EUI-64."""

    eui: Eui | None


def split_extensions(octets: bytes, at: int, end: int) -> dict[bytes, bytes]:
    """Find the wanted extensions by object identifier, as far as the list is sound.

    Each is given by what stands behind its identifier: nothing where it is repeated, since RFC 5280
    4.2 forbids that and either could be meant.
    """
    found: dict[bytes, bytes] = {}
    try:
        at, end = read(octets, at, end, SEQUENCE)
        while at < end:
            start, at = read(octets, at, end, SEQUENCE)
            oid = octets[start : start + _OID_OCTETS]
            if oid in _WANTED:
                found[oid] = b"" if oid in found else octets[start + _OID_OCTETS : at]
    except Malformed:
        return found
    return found


def silent(reader: Callable[[bytes], Said | None]) -> Callable[[bytes], Said | None]:
    """Make the reader of a value one of a whole extension: ``None`` where that is empty or malformed."""

    @wraps(reader)
    def ask(extension: bytes) -> Said | None:
        try:
            return reader(_value(extension)) if extension else None
        except Malformed:
            return None

    return ask


def _value(extension: bytes) -> bytes:
    """Take the value out of what stands behind the identifier: perhaps ``critical``, then the value."""
    at, end = 0, len(extension)
    if extension[0] == BOOLEAN:
        _, at = read(extension, at, end, BOOLEAN)
    start, stop = read(extension, at, end, OCTET_STRING)
    if stop != end:
        raise Malformed(f"{end - stop} octets behind the value of an extension")
    return extension[start:stop]


@remember
@silent
def read_key_usage(value: bytes) -> bytes | None:
    """Read the flags of keyUsage: the first in the highest bit, octets without a flag left off."""
    start, stop = read_all(value, BIT_STRING)
    check_bits(value, start, stop)
    return value[start + 1 : stop].rstrip(b"\0")


@remember
@silent
def read_authority(value: bytes) -> bool | None:
    """Read basicConstraints: whether the subject is a certification authority (cA, default false)."""
    start, stop = read_all(value, SEQUENCE)
    if start == stop or value[start] != BOOLEAN:
        return False
    start, stop = read(value, start, stop, BOOLEAN)
    return any(value[start:stop])


@silent
def read_subject_key_id(value: bytes) -> KeyId | None:
    """Read subjectKeyIdentifier; an empty one is none."""
    start, stop = read_all(value, OCTET_STRING)
    return key_id_of(value[start:stop]) or None


@remember
@silent
def read_authority_key_id(value: bytes) -> KeyId | None:
    """Read the keyIdentifier of authorityKeyIdentifier; issuer and serial number there are not asked."""
    start, stop = read_all(value, SEQUENCE)
    if start == stop or value[start] != _KEY_IDENTIFIER:
        return None
    start, stop = read(value, start, stop, _KEY_IDENTIFIER)
    return key_id_of(value[start:stop]) or None


@silent
def read_hardware(value: bytes) -> Hardware | None:
    """Find in subjectAltName the first otherName that is a hardware module name (GBCS 12, RFC 4108)."""
    at, end = read_all(value, SEQUENCE)
    while at < end:
        tag = value[at]
        start, at = read(value, at, end, tag)
        if tag == _OTHER_NAME and value.startswith(_HARDWARE_MODULE_NAME, start, at):
            return Hardware(eui=_hardware_serial(value, start + len(_HARDWARE_MODULE_NAME), at))
    return None


def _hardware_serial(value: bytes, at: int, end: int) -> Eui | None:
    """Read hwSerialNum, the second part of a HardwareModuleName; ``None`` unless eight octets."""
    try:
        at, end = read(value, at, end, _OTHER_VALUE)
        at, end = read(value, at, end, SEQUENCE)
        _, at = read(value, at, end, OID)
        start, stop = read(value, at, end, OCTET_STRING)
    except Malformed:
        return None
    return eui_of(value[start:stop]) if stop - start == EUI_OCTETS else None
