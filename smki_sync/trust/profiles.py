"""Keys, signatures, certificate profiles; the codes of everything that can be wrong."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import sha1
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from smki_sync.model.certificate import Facts, KeyId, Kind, key_id_of
from smki_sync.x509.certificate import Body, Extension
from smki_sync.x509.fields import (
    CRL_SIGN,
    KEY_CERT_SIGN_CONSTRAINTS,
    Constraints,
    read_constraints,
    read_flags,
)


class Severity(StrEnum):
    """How much a finding weighs; see the module."""

    ERROR = "error"
    WARNING = "warning"


class CheckStep(IntEnum):
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


class FindingCode(StrEnum):
    """One defect. ``step``: where it is found; ``severity``; ``words``: what it means."""

    step: CheckStep
    severity: Severity
    words: str

    def __new__(cls, code: str, step: CheckStep, severity: Severity, words: str) -> Self:
        """Make a plain text that also carries what it stands for."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.step = step
        member.severity = severity
        member.words = words
        return member

    NOT_A_CERTIFICATE = "not-a-certificate", CheckStep.STRUCTURE, _ERROR, "the octets are no certificate"
    ROW_DIFFERS = (
        "row-differs",
        CheckStep.STRUCTURE,
        _ERROR,
        "the row says something else than its certificate",
    )
    VERSION_WRONG = "version-wrong", CheckStep.STRUCTURE, _WARNING, "it is not X.509 version 3"
    ALGORITHM_WRONG = (
        "algorithm-wrong",
        CheckStep.ALGORITHM,
        _ERROR,
        "it is signed with another algorithm than ECDSA with SHA-256",
    )
    ALGORITHMS_DIFFER = (
        "algorithms-differ",
        CheckStep.ALGORITHM,
        _ERROR,
        "the algorithm inside what was signed is another than the one beside it",
    )
    NULL_PARAMETERS = (
        "null-parameters",
        CheckStep.ALGORITHM,
        _WARNING,
        "the algorithm carries a NULL that does not belong there; strict parsers refuse it",
    )
    CURVE_WRONG = "curve-wrong", CheckStep.ALGORITHM, _ERROR, "its key is not a point on P-256"
    EXTENSIONS_BROKEN = (
        "extensions-broken",
        CheckStep.EXTENSIONS,
        _ERROR,
        "the list of extensions cannot be read to its end, or one stands there twice",
    )
    CRITICAL_UNKNOWN = (
        "critical-unknown",
        CheckStep.EXTENSIONS,
        _ERROR,
        "an extension that nobody here knows is marked as critical",
    )
    NOT_CRITICAL = "not-critical", CheckStep.EXTENSIONS, _WARNING, "an extension is not marked as critical"
    POLICIES_MISSING = "policies-missing", CheckStep.EXTENSIONS, _WARNING, "it names no certificate policy"
    SKI_MISSING = "ski-missing", CheckStep.EXTENSIONS, _WARNING, "it has no subject key identifier"
    AKI_MISSING = "aki-missing", CheckStep.EXTENSIONS, _WARNING, "it has no authority key identifier"
    KEY_ID_LENGTH = "key-id-length", CheckStep.EXTENSIONS, _WARNING, "a key identifier has not eight octets"
    USAGE_NOT_ALLOWED = (
        "usage-not-allowed",
        CheckStep.PROFILE,
        _ERROR,
        "its key usage is not the one that its profile allows",
    )
    SUBJECT_WRONG = "subject-wrong", CheckStep.PROFILE, _WARNING, "its subject is not that of its profile"
    EUI_MISSING = "eui-missing", CheckStep.PROFILE, _WARNING, "it carries no EUI-64 where its profile has one"
    END_WRONG = "end-wrong", CheckStep.PROFILE, _WARNING, "a device's certificate with an end"
    CONSTRAINTS_WRONG = (
        "constraints-wrong",
        CheckStep.PROFILE,
        _WARNING,
        "its basic constraints are not those of its profile",
    )
    NOT_YET_VALID = "not-yet-valid", CheckStep.VALIDITY, _ERROR, "it is not valid yet"
    EXPIRED = "expired", CheckStep.VALIDITY, _ERROR, "it is not valid any more"
    ISSUER_UNKNOWN = (
        "issuer-unknown",
        CheckStep.ISSUER,
        _ERROR,
        "neither the mirror nor the anchors hold the certificate of its issuer",
    )
    ISSUER_NAME_DIFFERS = (
        "issuer-name-differs",
        CheckStep.ISSUER,
        _ERROR,
        "the authority that its key identifier names has another name than its issuer",
    )
    ISSUER_AMBIGUOUS = (
        "issuer-ambiguous",
        CheckStep.ISSUER,
        _WARNING,
        "authorities with different keys come into question; the signature decides",
    )
    AKI_NAMES_ANOTHER = (
        "aki-names-another",
        CheckStep.ISSUER,
        _WARNING,
        "it is signed by an authority of its issuer's name, but its key identifier names another",
    )
    SIGNATURE_FALSE = "signature-false", CheckStep.SIGNATURE, _ERROR, "its issuer's key has not signed it"
    SIGNATURE_UNCHECKED = (
        "signature-unchecked",
        CheckStep.SIGNATURE,
        _ERROR,
        "its signature, or its issuer's key, is of a kind that is not checked",
    )
    ISSUER_NOT_A_CA = (
        "issuer-not-a-ca",
        CheckStep.AUTHORITY,
        _ERROR,
        "its issuer is no certification authority",
    )
    ISSUER_MAY_NOT_SIGN = (
        "issuer-may-not-sign",
        CheckStep.AUTHORITY,
        _ERROR,
        "its issuer's key usage does not allow to sign certificates",
    )
    ISSUER_NOT_YET_VALID = (
        "issuer-not-yet-valid",
        CheckStep.AUTHORITY,
        _ERROR,
        "its issuer's certificate is not valid yet",
    )
    ISSUER_EXPIRED = (
        "issuer-expired",
        CheckStep.AUTHORITY,
        _ERROR,
        "its issuer's certificate is not valid any more",
    )
    ISSUER_REVOKED = "issuer-revoked", CheckStep.AUTHORITY, _ERROR, "its issuer's certificate is revoked"
    ISSUER_NOT_IN_USE = (
        "issuer-not-in-use",
        CheckStep.AUTHORITY,
        _WARNING,
        "its issuer's certificate is not In-Use, and not revoked",
    )
    PATH_TOO_LONG = (
        "path-too-long",
        CheckStep.AUTHORITY,
        _ERROR,
        "more authorities stand below one in the chain than its path length allows",
    )
    ISSUER_NOT_PROVEN = (
        "issuer-not-proven",
        CheckStep.ANCHOR,
        _ERROR,
        "an authority further up in the chain fails; its own findings say how",
    )
    NOT_ANCHORED = "not-anchored", CheckStep.ANCHOR, _ERROR, "the chain ends, and not at a trust anchor"


@dataclass(frozen=True, slots=True)
class TrustFinding:
    """One defect of one certificate. ``detail``: what was seen, in words."""

    code: FindingCode
    detail: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it keeps the certificate from being proven or usable."""
        return self.code.severity is Severity.ERROR


ECDSA_WITH_SHA256: Final = bytes.fromhex("300A06082A8648CE3D040302")
"""AlgorithmIdentifier, its parameters absent (RFC 5758 3.2)."""

ECDSA_WITH_SHA256_NULL: Final = bytes.fromhex("300C06082A8648CE3D0403020500")
"""The same with an explicit NULL: forbidden, and found in real test certificates."""

P256_POINT: Final = bytes.fromhex("3059301306072A8648CE3D020106082A8648CE3D03010703420004")
"""How a SubjectPublicKeyInfo of an uncompressed point on P-256 begins (RFC 5480 2); 64 octets follow."""

POINT_OCTETS: Final = 64
_UNCOMPRESSED: Final = b"\x04"
_KEY_ID_OCTETS: Final = 8
_METHOD_2: Final = 0x40  # the first four bits of a key identifier made by method 2
_ECDSA: Final = ECDSA(SHA256())

PublicKey = EllipticCurvePublicKey


def is_p256(spki: bytes) -> bool:
    """Whether a SubjectPublicKeyInfo has the form of a key on P-256; the point is not looked at."""
    return spki.startswith(P256_POINT) and len(spki) == len(P256_POINT) + POINT_OCTETS


def read_key(spki: bytes) -> PublicKey | None:
    """Read a key on P-256; ``None`` for any other, and for a point that is not on the curve."""
    if not is_p256(spki):
        return None
    try:
        return PublicKey.from_encoded_point(SECP256R1(), _UNCOMPRESSED + spki[len(P256_POINT) :])
    except ValueError:
        return None


def key_id_of_key(spki: bytes) -> KeyId:
    """The key identifier that SMKI gives a key: 0100 and the last 60 bits of its SHA-1.

    RFC 5280 4.2.1.2, method 2. For a certificate that does not state its own.
    """
    digest = sha1(spki[len(P256_POINT) - 1 :], usedforsecurity=False).digest()[-_KEY_ID_OCTETS:]
    return key_id_of(bytes((_METHOD_2 | digest[0] & 0x0F,)) + digest[1:])


def has_signed(key: PublicKey, body: Body) -> bool:
    """Whether ``key`` has made the signature of a certificate, over the octets as they stand.

    Whatever algorithm the certificate names, ECDSA with SHA-256 is what is tried.
    """
    try:
        key.verify(body.signature, body.tbs, _ECDSA)
    except InvalidSignature:
        return False
    return True


SUBJECT_KEY_ID: Final = bytes.fromhex("551D0E")
KEY_USAGE: Final = bytes.fromhex("551D0F")
SUBJECT_ALT_NAME: Final = bytes.fromhex("551D11")
BASIC_CONSTRAINTS: Final = bytes.fromhex("551D13")
POLICIES: Final = bytes.fromhex("551D20")
AUTHORITY_KEY_ID: Final = bytes.fromhex("551D23")
"""Object identifiers, their header left off (RFC 5280 4.2.1)."""

_NAMES: Final = {
    SUBJECT_KEY_ID: "subjectKeyIdentifier",
    KEY_USAGE: "keyUsage",
    SUBJECT_ALT_NAME: "subjectAltName",
    BASIC_CONSTRAINTS: "basicConstraints",
    POLICIES: "certificatePolicies",
    AUTHORITY_KEY_ID: "authorityKeyIdentifier",
}
_CRITICAL: Final = (KEY_USAGE, POLICIES, SUBJECT_ALT_NAME, BASIC_CONSTRAINTS)

NO_END: Final = 253_402_300_799
"""99991231235959Z, the end of a certificate without one, in seconds since 1970 (RFC 5280 4.1.2.5)."""

KEY_ID_DIGITS: Final = 16
"""Hex digits of a key identifier: SMKI uses eight octets (Appendix M)."""

_V3: Final = 3
_NONE: Final = Extension(critical=False, value=b"")
_OCA_FLAGS: Final = frozenset({KEY_CERT_SIGN_CONSTRAINTS | CRL_SIGN})
_DCA_FLAGS: Final = _OCA_FLAGS | {KEY_CERT_SIGN_CONSTRAINTS}  # Appendix M has no list for device certificates
_ISSUING_ROLE: Final = 7


def check_profile(facts: Facts, body: Body) -> list[TrustFinding]:
    """Hold a certificate against what every SMKI certificate and its own kind has to be."""
    found = [*_algorithm(body), *_extensions(facts, body)]
    found += _KINDS[facts.kind](facts, body.extensions)
    return found


def constraints_of(body: Body) -> Constraints:
    """The basic constraints of a certificate; those of an end entity where it has none."""
    return read_constraints(body.extensions.get(BASIC_CONSTRAINTS, _NONE).value)


def flags_of(body: Body) -> int:
    """The flags of its keyUsage, 0 where it has none."""
    return read_flags(body.extensions.get(KEY_USAGE, _NONE).value)


def _algorithm(body: Body) -> Iterator[TrustFinding]:
    if body.outer != ECDSA_WITH_SHA256:
        if body.outer == ECDSA_WITH_SHA256_NULL:
            yield TrustFinding(FindingCode.NULL_PARAMETERS)
        else:
            yield TrustFinding(
                FindingCode.ALGORITHM_WRONG, f"AlgorithmIdentifier {body.outer.hex().upper():.80}"
            )
    if body.inner != body.outer:
        yield TrustFinding(FindingCode.ALGORITHMS_DIFFER)
    if not is_p256(body.spki):
        yield TrustFinding(FindingCode.CURVE_WRONG)


def _extensions(facts: Facts, body: Body) -> Iterator[TrustFinding]:
    held = body.extensions
    if body.version != _V3:
        yield TrustFinding(FindingCode.VERSION_WRONG, f"version {body.version}")
    if body.broken or body.repeated:
        yield TrustFinding(
            FindingCode.EXTENSIONS_BROKEN, "one stands there twice" if body.repeated else "unreadable"
        )
    for oid, extension in held.items():
        if oid not in _NAMES and extension.critical:
            yield TrustFinding(
                FindingCode.CRITICAL_UNKNOWN, f"2.5.29.{oid[2]}" if oid[:2] == b"\x55\x1d" else oid.hex()
            )
        elif oid in _CRITICAL and not extension.critical:
            yield TrustFinding(FindingCode.NOT_CRITICAL, _NAMES[oid])
    if POLICIES not in held:
        yield TrustFinding(FindingCode.POLICIES_MISSING)
    yield from _key_ids(facts)


def _key_ids(facts: Facts) -> Iterator[TrustFinding]:
    if facts.ski is None:
        yield TrustFinding(FindingCode.SKI_MISSING)
    elif len(facts.ski) != KEY_ID_DIGITS:
        yield TrustFinding(FindingCode.KEY_ID_LENGTH, f"its own has {len(facts.ski) // 2} octets")
    if facts.aki is None:
        if facts.subject != facts.issuer:  # who signs itself need not say with which key
            yield TrustFinding(FindingCode.AKI_MISSING)
    elif len(facts.aki) != KEY_ID_DIGITS:
        yield TrustFinding(FindingCode.KEY_ID_LENGTH, f"its issuer's has {len(facts.aki) // 2} octets")


def _device(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[TrustFinding]:
    """GBCS 12, Device Certificate profile: no subject, no end, an EUI-64 as hardware serial number."""
    if facts.subject:
        yield TrustFinding(FindingCode.SUBJECT_WRONG, f"a device's is empty, this is {facts.subject:.80}")
    if facts.eui is None:
        yield TrustFinding(FindingCode.EUI_MISSING)
    if facts.not_after != NO_END:
        yield TrustFinding(FindingCode.END_WRONG)
    yield from _one_usage(facts, held)


def _organisation(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[TrustFinding]:
    """Appendix M, Organisation Certificate profile: role in OU, EUI-64 as x500UniqueIdentifier."""
    if facts.role is None:
        yield TrustFinding(FindingCode.SUBJECT_WRONG, f"no role of two hex digits in OU: {facts.subject:.80}")
    if facts.eui is None:
        yield TrustFinding(FindingCode.EUI_MISSING)
    yield from _one_usage(facts, held)


def _one_usage(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[TrustFinding]:
    if facts.usage is None:
        flags = read_flags(held.get(KEY_USAGE, _NONE).value)
        seen = f"flags {flags:02X}" if flags else "no flag at all"
        yield TrustFinding(
            FindingCode.USAGE_NOT_ALLOWED, f"{seen}; exactly digitalSignature or keyAgreement is"
        )


def _oca(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[TrustFinding]:
    """Appendix M, OCA profile: common name, keyCertSign and cRLSign; an issuing one with path length 0."""
    constraints = read_constraints(held.get(BASIC_CONSTRAINTS, _NONE).value)
    if facts.role == _ISSUING_ROLE and constraints.path_length != 0:
        yield TrustFinding(FindingCode.CONSTRAINTS_WRONG, f"path length {constraints.path_length}, not 0")
    yield from _authority(facts, held, constraints, _OCA_FLAGS)


def _dca(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[TrustFinding]:
    """DCA: a common name, keyCertSign; its profile is known from test certificates alone."""
    constraints = read_constraints(held.get(BASIC_CONSTRAINTS, _NONE).value)
    yield from _authority(facts, held, constraints, _DCA_FLAGS)


def _authority(
    facts: Facts, held: Mapping[bytes, Extension], constraints: Constraints, allowed: frozenset[int]
) -> Iterator[TrustFinding]:
    if "CN=" not in facts.subject:
        yield TrustFinding(FindingCode.SUBJECT_WRONG, f"no common name: {facts.subject:.80}")
    if not constraints.is_ca:
        yield TrustFinding(FindingCode.CONSTRAINTS_WRONG, "it does not say that it is an authority")
    flags = read_flags(held.get(KEY_USAGE, _NONE).value)
    if flags not in allowed:
        yield TrustFinding(FindingCode.USAGE_NOT_ALLOWED, f"flags {flags:02X}; keyCertSign and cRLSign are")


_Check = Callable[[Facts, Mapping[bytes, Extension]], Iterator[TrustFinding]]
_KINDS: Final[Mapping[Kind, _Check]] = {
    Kind.DEVICE: _device,
    Kind.ORGANISATION: _organisation,
    Kind.OCA: _oca,
    Kind.DCA: _dca,
}
