"""Distinguished names and the extensions the client reads."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final, TypeVar

from smki_sync.model.certificate import EUI_OCTETS, Eui, KeyId, eui_of, key_id_of
from smki_sync.x509.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    SET,
    MalformedDer,
    check_bits,
    children,
    intern_value,
    read,
    read_all,
)

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
    except MalformedDer:
        return found
    return found


def silent(reader: Callable[[bytes], Said | None]) -> Callable[[bytes], Said | None]:
    """Make the reader of a value one of a whole extension: ``None`` where that is empty or malformed."""

    @wraps(reader)
    def ask(extension: bytes) -> Said | None:
        try:
            return reader(_value(extension)) if extension else None
        except MalformedDer:
            return None

    return ask


def _value(extension: bytes) -> bytes:
    """Take the value out of what stands behind the identifier: perhaps ``critical``, then the value."""
    at, end = 0, len(extension)
    if extension[0] == BOOLEAN:
        _, at = read(extension, at, end, BOOLEAN)
    start, stop = read(extension, at, end, OCTET_STRING)
    if stop != end:
        raise MalformedDer(f"{end - stop} octets behind the value of an extension")
    return extension[start:stop]


@intern_value
@silent
def read_key_usage(value: bytes) -> bytes | None:
    """Read the flags of keyUsage: the first in the highest bit, octets without a flag left off."""
    start, stop = read_all(value, BIT_STRING)
    check_bits(value, start, stop)
    return value[start + 1 : stop].rstrip(b"\0")


@intern_value
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


@intern_value
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
    except MalformedDer:
        return None
    return eui_of(value[start:stop]) if stop - start == EUI_OCTETS else None


KEY_CERT_SIGN_CONSTRAINTS: Final = 0x04
CRL_SIGN: Final = 0x02
"""Flags in the first octet of keyUsage (RFC 5280 4.2.1.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """basicConstraints (RFC 5280 4.2.1.9). ``path_length``: ``None`` for no limit."""

    is_ca: bool = False
    path_length: int | None = None


@intern_value
def read_flags(value: bytes) -> int:
    """Read keyUsage: its first octet, plus 256 where any flag of a later octet is set; 0 for none."""
    try:
        start, stop = read_all(value, BIT_STRING)
        check_bits(value, start, stop)
    except MalformedDer:
        return 0
    flags = value[start + 1 : stop].rstrip(b"\0")
    return flags[0] + 256 * (len(flags) > 1) if flags else 0


@intern_value
def read_constraints(value: bytes) -> Constraints:
    """Read basicConstraints; what is malformed makes no authority."""
    try:
        at, end = read_all(value, SEQUENCE)
        if at == end or value[at] != BOOLEAN:
            return Constraints()
        start, at = read(value, at, end, BOOLEAN)
        is_ca, limit = any(value[start:at]), None
        if at < end:
            start, at = read(value, at, end, INTEGER)
            limit = int.from_bytes(value[start:at], signed=True)
    except MalformedDer:
        return Constraints()
    return Constraints(is_ca=is_ca, path_length=limit)


_SHORT_NAMES = {  # RFC 4514 section 3
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_UNIQUE_IDENTIFIER = "2.5.4.45"  # x500UniqueIdentifier: an organisation's EUI-64 (Appendix M)
_ENCODINGS = {  # by tag, as pyca/cryptography reads them: strings, octets, times, then the two wide ones
    **dict.fromkeys((4, 12, 18, 19, 20, 22, 23, 24, 26), "utf-8"),
    28: "utf-32-be",
    30: "utf-16-be",
}
_ESCAPES = str.maketrans({"\0": "\\00"} | {c: f"\\{c}" for c in '\\"+,;<>'})
_ROLE = re.compile(r"[0-9A-Fa-f]{2}")

ARC_BITS_LIMIT = 128
"""Bits of one arc of an object identifier: the largest in use are UUIDs (X.667)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """``text``: RFC 4514, empty for an empty name. ``role``, ``eui``: ``None`` where it has none."""

    text: str
    role: int | None
    eui: Eui | None


@intern_value
def read_name(octets: bytes) -> Name:
    """Read the value of a Name, its header left off; raises :class:`MalformedDer`.

    The role is the first OU that is two hex digits, the EUI-64 the first x500UniqueIdentifier of
    eight whole octets (Appendix M, Organisation profile).
    """
    parts: list[str] = []
    role, eui = None, None
    for tag, start, stop in children(octets, 0, len(octets)):
        if tag != SET or start == stop:
            raise MalformedDer(f"no part of a name at octet {start} of the name")
        texts = []
        for attribute in children(octets, start, stop):
            kind, value, text = _attribute(octets, *attribute)
            texts.append(f"{kind}={text}")
            if kind == "OU" and role is None and _ROLE.fullmatch(text):
                role = int(text, 16)
            if kind == _UNIQUE_IDENTIFIER and eui is None:
                eui = _eui(value)
        parts.append("+".join(texts))
    return Name(text=",".join(reversed(parts)), role=role, eui=eui)


def _attribute(octets: bytes, tag: int, at: int, end: int) -> tuple[str, bytes, str]:
    """Read one AttributeTypeAndValue: its name, its value as an element, its value as text."""
    if tag != SEQUENCE:
        raise MalformedDer(f"no attribute at octet {at} of the name")
    start, stop = read(octets, at, end, OID)
    dotted = _dotted(octets[start:stop])
    values = list(children(octets, stop, end))
    if len(values) != 1:
        raise MalformedDer(f"{len(values)} values in one attribute at octet {at} of the name")
    kind, first, last = values[0]
    return (
        _SHORT_NAMES.get(dotted, dotted),
        octets[stop:end],
        _text(kind, octets[first:last], octets[stop:end]),
    )


def _text(tag: int, value: bytes, element: bytes) -> str:
    """Write a value as RFC 4514 does; a BIT STRING as pyca/cryptography does, its value alone."""
    if tag == BIT_STRING:
        return f"#{value.hex()}"
    try:
        return _escaped(value.decode(_ENCODINGS[tag]))
    except (KeyError, UnicodeDecodeError):
        return f"#{element.hex()}"


def _escaped(text: str) -> str:
    """Escape what RFC 4514 2.4 wants escaped, also a first ``#`` or blank and a last blank."""
    text = text.translate(_ESCAPES)
    if text.startswith("#") or (text.startswith(" ") and len(text) > 1):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if text.endswith(" ") else text


def _eui(element: bytes) -> Eui | None:
    """Read a BIT STRING of eight whole octets as an EUI-64; ``None`` for anything else."""
    whole = bytes((BIT_STRING, 1 + EUI_OCTETS, 0))  # header, and no unused bits
    if len(element) != len(whole) + EUI_OCTETS or not element.startswith(whole):
        return None
    return eui_of(element[len(whole) :])


def _dotted(octets: bytes) -> str:
    """Write the value of an OBJECT IDENTIFIER in dots (X.690 8.19)."""
    arcs: list[int] = []
    arc = 0
    more = True
    for octet in octets:
        arc = arc << 7 | octet & 0x7F
        if arc.bit_length() > ARC_BITS_LIMIT:
            raise MalformedDer("an object identifier with an absurd number")
        more = octet > 0x7F  # noqa: PLR2004 -- the eighth bit says that the number goes on
        if not more:
            arcs.append(arc)
            arc = 0
    if more:
        raise MalformedDer("an object identifier that is empty or cut off")
    root = min(arcs[0] // 40, 2)
    return ".".join(map(str, (root, arcs[0] - 40 * root, *arcs[1:])))
