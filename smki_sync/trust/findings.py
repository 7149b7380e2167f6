"""What can be wrong with a certificate and its chain: steps in their order, and a code for each defect.

For: ``verify``, ``show --explain`` and the door of ``sync``, which all speak of the same steps. A step
is a question with the place where the rule stands; a code is one way in which it can be answered badly.
Refuses: to decide what follows from a finding. Codes are a promise: they are added, never renamed.

Severity: an *error* means that the certificate is not proven, or not usable at the time; a *warning*
that it departs from its profile and is genuine all the same, as the DCC's own test certificates are.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self


class Severity(StrEnum):
    """How much a finding weighs; see the module."""

    ERROR = "error"
    WARNING = "warning"


class Step(IntEnum):
    """The steps of a verification, in their order. ``words``: the question; ``rule``: where it stands."""

    words: str
    rule: str

    def __new__(cls, number: int, words: str, rule: str) -> Self:
        """Make a plain int that also carries its two texts."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.words = words
        member.rule = rule
        return member

    STRUCTURE = 1, "it can be read, and the mirror's row says what it says", "RFC 5280 4.1"
    ALGORITHM = 2, "ECDSA with SHA-256, and a key on P-256", "GBCS 12, Appendix M"
    EXTENSIONS = 3, "the extensions that every SMKI certificate has", "GBCS 12, Appendix M, RFC 5280 4.2"
    PROFILE = 4, "the profile of its kind: device, organisation or authority", "GBCS 12, Appendix M"
    VALIDITY = 5, "valid at the time", "RFC 5280 6.1.3 (a)(2)"
    ISSUER = 6, "its issuer is known by key identifier", "RFC 5280 4.2.1.1, 6.1.3 (a)(4)"
    SIGNATURE = 7, "signed by its issuer's key", "RFC 5280 6.1.3 (a)(1)"
    AUTHORITY = 8, "its issuer may issue it, at the time", "RFC 5280 6.1.4 (k) to (n), 6.1.3 (a)(2) and (3)"
    ANCHOR = 9, "the chain ends at a trust anchor", "RFC 5280 6.1.1 (d)"


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING


class Code(StrEnum):
    """One defect. ``step``: where it is found; ``severity``; ``words``: what it means."""

    step: Step
    severity: Severity
    words: str

    def __new__(cls, code: str, step: Step, severity: Severity, words: str) -> Self:
        """Make a plain text that also carries what it stands for."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.step = step
        member.severity = severity
        member.words = words
        return member

    NOT_A_CERTIFICATE = "not-a-certificate", Step.STRUCTURE, _ERROR, "the octets are no certificate"
    ROW_DIFFERS = "row-differs", Step.STRUCTURE, _ERROR, "the row says something else than its certificate"
    VERSION_WRONG = "version-wrong", Step.STRUCTURE, _WARNING, "it is not X.509 version 3"
    ALGORITHM_WRONG = (
        "algorithm-wrong",
        Step.ALGORITHM,
        _ERROR,
        "it is signed with another algorithm than ECDSA with SHA-256",
    )
    ALGORITHMS_DIFFER = (
        "algorithms-differ",
        Step.ALGORITHM,
        _ERROR,
        "the algorithm inside what was signed is another than the one beside it",
    )
    NULL_PARAMETERS = (
        "null-parameters",
        Step.ALGORITHM,
        _WARNING,
        "the algorithm carries a NULL that does not belong there; strict parsers refuse it",
    )
    CURVE_WRONG = "curve-wrong", Step.ALGORITHM, _ERROR, "its key is not a point on P-256"
    EXTENSIONS_BROKEN = (
        "extensions-broken",
        Step.EXTENSIONS,
        _ERROR,
        "the list of extensions cannot be read to its end, or one stands there twice",
    )
    CRITICAL_UNKNOWN = (
        "critical-unknown",
        Step.EXTENSIONS,
        _ERROR,
        "an extension that nobody here knows is marked as critical",
    )
    NOT_CRITICAL = "not-critical", Step.EXTENSIONS, _WARNING, "an extension is not marked as critical"
    POLICIES_MISSING = "policies-missing", Step.EXTENSIONS, _WARNING, "it names no certificate policy"
    SKI_MISSING = "ski-missing", Step.EXTENSIONS, _WARNING, "it has no subject key identifier"
    AKI_MISSING = "aki-missing", Step.EXTENSIONS, _WARNING, "it has no authority key identifier"
    KEY_ID_LENGTH = "key-id-length", Step.EXTENSIONS, _WARNING, "a key identifier has not eight octets"
    USAGE_NOT_ALLOWED = (
        "usage-not-allowed",
        Step.PROFILE,
        _ERROR,
        "its key usage is not the one that its profile allows",
    )
    SUBJECT_WRONG = "subject-wrong", Step.PROFILE, _WARNING, "its subject is not that of its profile"
    EUI_MISSING = "eui-missing", Step.PROFILE, _WARNING, "it carries no EUI-64 where its profile has one"
    END_WRONG = "end-wrong", Step.PROFILE, _WARNING, "a device's certificate with an end"
    CONSTRAINTS_WRONG = (
        "constraints-wrong",
        Step.PROFILE,
        _WARNING,
        "its basic constraints are not those of its profile",
    )
    NOT_YET_VALID = "not-yet-valid", Step.VALIDITY, _ERROR, "it is not valid yet"
    EXPIRED = "expired", Step.VALIDITY, _ERROR, "it is not valid any more"
    ISSUER_UNKNOWN = (
        "issuer-unknown",
        Step.ISSUER,
        _ERROR,
        "neither the mirror nor the anchors hold the certificate of its issuer",
    )
    ISSUER_NAME_DIFFERS = (
        "issuer-name-differs",
        Step.ISSUER,
        _ERROR,
        "the authority that its key identifier names has another name than its issuer",
    )
    ISSUER_AMBIGUOUS = (
        "issuer-ambiguous",
        Step.ISSUER,
        _WARNING,
        "authorities with different keys come into question; the signature decides",
    )
    AKI_NAMES_ANOTHER = (
        "aki-names-another",
        Step.ISSUER,
        _WARNING,
        "it is signed by an authority of its issuer's name, but its key identifier names another",
    )
    SIGNATURE_FALSE = "signature-false", Step.SIGNATURE, _ERROR, "its issuer's key has not signed it"
    SIGNATURE_UNCHECKED = (
        "signature-unchecked",
        Step.SIGNATURE,
        _ERROR,
        "its signature, or its issuer's key, is of a kind that is not checked",
    )
    ISSUER_NOT_A_CA = "issuer-not-a-ca", Step.AUTHORITY, _ERROR, "its issuer is no certification authority"
    ISSUER_MAY_NOT_SIGN = (
        "issuer-may-not-sign",
        Step.AUTHORITY,
        _ERROR,
        "its issuer's key usage does not allow to sign certificates",
    )
    ISSUER_NOT_YET_VALID = (
        "issuer-not-yet-valid",
        Step.AUTHORITY,
        _ERROR,
        "its issuer's certificate is not valid yet",
    )
    ISSUER_EXPIRED = (
        "issuer-expired",
        Step.AUTHORITY,
        _ERROR,
        "its issuer's certificate is not valid any more",
    )
    ISSUER_REVOKED = "issuer-revoked", Step.AUTHORITY, _ERROR, "its issuer's certificate is revoked"
    ISSUER_NOT_IN_USE = (
        "issuer-not-in-use",
        Step.AUTHORITY,
        _WARNING,
        "its issuer's certificate is not In-Use, and not revoked",
    )
    PATH_TOO_LONG = (
        "path-too-long",
        Step.AUTHORITY,
        _ERROR,
        "more authorities stand below one in the chain than its path length allows",
    )
    ISSUER_NOT_PROVEN = (
        "issuer-not-proven",
        Step.ANCHOR,
        _ERROR,
        "an authority further up in the chain fails; its own findings say how",
    )
    NOT_ANCHORED = "not-anchored", Step.ANCHOR, _ERROR, "the chain ends, and not at a trust anchor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect of one certificate. ``detail``: what was seen, in words."""

    code: Code
    detail: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it keeps the certificate from being proven or usable."""
        return self.code.severity is Severity.ERROR
