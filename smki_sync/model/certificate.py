"""Certificate facts, status, usage, flags; EUI-64, serial number, key identifier."""

import re
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import NamedTuple, NewType

Eui = NewType("Eui", str)
"""An EUI-64 as ``00-DB-12-34-56-78-90-A4``: eight upper-case hex pairs joined by hyphens."""

Serial = NewType("Serial", str)
"""A certificate serial number as upper-case hex of whole octets without a leading zero octet."""

KeyId = NewType("KeyId", str)
"""A subject or authority key identifier as upper-case hex; SMKI uses 8 octets (Appendix M)."""

EUI_OCTETS = 8
_SEPARATORS = re.compile(r"[-:.\s]")
_HEX = re.compile(r"[0-9A-F]*")


def parse_eui(text: str) -> Eui:
    """Read an EUI-64 in any usual notation: hyphens, colons, dots, blanks or none, any case.

    Raises ``ValueError`` naming the defect: a digit that is not hex, or the wrong length.
    """
    digits = _SEPARATORS.sub("", text).upper()
    bad = sorted(set(_HEX.sub("", digits)))
    if bad:
        raise ValueError(f"an EUI-64 has only hex digits, not {' '.join(map(repr, bad))}")
    if len(digits) != 2 * EUI_OCTETS:
        raise ValueError(f"an EUI-64 has 16 hex digits, this has {len(digits)}")
    return eui_of(bytes.fromhex(digits))


def eui_of(octets: bytes) -> Eui:
    """Write eight octets as an EUI-64; raises ``ValueError`` for another number of octets."""
    if len(octets) != EUI_OCTETS:
        raise ValueError(f"an EUI-64 has 8 octets, this has {len(octets)}")
    return Eui(octets.hex("-").upper())


def parse_serial(text: str) -> Serial:
    """Read a serial number as the Repository writes it: hex, any case, any leading zeros.

    Raises ``ValueError`` for an empty text or one with other characters.
    """
    digits = text.strip().upper()
    if not digits or not _HEX.fullmatch(digits):
        raise ValueError(f"a serial number is hex digits, not {text!r:.60}")
    return serial_of(bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2)))


def serial_of(octets: bytes) -> Serial:
    """Write the octets of a DER INTEGER as a serial number, sign octet dropped."""
    return Serial(octets.lstrip(b"\0").hex().upper() or "00")


def serial_from_decimal(text: str) -> Serial:
    """Read a serial number in decimal, as DUIS alerts and XML signatures write it."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"a decimal serial number is digits, not {text!r:.60}")
    return parse_serial(f"{int(text):X}")


def key_id_of(octets: bytes) -> KeyId:
    """Write the octets of a key identifier."""
    return KeyId(octets.hex().upper())


class Kind(StrEnum):
    """Whose certificate: a device, an organisation, or an authority of either side."""

    __hash__ = str.__hash__  # the hash of its text: looked up 200 million times in a full

    DEVICE = "device"
    ORGANISATION = "organisation"
    OCA = "oca"
    DCA = "dca"


class Status(StrEnum):
    """Certificate status as the Repository writes it (Appendix M, CertificateStatus)."""

    __hash__ = str.__hash__  # the hash of its text: looked up 200 million times in a full

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
    """What an end entity's key is for: exactly one of the two (Appendix M profiles)."""

    __hash__ = str.__hash__  # the hash of its text: looked up 200 million times in a full

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
"""Remote Party Roles by number (GBCS 0.8.1 section 12). New codes appear: unknown ones stay numbers."""


class Flag(IntFlag):
    """What is odd about a certificate that is kept all the same. Values are stored: never reuse one."""

    STRICT_PARSER_REFUSES = 1
    SERIAL_CLAIM_DIFFERS = 2
    EUI_CLAIM_DIFFERS = 4
    USAGE_CLAIM_DIFFERS = 8
    ROLE_CLAIM_DIFFERS = 16

    @property
    def codes(self) -> tuple[str, ...]:
        """The set flags in kebab case, for JSON and people."""
        return tuple(f.name.lower().replace("_", "-") for f in type(self) if f in self and f.name)


class RejectReason(StrEnum):
    """Why a record was not understood or not proven and went to the quarantine. Stored: never renamed."""

    BODY_MISSING = "body-missing"
    BODY_NOT_BASE64 = "body-not-base64"
    BODY_NOT_A_CERTIFICATE = "body-not-a-certificate"
    STATUS_MISSING = "status-missing"
    STATUS_UNKNOWN = "status-unknown"
    ELEMENT_REPEATED = "element-repeated"
    IDENTITY_CONFLICT = "identity-conflict"
    SIGNATURE_FALSE = "signature-false"


class Claims(NamedTuple):
    """The elements around a certificate in an extract, as text; ``None`` where absent (Annex B)."""

    name: str | None = None
    serial: str | None = None
    status: str | None = None
    role: str | None = None
    usage: str | None = None
    manufacturing: str | None = None
    body: str | None = None


class Facts(NamedTuple):
    """What an X.509 body itself says.

    ``issuer``, ``subject``: RFC 4514 text. ``not_before``, ``not_after``: seconds since 1970, UTC.
    ``eui``, ``role``, ``usage``, ``ski``, ``aki``: ``None`` where the body does not say.
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


class Entry(NamedTuple):
    """One understood record: the body with its facts, and the claims that the body cannot make.

    ``eui``, ``role``, ``usage``: from the body, from the claim where the body is silent.
    ``number``: its place in the file, from 1.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One record that is not served, and is kept as evidence.

    ``xml``: the record as the file contains it, cut at a configured length. ``serial``: the serial number that
    it claims, ``issuer``: RFC 4514 name from its body; ``None`` if the record does not say which certificate it
    is about.
    """

    number: int
    reason: RejectReason
    detail: str
    xml: bytes = b""
    serial: Serial | None = None
    issuer: str | None = None
