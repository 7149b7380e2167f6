"""Distinguished names and the extensions that the client reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple
from unicodedata import normalize

from smki_sync.model.certificate import EUI_SIZE, Eui, KeyId, eui_of, key_id_of
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

# Values of object identifiers (RFC 5280 4.2.1, 5.2, 5.3).
SUBJECT_KEY_ID: Final = bytes.fromhex("551D0E")
KEY_USAGE: Final = bytes.fromhex("551D0F")
SUBJECT_ALT_NAME: Final = bytes.fromhex("551D11")
BASIC_CONSTRAINTS: Final = bytes.fromhex("551D13")
POLICIES: Final = bytes.fromhex("551D20")
AUTHORITY_KEY_ID: Final = bytes.fromhex("551D23")

DIGITAL_SIGNATURE: Final = 0x80
KEY_AGREEMENT: Final = 0x08
KEY_CERT_SIGN: Final = 0x04
CRL_SIGN: Final = 0x02
"""Flags of keyUsage in its first byte (RFC 5280 4.2.1.3)."""

LATER_FLAGS: Final = 0x100
"""Set by :func:`read_key_usage` if a flag of a later byte is set."""

_KEY_IDENTIFIER = 0x80  # AuthorityKeyIdentifier: [0] IMPLICIT OCTET STRING
_OTHER_NAME = 0xA0  # GeneralName: [0] IMPLICIT OtherName
_OTHER_VALUE = 0xA0  # OtherName: value [0] EXPLICIT
_HARDWARE_MODULE_NAME = bytes.fromhex("06082B06010505070804")  # RFC 4108 section 5


class Extension(NamedTuple):
    """One extension. ``value``: the content of its OCTET STRING."""

    critical: bool
    value: bytes


@dataclass(slots=True, kw_only=True)  # frozen takes three times as long to create
class ExtensionList:
    """The extensions of a certificate or a revocation list.

    ``found``: by the value of the object identifier. ``broken``: object identifiers of extensions that
    occur twice, which RFC 5280 4.2 forbids, or are malformed. ``complete``: the list was read to its end.
    """

    found: Mapping[bytes, Extension]
    broken: frozenset[bytes] = frozenset()
    complete: bool = True

    @property
    def is_sound(self) -> bool:
        """Whether every extension could be read and occurs once."""
        return self.complete and not self.broken

    def value(self, oid: bytes) -> bytes | None:
        """Return the value of an extension that can be read and occurs once."""
        return None if oid in self.broken or oid not in self.found else self.found[oid].value

    def is_broken(self, oid: bytes) -> bool:
        """Whether an extension occurs twice, is malformed, or could be in a part that cannot be read."""
        return oid in self.broken or (not self.complete and oid not in self.found)


_CRITICAL: Final = b"\1\1\xff"  # BOOLEAN TRUE in DER
_SHORT: Final = 0x80  # a smaller length is one byte
_NONE: Final[frozenset[bytes]] = frozenset()

NO_EXTENSIONS: Final = ExtensionList(found={})


def read_extensions(data: bytes, at: int, end: int) -> ExtensionList:
    """Read the SEQUENCE of extensions between ``at`` and ``end``, as far as it is sound."""
    found: dict[bytes, Extension] = {}
    broken: set[bytes] = set()
    try:
        at, stop = read(data, at, end, SEQUENCE)
        complete = stop == end
        while at < stop:
            start, at = read(data, at, stop, SEQUENCE)
            first, last = read(data, start, at, OID)
            oid = data[first:last]
            if oid in found:
                broken.add(oid)
            if data[last : last + 3] == _CRITICAL and last + 3 < at:
                critical, last = True, last + 3
            else:
                critical = False
            if last + 1 < at and data[last] == OCTET_STRING and data[last + 1] == at - last - 2 < _SHORT:
                found[oid] = Extension(critical, data[last + 2 : at])
                continue
            try:
                found[oid] = read_extension(data, last, at, critical=critical)
            except MalformedDer:
                found[oid] = Extension(critical=False, value=b"")
                broken.add(oid)
    except MalformedDer:
        complete = False
    return ExtensionList(found=found, broken=frozenset(broken) if broken else _NONE, complete=complete)


def read_extension(data: bytes, at: int, end: int, *, critical: bool = False) -> Extension:
    """Read what follows the object identifier of an extension. Raises :class:`MalformedDer`."""
    if not critical and at < end and data[at] == BOOLEAN:
        start, at = read(data, at, end, BOOLEAN)
        critical = any(data[start:at])
    start, stop = read(data, at, end, OCTET_STRING)
    if stop != end:
        raise MalformedDer(f"{end - stop} bytes after the value of an extension")
    return Extension(critical, data[start:stop])


@intern_value
def read_key_usage(value: bytes) -> int:
    """Read the flags of keyUsage: its first byte, plus :data:`LATER_FLAGS`. Raises :class:`MalformedDer`.

    Unused bits do not count, whatever their value, as in OpenSSL.
    """
    start, stop = read_all(value, BIT_STRING)
    check_bits(value, start, stop)
    flags = bytearray(value[start + 1 : stop])
    if flags:
        flags[-1] &= 0xFF << value[start] & 0xFF
    return flags[0] + LATER_FLAGS * any(flags[1:]) if flags else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """basicConstraints (RFC 5280 4.2.1.9). ``path_length``: ``None`` for no limit."""

    is_ca: bool = False
    path_length: int | None = None


@intern_value
def read_constraints(value: bytes) -> Constraints:
    """Read basicConstraints. Raises :class:`MalformedDer`."""
    at, end = read_all(value, SEQUENCE)
    if at == end or value[at] != BOOLEAN:
        return Constraints()
    start, at = read(value, at, end, BOOLEAN)
    is_ca, limit = any(value[start:at]), None
    if at < end:
        start, at = read(value, at, end, INTEGER)
        limit = int.from_bytes(value[start:at], signed=True)
    return Constraints(is_ca=is_ca, path_length=limit)


def read_subject_key_id(value: bytes) -> KeyId | None:
    """Read subjectKeyIdentifier. ``None``: it is empty. Raises :class:`MalformedDer`."""
    start, stop = read_all(value, OCTET_STRING)
    return key_id_of(value[start:stop]) or None


@intern_value
def read_authority_key_id(value: bytes) -> KeyId | None:
    """Read the keyIdentifier of authorityKeyIdentifier, if it has one. Raises :class:`MalformedDer`."""
    start, stop = read_all(value, SEQUENCE)
    if start == stop or value[start] != _KEY_IDENTIFIER:
        return None
    start, stop = read(value, start, stop, _KEY_IDENTIFIER)
    return key_id_of(value[start:stop]) or None


class Unstated(Enum):
    """Why a field has no value: the certificate is silent, or what it says is malformed or ambiguous."""

    SILENT = "silent"
    BROKEN = "broken"


def read_hardware_eui(value: bytes) -> Eui | Unstated:
    """Read the EUI-64 of the hardware module name in a subjectAltName (GBCS 12, RFC 4108).

    A second hardware module name, another length than eight bytes, and bytes after hwSerialNum make it
    ``BROKEN``. Raises :class:`MalformedDer` for a malformed subjectAltName.
    """
    if plain := _plain_hardware_eui(value):
        return plain
    at, end = read_all(value, SEQUENCE)
    eui: Eui | Unstated = Unstated.SILENT
    for tag, start, stop in children(value, at, end):
        if tag == _OTHER_NAME and value.startswith(_HARDWARE_MODULE_NAME, start, stop):
            second = eui is not Unstated.SILENT
            eui = Unstated.BROKEN if second else _hardware_serial(value, start, stop)
    return eui


def _plain_hardware_eui(value: bytes) -> Eui | None:
    """Read the form that every device certificate has: one hardware module name, all lengths short."""
    size = len(value)
    serial = size - EUI_SIZE - 2
    if not _TYPE_AT + 2 < serial < _SHORT or value[serial : serial + 2] != _SERIAL_HEADER:
        return None
    lengths = bytes((SEQUENCE, size - 2, _OTHER_NAME, size - 4)) + _HARDWARE_MODULE_NAME
    lengths += bytes((_OTHER_VALUE, size - 16, SEQUENCE, size - 18, OID, serial - _TYPE_AT - 2))
    return eui_of(value[serial + 2 :]) if value.startswith(lengths) else None


_TYPE_AT: Final = 18  # where the type of a hardware module name starts in this form
_SERIAL_HEADER: Final = bytes((OCTET_STRING, EUI_SIZE))


def _hardware_serial(value: bytes, at: int, end: int) -> Eui | Unstated:
    """Read hwSerialNum, the second and last part of a HardwareModuleName."""
    try:
        at, stop = read(value, at + len(_HARDWARE_MODULE_NAME), end, _OTHER_VALUE)
        sound = stop == end
        at, end = read(value, at, stop, SEQUENCE)
        sound &= end == stop
        _, at = read(value, at, end, OID)
        start, stop = read(value, at, end, OCTET_STRING)
    except MalformedDer:
        return Unstated.BROKEN
    return eui_of(value[start:stop]) if sound and stop == end == start + EUI_SIZE else Unstated.BROKEN


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
_ENCODINGS = {  # by tag, as in pyca/cryptography: string types and times, then the two wide ones
    **dict.fromkeys((4, 12, 18, 19, 20, 22, 23, 24, 26), "utf-8"),
    28: "utf-32-be",
    30: "utf-16-be",
}
_ESCAPES = str.maketrans({"\0": "\\00"} | {c: f"\\{c}" for c in '\\"+,;<>'})
_ROLE = re.compile(r"[0-9A-Fa-f]{2}")

_MORE: Final = 0x80  # the number continues in the next byte

ARC_BITS_LIMIT: Final = 128
"""Bits of one arc of an object identifier. The largest in use are UUIDs (X.667)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A distinguished name. ``text``: RFC 4514, empty for an empty name.

    ``role``, ``eui``: ``SILENT`` without such an attribute, ``BROKEN`` if it is malformed or ambiguous.
    """

    text: str
    role: int | Unstated
    eui: Eui | Unstated


@intern_value
def read_name(data: bytes) -> Name:
    """Read the value of a Name, without its header. Raises :class:`MalformedDer`.

    The role is the OU of two hex digits. The EUI-64 is the x500UniqueIdentifier (Appendix M,
    Organisation profile). An empty RelativeDistinguishedName does not appear in the text, as in OpenSSL.
    """
    parts: list[str] = []
    roles: set[int] = set()
    euis: list[Eui | Unstated] = []
    for tag, start, stop in children(data, 0, len(data)):
        if tag != SET:
            raise MalformedDer(f"not a part of a name at byte {start} of the name")
        texts = []
        for attribute in children(data, start, stop):
            kind, value, text = _attribute(data, *attribute)
            texts.append(f"{kind}={text}")
            if kind == "OU" and _ROLE.fullmatch(text):
                roles.add(int(text, 16))
            elif kind == _UNIQUE_IDENTIFIER:
                euis.append(_unique_eui(value))
        if texts:
            parts.append("+".join(texts))
    role = roles.pop() if len(roles) == 1 else Unstated.BROKEN if roles else Unstated.SILENT
    eui = euis[0] if len(euis) == 1 else Unstated.BROKEN if euis else Unstated.SILENT
    return Name(text=",".join(reversed(parts)), role=role, eui=eui)


def _attribute(data: bytes, tag: int, at: int, end: int) -> tuple[str, bytes, str]:
    """Read one AttributeTypeAndValue: its type, its value as an element, and its value as text."""
    if tag != SEQUENCE:
        raise MalformedDer(f"not an attribute at byte {at} of the name")
    start, stop = read(data, at, end, OID)
    dotted = _dotted(data[start:stop])
    values = list(children(data, stop, end))
    if len(values) != 1:
        raise MalformedDer(f"{len(values)} values in one attribute at byte {at} of the name")
    kind, first, last = values[0]
    return (
        _SHORT_NAMES.get(dotted, dotted),
        data[stop:end],
        _text(kind, data[first:last], data[stop:end]),
    )


def _text(tag: int, value: bytes, element: bytes) -> str:
    """Write a value as RFC 4514 does. A BIT STRING is written as its value, as in pyca/cryptography."""
    if tag == BIT_STRING:
        return f"#{value.hex()}"
    try:
        return _escaped(value.decode(_ENCODINGS[tag]))
    except (KeyError, UnicodeDecodeError):
        return f"#{element.hex()}"


def _escaped(text: str) -> str:
    """Escape what RFC 4514 2.4 requires, also a first ``#`` or blank and a last blank."""
    text = text.translate(_ESCAPES)
    if text.startswith("#") or (text.startswith(" ") and len(text) > 1):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if text.endswith(" ") else text


def _unique_eui(element: bytes) -> Eui | Unstated:
    """Read a BIT STRING of eight whole bytes as an EUI-64."""
    header = bytes((BIT_STRING, 1 + EUI_SIZE, 0))  # no unused bits
    if len(element) != len(header) + EUI_SIZE or not element.startswith(header):
        return Unstated.BROKEN
    return eui_of(element[len(header) :])


def _dotted(data: bytes) -> str:
    """Write the value of an OBJECT IDENTIFIER with dots (X.690 8.19), or as hex if an arc is very large."""
    if not data or data[-1] & _MORE:
        raise MalformedDer("an object identifier that is empty or cut off")
    arcs: list[int] = []
    arc = 0
    for byte in data:
        arc = arc << 7 | byte & ~_MORE
        if arc.bit_length() > ARC_BITS_LIMIT:
            return f"#{data.hex()}"
        if not byte & _MORE:
            arcs.append(arc)
            arc = 0
    root = min(arcs[0] // 40, 2)
    return ".".join(map(str, (root, arcs[0] - 40 * root, *arcs[1:])))


_VALUE_SEPARATOR = re.compile(r"(?<!\\)((?:\\\\)*)([,+])")
_UNESCAPE = re.compile(r"\\(00|.)", re.DOTALL)
_NORMALISED_ENTRIES: Final = 4096


@lru_cache(maxsize=_NORMALISED_ENTRIES)
def normalise_name(text: str) -> str:
    """Return a form of an RFC 4514 name that is equal for names that RFC 5280 7.1 calls equal.

    Letter case, the amount of white space, compatibility forms of characters, string types and the
    order within one RelativeDistinguishedName do not matter.
    """
    marked = _VALUE_SEPARATOR.sub(lambda found: f"{found[1]}\0{found[2]}\0", text)
    pieces = marked.split("\0")  # RFC 4514 text has no NUL: it is escaped
    parts: list[list[str]] = [[]]
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            parts[-1].append(_normalised_attribute(piece))
        elif piece == ",":
            parts.append([])
    return "\0,".join("\0+".join(sorted(part)) for part in parts)


def _normalised_attribute(text: str) -> str:
    kind, _, value = text.partition("=")
    plain = _UNESCAPE.sub(lambda found: "\1" if found[1] == "00" else found[1], value)
    folded = normalize("NFKC", normalize("NFKC", plain).casefold())
    return f"{kind}={' '.join(folded.split())}"
