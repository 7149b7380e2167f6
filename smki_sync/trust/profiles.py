"""What its profile asks of a certificate by itself (GBCS 12, SEC Appendix M; RFC 5280 4.2).

For: steps 2 to 4 of a verification: algorithm and key, the extensions that all have, the profile of its
kind. Refuses: to look at anything but the certificate: issuer, time and status are asked elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from smki_sync.model.certificate import Facts, Kind
from smki_sync.trust.findings import Code, Finding
from smki_sync.trust.keys import ECDSA_WITH_SHA256, ECDSA_WITH_SHA256_NULL, is_p256
from smki_sync.x509.certificate import Body, Extension
from smki_sync.x509.constraints import CRL_SIGN, KEY_CERT_SIGN, Constraints, read_constraints, read_flags

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
_OCA_FLAGS: Final = frozenset({KEY_CERT_SIGN | CRL_SIGN})
_DCA_FLAGS: Final = _OCA_FLAGS | {KEY_CERT_SIGN}  # Appendix M has no list for device certificates
_ISSUING_ROLE: Final = 7


def check_profile(facts: Facts, body: Body) -> list[Finding]:
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


def _algorithm(body: Body) -> Iterator[Finding]:
    if body.outer != ECDSA_WITH_SHA256:
        if body.outer == ECDSA_WITH_SHA256_NULL:
            yield Finding(Code.NULL_PARAMETERS)
        else:
            yield Finding(Code.ALGORITHM_WRONG, f"AlgorithmIdentifier {body.outer.hex().upper():.80}")
    if body.inner != body.outer:
        yield Finding(Code.ALGORITHMS_DIFFER)
    if not is_p256(body.spki):
        yield Finding(Code.CURVE_WRONG)


def _extensions(facts: Facts, body: Body) -> Iterator[Finding]:
    held = body.extensions
    if body.version != _V3:
        yield Finding(Code.VERSION_WRONG, f"version {body.version}")
    if body.broken or body.repeated:
        yield Finding(Code.EXTENSIONS_BROKEN, "one stands there twice" if body.repeated else "unreadable")
    for oid, extension in held.items():
        if oid not in _NAMES and extension.critical:
            yield Finding(Code.CRITICAL_UNKNOWN, f"2.5.29.{oid[2]}" if oid[:2] == b"\x55\x1d" else oid.hex())
        elif oid in _CRITICAL and not extension.critical:
            yield Finding(Code.NOT_CRITICAL, _NAMES[oid])
    if POLICIES not in held:
        yield Finding(Code.POLICIES_MISSING)
    yield from _key_ids(facts)


def _key_ids(facts: Facts) -> Iterator[Finding]:
    if facts.ski is None:
        yield Finding(Code.SKI_MISSING)
    elif len(facts.ski) != KEY_ID_DIGITS:
        yield Finding(Code.KEY_ID_LENGTH, f"its own has {len(facts.ski) // 2} octets")
    if facts.aki is None:
        if facts.subject != facts.issuer:  # who signs itself need not say with which key
            yield Finding(Code.AKI_MISSING)
    elif len(facts.aki) != KEY_ID_DIGITS:
        yield Finding(Code.KEY_ID_LENGTH, f"its issuer's has {len(facts.aki) // 2} octets")


def _device(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[Finding]:
    """GBCS 12, Device Certificate profile: no subject, no end, an EUI-64 as hardware serial number."""
    if facts.subject:
        yield Finding(Code.SUBJECT_WRONG, f"a device's is empty, this is {facts.subject:.80}")
    if facts.eui is None:
        yield Finding(Code.EUI_MISSING)
    if facts.not_after != NO_END:
        yield Finding(Code.END_WRONG)
    yield from _one_usage(facts, held)


def _organisation(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[Finding]:
    """Appendix M, Organisation Certificate profile: role in OU, EUI-64 as x500UniqueIdentifier."""
    if facts.role is None:
        yield Finding(Code.SUBJECT_WRONG, f"no role of two hex digits in OU: {facts.subject:.80}")
    if facts.eui is None:
        yield Finding(Code.EUI_MISSING)
    yield from _one_usage(facts, held)


def _one_usage(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[Finding]:
    if facts.usage is None:
        flags = read_flags(held.get(KEY_USAGE, _NONE).value)
        seen = f"flags {flags:02X}" if flags else "no flag at all"
        yield Finding(Code.USAGE_NOT_ALLOWED, f"{seen}; exactly digitalSignature or keyAgreement is")


def _oca(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[Finding]:
    """Appendix M, OCA profile: common name, keyCertSign and cRLSign; an issuing one with path length 0."""
    constraints = read_constraints(held.get(BASIC_CONSTRAINTS, _NONE).value)
    if facts.role == _ISSUING_ROLE and constraints.path_length != 0:
        yield Finding(Code.CONSTRAINTS_WRONG, f"path length {constraints.path_length}, not 0")
    yield from _authority(facts, held, constraints, _OCA_FLAGS)


def _dca(facts: Facts, held: Mapping[bytes, Extension]) -> Iterator[Finding]:
    """DCA: a common name, keyCertSign; its profile is known from test certificates alone."""
    constraints = read_constraints(held.get(BASIC_CONSTRAINTS, _NONE).value)
    yield from _authority(facts, held, constraints, _DCA_FLAGS)


def _authority(
    facts: Facts, held: Mapping[bytes, Extension], constraints: Constraints, allowed: frozenset[int]
) -> Iterator[Finding]:
    if "CN=" not in facts.subject:
        yield Finding(Code.SUBJECT_WRONG, f"no common name: {facts.subject:.80}")
    if not constraints.is_ca:
        yield Finding(Code.CONSTRAINTS_WRONG, "it does not say that it is an authority")
    flags = read_flags(held.get(KEY_USAGE, _NONE).value)
    if flags not in allowed:
        yield Finding(Code.USAGE_NOT_ALLOWED, f"flags {flags:02X}; keyCertSign and cRLSign are")


_Check = Callable[[Facts, Mapping[bytes, Extension]], Iterator[Finding]]
_KINDS: Final[Mapping[Kind, _Check]] = {
    Kind.DEVICE: _device,
    Kind.ORGANISATION: _organisation,
    Kind.OCA: _oca,
    Kind.DCA: _dca,
}
