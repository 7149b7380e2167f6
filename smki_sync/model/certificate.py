"""What a certificate is, what the Repository says of it, and what of it could not be understood.

For: the values between reader, rules and mirror. The X.509 body is the truth (:class:`Facts`); the
elements around it in the extract are claims (:class:`Claims`), checked against it. Those three of which
a full makes 200 million each are named tuples, which are made in half the time of a frozen dataclass.
Refuses: parsing.
"""

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import NamedTuple

from smki_sync.model.identity import Eui, KeyId, Serial


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
    """One record that could not be understood: kept as evidence, never served.

    ``xml``: the record as it stood in the file, cut at a configured length.
    """

    number: int
    reason: RejectReason
    detail: str
    xml: bytes = b""
