"""Keys, signatures, certificate profiles, and the codes of everything that can be wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import sha1
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from smki_sync.model.certificate import Facts, KeyId, Kind, key_id_of
from smki_sync.x509.certificate import Body
from smki_sync.x509.der import MalformedDer
from smki_sync.x509.fields import (
    AUTHORITY_KEY_ID,
    BASIC_CONSTRAINTS,
    CRL_SIGN,
    KEY_CERT_SIGN,
    KEY_USAGE,
    POLICIES,
    SUBJECT_ALT_NAME,
    SUBJECT_KEY_ID,
    Constraints,
    normalise_name,
    read_constraints,
    read_key_usage,
)


class Severity(StrEnum):
    """How serious a finding is. An error means: not proven, or not usable."""

    ERROR = "error"
    WARNING = "warning"


class CheckStep(IntEnum):
    """The steps of a verification, in order. ``words``: the question. ``rule``: its source."""

    words: str
    rule: str

    def __new__(cls, number: int, words: str, rule: str) -> Self:
        """Make an int with two texts."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.words = words
        member.rule = rule
        return member

    STRUCTURE = 1, "it can be read, and the row of the mirror agrees with it", "RFC 5280 4.1"
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
    """One defect. ``step``: where it is found. ``words``: what it means."""

    step: CheckStep
    severity: Severity
    words: str

    def __new__(cls, code: str, step: CheckStep, severity: Severity, words: str) -> Self:
        """Make a text with its step, severity and meaning."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.step = step
        member.severity = severity
        member.words = words
        return member

    NOT_A_CERTIFICATE = "not-a-certificate", CheckStep.STRUCTURE, _ERROR, "it is not a certificate"
    ROW_DIFFERS = (
        "row-differs",
        CheckStep.STRUCTURE,
        _ERROR,
        "the row of the mirror differs from its certificate",
    )
    VERSION_WRONG = "version-wrong", CheckStep.STRUCTURE, _WARNING, "it is not X.509 version 3"
    ALGORITHM_WRONG = (
        "algorithm-wrong",
        CheckStep.ALGORITHM,
        _ERROR,
        "its signature algorithm is not ECDSA with SHA-256",
    )
    ALGORITHMS_DIFFER = (
        "algorithms-differ",
        CheckStep.ALGORITHM,
        _ERROR,
        "the signed and the unsigned signature algorithm differ",
    )
    NULL_PARAMETERS = (
        "null-parameters",
        CheckStep.ALGORITHM,
        _WARNING,
        "the signature algorithm has a forbidden NULL; strict parsers refuse it",
    )
    CURVE_WRONG = "curve-wrong", CheckStep.ALGORITHM, _ERROR, "its key is not a point on P-256"
    EXTENSIONS_BROKEN = (
        "extensions-broken",
        CheckStep.EXTENSIONS,
        _ERROR,
        "an extension occurs twice, or cannot be read",
    )
    CRITICAL_UNKNOWN = (
        "critical-unknown",
        CheckStep.EXTENSIONS,
        _ERROR,
        "an unknown extension is marked as critical",
    )
    NOT_CRITICAL = "not-critical", CheckStep.EXTENSIONS, _WARNING, "an extension is not marked as critical"
    POLICIES_MISSING = "policies-missing", CheckStep.EXTENSIONS, _WARNING, "it has no certificate policy"
    SKI_MISSING = "ski-missing", CheckStep.EXTENSIONS, _WARNING, "it has no subject key identifier"
    AKI_MISSING = "aki-missing", CheckStep.EXTENSIONS, _WARNING, "it has no authority key identifier"
    KEY_ID_LENGTH = (
        "key-id-length",
        CheckStep.EXTENSIONS,
        _WARNING,
        "a key identifier does not have eight bytes",
    )
    USAGE_NOT_ALLOWED = (
        "usage-not-allowed",
        CheckStep.PROFILE,
        _ERROR,
        "its profile does not allow its key usage",
    )
    SUBJECT_WRONG = "subject-wrong", CheckStep.PROFILE, _WARNING, "its subject does not match its profile"
    EUI_MISSING = "eui-missing", CheckStep.PROFILE, _WARNING, "it has no EUI-64, which its profile requires"
    END_WRONG = "end-wrong", CheckStep.PROFILE, _WARNING, "it is a device certificate that expires"
    CONSTRAINTS_WRONG = (
        "constraints-wrong",
        CheckStep.PROFILE,
        _WARNING,
        "its basic constraints do not match its profile",
    )
    NOT_YET_VALID = "not-yet-valid", CheckStep.VALIDITY, _ERROR, "it is not valid yet"
    EXPIRED = "expired", CheckStep.VALIDITY, _ERROR, "it has expired"
    ISSUER_UNKNOWN = (
        "issuer-unknown",
        CheckStep.ISSUER,
        _ERROR,
        "the certificate of its issuer is neither in the mirror nor a trust anchor",
    )
    ISSUER_NAME_DIFFERS = (
        "issuer-name-differs",
        CheckStep.ISSUER,
        _ERROR,
        "the authority with its authority key identifier has another name than its issuer",
    )
    ISSUER_AMBIGUOUS = (
        "issuer-ambiguous",
        CheckStep.ISSUER,
        _WARNING,
        "several authorities with different keys match; the signature decides",
    )
    AKI_NAMES_ANOTHER = (
        "aki-names-another",
        CheckStep.ISSUER,
        _WARNING,
        "an authority with the name of its issuer has signed it, but its key identifier names another",
    )
    SIGNATURE_FALSE = (
        "signature-false",
        CheckStep.SIGNATURE,
        _ERROR,
        "the key of its issuer has not signed it",
    )
    SIGNATURE_UNCHECKED = (
        "signature-unchecked",
        CheckStep.SIGNATURE,
        _ERROR,
        "its signature or the key of its issuer is of a type that is not checked",
    )
    ISSUER_NOT_A_CA = (
        "issuer-not-a-ca",
        CheckStep.AUTHORITY,
        _ERROR,
        "its issuer is not a certification authority",
    )
    ISSUER_MAY_NOT_SIGN = (
        "issuer-may-not-sign",
        CheckStep.AUTHORITY,
        _ERROR,
        "the key usage of its issuer does not allow signing certificates",
    )
    ISSUER_NOT_YET_VALID = (
        "issuer-not-yet-valid",
        CheckStep.AUTHORITY,
        _ERROR,
        "the certificate of its issuer is not valid yet",
    )
    ISSUER_EXPIRED = (
        "issuer-expired",
        CheckStep.AUTHORITY,
        _ERROR,
        "the certificate of its issuer has expired",
    )
    ISSUER_REVOKED = "issuer-revoked", CheckStep.AUTHORITY, _ERROR, "the certificate of its issuer is revoked"
    ISSUER_NOT_IN_USE = (
        "issuer-not-in-use",
        CheckStep.AUTHORITY,
        _WARNING,
        "the certificate of its issuer is not In-Use, and not revoked",
    )
    PATH_TOO_LONG = (
        "path-too-long",
        CheckStep.AUTHORITY,
        _ERROR,
        "an authority in the chain has more authorities below it than its path length allows",
    )
    ANCHOR_DIFFERS = (
        "anchor-differs",
        CheckStep.ANCHOR,
        _ERROR,
        "it has the issuer and the serial number of a trust anchor, but other bytes",
    )
    ISSUER_NOT_PROVEN = (
        "issuer-not-proven",
        CheckStep.ANCHOR,
        _ERROR,
        "an authority further up in the chain has errors; see the findings for it",
    )
    NOT_ANCHORED = "not-anchored", CheckStep.ANCHOR, _ERROR, "the chain does not end at a trust anchor"


@dataclass(frozen=True, slots=True)
class TrustFinding:
    """One defect of one certificate. ``detail``: what was found, for people."""

    code: FindingCode
    detail: str = ""

    @property
    def is_error(self) -> bool:
        """Whether the certificate is not proven or not usable because of it."""
        return self.code.severity is Severity.ERROR


ECDSA_WITH_SHA256: Final = bytes.fromhex("300A06082A8648CE3D040302")
"""AlgorithmIdentifier without parameters (RFC 5758 3.2)."""

ECDSA_WITH_SHA256_NULL: Final = bytes.fromhex("300C06082A8648CE3D0403020500")
"""The same with an explicit NULL, which is forbidden and occurs in real test certificates."""

P256_POINT: Final = bytes.fromhex("3059301306072A8648CE3D020106082A8648CE3D03010703420004")
"""Beginning of a SubjectPublicKeyInfo of an uncompressed point on P-256 (RFC 5480 2); 64 bytes follow."""

POINT_SIZE: Final = 64
_UNCOMPRESSED: Final = b"\x04"
_KEY_ID_SIZE: Final = 8
_METHOD_2: Final = 0x40  # the first four bits of a key identifier made by method 2
_ECDSA: Final = ECDSA(SHA256())

PublicKey = EllipticCurvePublicKey


def is_p256(spki: bytes) -> bool:
    """Whether a SubjectPublicKeyInfo has the form of a key on P-256. The point is not checked."""
    return spki.startswith(P256_POINT) and len(spki) == len(P256_POINT) + POINT_SIZE


def read_key(spki: bytes) -> PublicKey | None:
    """Read a key on P-256. ``None``: another type of key, or a point that is not on the curve."""
    if not is_p256(spki):
        return None
    try:
        return PublicKey.from_encoded_point(SECP256R1(), _UNCOMPRESSED + spki[len(P256_POINT) :])
    except ValueError:
        return None


def key_id_of_key(spki: bytes) -> KeyId:
    """Return the key identifier that SMKI gives a key: 0100 and the last 60 bits of its SHA-1.

    It is used for a certificate without a subject key identifier (RFC 5280 4.2.1.2, method 2).
    """
    digest = sha1(spki[len(P256_POINT) - 1 :], usedforsecurity=False).digest()[-_KEY_ID_SIZE:]
    return key_id_of(bytes((_METHOD_2 | digest[0] & 0x0F,)) + digest[1:])


def has_signed(key: PublicKey, body: Body) -> bool:
    """Whether ``key`` has signed the bytes of a certificate with ECDSA and SHA-256.

    The algorithm that the certificate names does not matter.
    """
    try:
        key.verify(body.signature, body.tbs, _ECDSA)
    except InvalidSignature:
        return False
    return True


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
"""99991231235959Z in seconds since 1970: the end of a certificate that does not expire (RFC 5280 4.1.2.5)."""

KEY_ID_DIGITS: Final = 16
"""Hex digits of a key identifier. SMKI uses eight bytes (Appendix M)."""

_V3: Final = 3
_LARGE_VERSION: Final = 1_000_000
_SHOWN: Final = 40  # bytes of an identifier in a message
_ID_CE: Final = bytes.fromhex("551D")  # 2.5.29
_ID_CE_SIZE: Final = 3
_OCA_FLAGS: Final = frozenset({KEY_CERT_SIGN | CRL_SIGN})
_DCA_FLAGS: Final = _OCA_FLAGS | {KEY_CERT_SIGN}  # Appendix M has no list for device certificates
_ISSUING_ROLE: Final = 7


def check_profile(facts: Facts, body: Body) -> list[TrustFinding]:
    """Compare a certificate with the rules for every SMKI certificate and for its kind."""
    found = [*_algorithm(body), *_extensions(facts, body)]
    found += _KINDS[facts.kind](facts, body)
    return found


def constraints_of(body: Body) -> Constraints:
    """Return the basic constraints of a certificate: those of an end entity if they cannot be read."""
    value = body.extensions.value(BASIC_CONSTRAINTS)
    try:
        return Constraints() if value is None else read_constraints(value)
    except MalformedDer:
        return Constraints()


def flags_of(body: Body) -> int:
    """Return the flags of keyUsage, 0 if they cannot be read."""
    value = body.extensions.value(KEY_USAGE)
    try:
        return 0 if value is None else read_key_usage(value)
    except MalformedDer:
        return 0


def _algorithm(body: Body) -> Iterator[TrustFinding]:
    if body.outer != ECDSA_WITH_SHA256:
        if body.outer == ECDSA_WITH_SHA256_NULL:
            yield TrustFinding(FindingCode.NULL_PARAMETERS)
        else:
            algorithm = f"AlgorithmIdentifier {body.outer[:_SHOWN].hex().upper()}"
            yield TrustFinding(FindingCode.ALGORITHM_WRONG, algorithm)
    if body.inner != body.outer:
        yield TrustFinding(FindingCode.ALGORITHMS_DIFFER)
    if not is_p256(body.spki):
        yield TrustFinding(FindingCode.CURVE_WRONG)


def _extensions(facts: Facts, body: Body) -> Iterator[TrustFinding]:
    extensions = body.extensions
    if body.version != _V3:
        yield TrustFinding(FindingCode.VERSION_WRONG, _version(body.version))
    if not extensions.is_sound:
        detail = "an extension occurs twice or is malformed" if extensions.complete else "unreadable"
        yield TrustFinding(FindingCode.EXTENSIONS_BROKEN, detail)
    for oid, extension in extensions.found.items():
        if oid in extensions.broken:
            continue
        if oid not in _NAMES and extension.critical:
            known = oid[:2] == _ID_CE and len(oid) == _ID_CE_SIZE
            name = f"2.5.29.{oid[2]}" if known else oid[:_SHOWN].hex()
            yield TrustFinding(FindingCode.CRITICAL_UNKNOWN, name)
        if oid in _CRITICAL and not extension.critical:
            yield TrustFinding(FindingCode.NOT_CRITICAL, _NAMES[oid])
    if POLICIES not in extensions.found:
        yield TrustFinding(FindingCode.POLICIES_MISSING)
    yield from _key_ids(facts)


def _version(version: int) -> str:
    """Write a version for people. It can be any number of any length."""
    return f"version {version}" if abs(version) < _LARGE_VERSION else "a version of many digits"


def _key_ids(facts: Facts) -> Iterator[TrustFinding]:
    if facts.ski is None:
        yield TrustFinding(FindingCode.SKI_MISSING)
    elif len(facts.ski) != KEY_ID_DIGITS:
        yield TrustFinding(FindingCode.KEY_ID_LENGTH, f"its own has {len(facts.ski) // 2} bytes")
    if facts.aki is None:
        if not is_self_issued(facts):  # a self-issued certificate need not say which key has signed it
            yield TrustFinding(FindingCode.AKI_MISSING)
    elif len(facts.aki) != KEY_ID_DIGITS:
        yield TrustFinding(FindingCode.KEY_ID_LENGTH, f"that of its issuer has {len(facts.aki) // 2} bytes")


def is_self_issued(facts: Facts) -> bool:
    """Whether subject and issuer have the same name (RFC 5280 3.2)."""
    return facts.subject == facts.issuer or normalise_name(facts.subject) == normalise_name(facts.issuer)


def _device(facts: Facts, body: Body) -> Iterator[TrustFinding]:
    """GBCS 12, Device Certificate profile: no subject, no expiry, an EUI-64 as hardware serial number."""
    if facts.subject:
        yield TrustFinding(
            FindingCode.SUBJECT_WRONG, f"that of a device is empty, this is {facts.subject:.80}"
        )
    if facts.eui is None:
        yield TrustFinding(FindingCode.EUI_MISSING)
    if facts.not_after != NO_END:
        yield TrustFinding(FindingCode.END_WRONG)
    yield from _one_usage(facts, body)


def _organisation(facts: Facts, body: Body) -> Iterator[TrustFinding]:
    """Appendix M, Organisation Certificate profile: role in OU, EUI-64 as x500UniqueIdentifier."""
    if facts.role is None:
        yield TrustFinding(
            FindingCode.SUBJECT_WRONG, f"not one role of two hex digits in OU: {facts.subject:.80}"
        )
    if facts.eui is None:
        yield TrustFinding(FindingCode.EUI_MISSING)
    yield from _one_usage(facts, body)


def _one_usage(facts: Facts, body: Body) -> Iterator[TrustFinding]:
    if facts.usage is None:
        flags = flags_of(body)
        seen = f"flags {flags:02X}" if flags else "no flag"
        yield TrustFinding(
            FindingCode.USAGE_NOT_ALLOWED, f"{seen}; exactly digitalSignature or keyAgreement is allowed"
        )


def _oca(facts: Facts, body: Body) -> Iterator[TrustFinding]:
    """Appendix M, OCA profile: common name, keyCertSign and cRLSign; path length 0 if it is issuing."""
    length = constraints_of(body).path_length
    if facts.role == _ISSUING_ROLE and length != 0:
        yield TrustFinding(FindingCode.CONSTRAINTS_WRONG, "the path length is not 0")
    yield from _authority(facts, body, _OCA_FLAGS)


def _dca(facts: Facts, body: Body) -> Iterator[TrustFinding]:
    """DCA: a common name and keyCertSign. Its profile is known from test certificates only."""
    yield from _authority(facts, body, _DCA_FLAGS)


def _authority(facts: Facts, body: Body, allowed: frozenset[int]) -> Iterator[TrustFinding]:
    if "CN=" not in facts.subject:
        yield TrustFinding(FindingCode.SUBJECT_WRONG, f"no common name: {facts.subject:.80}")
    if not constraints_of(body).is_ca:
        yield TrustFinding(FindingCode.CONSTRAINTS_WRONG, "it does not say that it is an authority")
    flags = flags_of(body)
    if flags not in allowed:
        yield TrustFinding(
            FindingCode.USAGE_NOT_ALLOWED, f"flags {flags:02X}; keyCertSign and cRLSign are allowed"
        )


_Check = Callable[[Facts, Body], Iterator[TrustFinding]]
_KINDS: Final[dict[Kind, _Check]] = {
    Kind.DEVICE: _device,
    Kind.ORGANISATION: _organisation,
    Kind.OCA: _oca,
    Kind.DCA: _dca,
}
