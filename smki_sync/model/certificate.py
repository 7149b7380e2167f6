"""Certificate facts, status, usage, flags; EUI-64, serial number, key identifier."""

import re
from enum import IntFlag, StrEnum
from typing import NamedTuple, NewType

Eui = NewType("Eui", str)
"""EUI-64 as ``00-DB-12-34-56-78-90-A4``: eight upper-case hex pairs joined by hyphens."""

Serial = NewType("Serial", str)
"""Certificate serial number: upper-case hex of whole bytes without leading zeros, ``-01`` for -1."""

KeyId = NewType("KeyId", str)
"""Subject or authority key identifier as upper-case hex. SMKI uses 8 bytes (Appendix M)."""

EUI_SIZE = 8
"""Bytes of an EUI-64."""

SERIAL_SIZE_MAX = 20
"""Bytes of a serial number, including the sign bit (RFC 5280 4.1.2.2). A longer one is flagged."""

SERIAL_SIZE_LIMIT = 64
"""Bytes of a serial number that the mirror stores. A record with a longer one goes to the quarantine."""

_SEPARATORS = re.compile(r"[-:.\s]")
_HEX = re.compile(r"[0-9A-F]*")
_SERIAL = re.compile(r"(-?)([0-9A-F]+)")
_DECIMAL = re.compile(r"-?[0-9]+", re.ASCII)
_DECIMAL_DIGITS = 2000  # Python refuses to convert more than 4,300 digits at once


def parse_eui(text: str) -> Eui:
    """Parse an EUI-64 with hyphens, colons, dots, blanks or no separator, in any letter case.

    Raises ``ValueError`` if a digit is not hex or the length is wrong.
    """
    digits = _SEPARATORS.sub("", text).upper()
    bad = sorted(set(_HEX.sub("", digits)))
    if bad:
        raise ValueError(f"an EUI-64 has only hex digits, not {' '.join(map(repr, bad))}")
    if len(digits) != 2 * EUI_SIZE:
        raise ValueError(f"an EUI-64 has 16 hex digits, this has {len(digits)}")
    return eui_of(bytes.fromhex(digits))


def eui_of(data: bytes) -> Eui:
    """Format eight bytes as an EUI-64. Raises ``ValueError`` for another number of bytes."""
    if len(data) != EUI_SIZE:
        raise ValueError(f"an EUI-64 has 8 bytes, this has {len(data)}")
    return Eui(data.hex("-").upper())


def parse_serial(text: str) -> Serial:
    """Parse a serial number in hex as the Repository writes it: any letter case, any leading zeros.

    Raises ``ValueError`` for an empty text or other characters.
    """
    found = _SERIAL.fullmatch(text.strip().upper())
    if not found:
        raise ValueError(f"a serial number is hex digits, not {text!r:.60}")
    sign, digits = found.groups()
    digits = digits.lstrip("0")
    if not digits:
        return Serial("00")
    return Serial(sign + digits.zfill(len(digits) + len(digits) % 2))


def serial_of(data: bytes) -> Serial:
    """Format the value bytes of a DER INTEGER, which is signed (X.690 8.3), as a serial number."""
    if data and data[0] & 0x80:
        return _signed(int.from_bytes(data, signed=True))
    return Serial(data.lstrip(b"\0").hex().upper() or "00")


def _signed(number: int) -> Serial:
    digits = f"{-number:X}"
    return Serial("-" + digits.zfill(len(digits) + len(digits) % 2))


def serial_size(serial: Serial) -> int:
    """Return the number of bytes of the shortest DER INTEGER with this value."""
    number = int(serial, 16)
    return (number + (number < 0)).bit_length() // 8 + 1


def serial_from_decimal(text: str) -> Serial:
    """Parse a serial number in decimal, as in DUIS alerts and XML signatures.

    Raises ``ValueError`` for other characters and for more digits than any stored serial number has.
    """
    if not _DECIMAL.fullmatch(text) or len(text) > _DECIMAL_DIGITS:
        raise ValueError(f"a decimal serial number is digits, not {text!r:.60}")
    return parse_serial(f"{int(text):X}")


def serial_decimal(serial: str) -> str:
    """Write a serial number in decimal, however long it is."""
    number = int(serial, 16)
    sign, number = ("-", -number) if number < 0 else ("", number)
    parts: list[str] = []
    base = 10**_DECIMAL_DIGITS
    while number >= base:
        number, rest = divmod(number, base)
        parts.append(f"{rest:0{_DECIMAL_DIGITS}d}")
    return sign + str(number) + "".join(reversed(parts))


def key_id_of(data: bytes) -> KeyId:
    """Format the bytes of a key identifier."""
    return KeyId(data.hex().upper())


class Kind(StrEnum):
    """Owner of a certificate: a device, an organisation, or an authority of organisations or devices."""

    __hash__ = str.__hash__  # looked up 200 million times in a full

    DEVICE = "device"
    ORGANISATION = "organisation"
    OCA = "oca"
    DCA = "dca"


class Status(StrEnum):
    """Certificate status as the Repository writes it (Appendix M, CertificateStatus)."""

    __hash__ = str.__hash__  # looked up 200 million times in a full

    PENDING = "P"
    IN_USE = "I"
    NOT_IN_USE = "N"
    EXPIRED = "E"
    REVOKED = "R"

    @property
    def words(self) -> str:
        """The status in words, for people."""
        return self.name.capitalize().replace("_", " ")


class Usage(StrEnum):
    """Purpose of the key of a device or organisation: exactly one of the two (Appendix M profiles)."""

    __hash__ = str.__hash__  # looked up 200 million times in a full

    DIGITAL_SIGNING = "DS"
    KEY_AGREEMENT = "KA"


ROLE_NAMES = {
    0: "root",
    1: "recovery",
    2: "supplier",
    3: "networkOperator",
    4: "accessControlBroker",
    5: "transitionalCoS",
    6: "wanProvider",
    7: "issuingAuthority",
    8: "loadController",
    127: "other",
    135: "xmlSign",
    137: "dspXmlSign",
}
"""Remote Party Roles by number (GBCS 0.8.1 section 12). An unknown role is shown as its number."""


class Flag(IntFlag):
    """Defects of a certificate that is served all the same. Values are stored: never reuse one."""

    STRICT_PARSER_REFUSES = 1
    SERIAL_CLAIM_DIFFERS = 2
    EUI_CLAIM_DIFFERS = 4
    USAGE_CLAIM_DIFFERS = 8
    ROLE_CLAIM_DIFFERS = 16
    EUI_BROKEN = 32
    USAGE_BROKEN = 64
    ROLE_BROKEN = 128
    EXTENSIONS_BROKEN = 256
    SERIAL_TOO_LONG = 512

    @property
    def codes(self) -> tuple[str, ...]:
        """The set flags in kebab case, for JSON and people."""
        return tuple(f.name.lower().replace("_", "-") for f in type(self) if f in self and f.name)


NO_FLAG = Flag(0)


class RejectReason(StrEnum):
    """Why a record is in the quarantine. Stored: never rename one."""

    BODY_MISSING = "body-missing"
    BODY_NOT_BASE64 = "body-not-base64"
    BODY_NOT_A_CERTIFICATE = "body-not-a-certificate"
    STATUS_MISSING = "status-missing"
    STATUS_UNKNOWN = "status-unknown"
    ELEMENT_REPEATED = "element-repeated"
    FIELD_TOO_LONG = "field-too-long"
    SERIAL_TOO_LONG = "serial-too-long"
    RECORD_UNREADABLE = "record-unreadable"
    IDENTITY_CONFLICT = "identity-conflict"
    SIGNATURE_FALSE = "signature-false"


class Claims(NamedTuple):
    """Text of the elements around a certificate in an extract. ``None``: absent (Annex B)."""

    name: str | None = None
    serial: str | None = None
    status: str | None = None
    role: str | None = None
    usage: str | None = None
    manufacturing: str | None = None
    body: str | None = None


class Facts(NamedTuple):
    """Content of an X.509 certificate.

    ``issuer``, ``subject``: RFC 4514 text. ``not_before``, ``not_after``: seconds since 1970, UTC.
    ``eui``, ``role``, ``usage``, ``ski``, ``aki``: ``None`` if the certificate does not state it, or
    states it ambiguously. ``flags`` tells the two apart: it has the flag ``…_BROKEN`` of the field.
    """

    serial: Serial
    issuer: str
    subject: str
    not_before: int
    not_after: int
    kind: Kind
    eui: Eui | None
    role: int | None
    usage: Usage | None
    ski: KeyId | None
    aki: KeyId | None
    flags: Flag = NO_FLAG


class Entry(NamedTuple):
    """One record with a readable certificate.

    ``eui``, ``role``, ``usage``: from the certificate, or from the claim if the certificate is silent.
    ``number``: place in the file, from 1.
    """

    number: int
    der: bytes
    facts: Facts
    eui: Eui | None
    role: int | None
    usage: Usage | None
    status: Status
    manufacturing: bool | None
    flags: Flag


class Rejected(NamedTuple):
    """One record for the quarantine: kept as evidence, never served.

    ``xml``: the record as it is in the file, cut at a configured length. ``serial``: the serial number
    of the certificate, or else the claim, if it can be read. ``issuer``: of the certificate, RFC 4514.
    """

    number: int
    reason: RejectReason
    detail: str
    xml: bytes = b""
    serial: Serial | None = None
    issuer: str | None = None
