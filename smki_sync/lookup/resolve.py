"""Assess the credentials on a device: whose certificate each one is, and whether it is right."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from smki_sync.lookup.identity import FileCertificate, Reading, certificate_in
from smki_sync.lookup.verdicts import CheckVerdict, choose, verdict_of, why_not
from smki_sync.mirror.batch_queries import Matches, ProgressCallback, find_many, keys_of
from smki_sync.mirror.queries import (
    Certificate,
    Connection,
    EuiIs,
    Fingerprint,
    Identity,
    SerialIs,
    find_certificates,
    ignore_progress,
)
from smki_sync.model.certificate import ROLE_NAMES, Eui, Kind, Usage, parse_eui, serial_from_decimal
from smki_sync.reader.credentials import ReportedCredential
from smki_sync.usability import UsabilityRule

DUIS_ROLES: Final[Mapping[str, int]] = {
    "Root": 0,
    "Recovery": 1,
    "Supplier": 2,
    "NetworkOperator": 3,
    "ACB": 4,
    "TransCoS": 5,
    "LoadController": 8,
}
"""Remote Party Roles by their word in the DUIS and MMC XML schemas 5.4."""
DUIS_USAGES: Final[Mapping[str, Usage | None]] = {
    "DigitalSigning": Usage.DIGITAL_SIGNING,
    "KeyAgreement": Usage.KEY_AGREEMENT,
    "KeyAgreementTopUp": Usage.KEY_AGREEMENT,
    "KeyCertSign": None,
}
"""Key usages by their word in the schemas; ``None``: of an authority."""
_AUTHORITY_ROLES: Final = frozenset({0, 7})
_SHA1_BYTES: Final = 20


class CredentialVerdict(StrEnum):
    """The answer for one credential. Codes in JSON: never rename one."""

    CORRECT = "correct"
    UNKNOWN = "unknown"
    NOT_EXPECTED = "not-the-expected-party"
    WRONG_USAGE = "wrong-usage"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    REVOKED = "revoked"
    ISSUER_REVOKED = "issuer-revoked"
    NOT_IN_USE = "not-in-use"
    WITHDRAWN = "withdrawn"
    REVOCATION_UNKNOWN = "revocation-unknown"
    SIGNATURE_FALSE = "signature-false"
    NOT_REPORTED = "not-reported"
    UNREADABLE = "unreadable"


class Credential(NamedTuple):
    """A credential to assess. ``label``: for a line of text. ``error``: why it cannot be read.

    ``role``: by number. ``usage``: word of the schema. ``party``: that the device names.
    """

    identities: tuple[Identity, ...] = ()
    body: bytes | None = None
    role: int | None = None
    usage: str | None = None
    party: Eui | None = None
    label: str = ""
    status: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """``certificate``: the one on the device, if it is known. ``newer``: the newest usable one instead."""

    credential: Credential
    verdict: CredentialVerdict
    why: str = ""
    certificate: Certificate | None = None
    newer: Certificate | None = None


def credential_of(reported: ReportedCredential) -> Credential:
    """Read the values of a reported credential."""
    role = None if reported.role is None else DUIS_ROLES.get(reported.role)
    try:
        party = None if reported.party is None else parse_eui(reported.party)
        return Credential(
            identities=tuple(_identities(reported)),
            body=reported.body,
            role=role,
            usage=reported.usage,
            party=party,
            status=reported.status,
        )
    except ValueError as exc:
        return Credential(role=role, usage=reported.usage, error=f"{exc}.", status=reported.status)


def _identities(reported: ReportedCredential) -> Iterator[Identity]:
    if reported.sha1 is not None:
        if len(reported.sha1) != _SHA1_BYTES:
            raise ValueError(f"A SHA-1 has {_SHA1_BYTES} bytes, this has {len(reported.sha1)}")
        yield Fingerprint(algorithm="sha1", digest=reported.sha1)
    if reported.serial is not None:
        yield SerialIs(serials=(serial_from_decimal(reported.serial),))
    if reported.body is not None:
        yield SerialIs(serials=(certificate_in(reported.body).serial,))


def credential_of_line(label: str, readings: Sequence[Reading | FileCertificate], error: str) -> Credential:
    """Return the credential that a line of text names."""
    if error:
        return Credential(label=label, error=error)
    first = readings[0]
    if isinstance(first, FileCertificate):
        return Credential((SerialIs(serials=(first.serial,)),), body=first.der, label=label)
    if isinstance(first.identity, EuiIs):
        return Credential(label=label, error="An EUI-64 does not name one certificate.")
    return Credential(tuple(one.identity for one in readings if isinstance(one, Reading)), label=label)


def assess(
    db: Connection,
    credentials: Iterable[Credential],
    expected: Mapping[int, frozenset[Eui]],
    rule: UsabilityRule,
    *,
    progress: ProgressCallback = ignore_progress,
) -> list[Assessment]:
    """Assess the credentials of one device. ``expected``: the parties that each role may be."""
    every = list(credentials)
    identities = [identity for one in every for identity in one.identities]
    matches = find_many(db, identities, rule, progress=progress)
    return [_assess(db, one, matches, expected, rule) for one in every]


def _assess(
    db: Connection,
    one: Credential,
    matches: Matches,
    expected: Mapping[int, frozenset[Eui]],
    rule: UsabilityRule,
) -> Assessment:
    if one.error:
        return Assessment(credential=one, verdict=CredentialVerdict.UNREADABLE, why=one.error)
    if not one.identities:
        status = f" The device answered {one.status}." if one.status else ""
        why = f"No certificate was reported.{status}"
        return Assessment(credential=one, verdict=CredentialVerdict.NOT_REPORTED, why=why)
    found = [c for identity in one.identities for key in keys_of(identity) for c in matches.get(key, ())]
    if one.body is not None:
        found = [c for c in found if c.der == one.body]
    if not found:
        return Assessment(credential=one, verdict=CredentialVerdict.UNKNOWN, why="It is not in the mirror.")
    if len({(c.issuer, c.serial) for c in found}) > 1:
        c = choose(found).certificate
        if c is None or len({one.ski for one in found}) > 1:
            why = f"{len(found)} certificates match."
            return Assessment(credential=one, verdict=CredentialVerdict.AMBIGUOUS, why=why)
    else:
        c = found[0]
    return _assess_certificate(db, one, c, expected, rule)


def _assess_certificate(
    db: Connection,
    one: Credential,
    c: Certificate,
    expected: Mapping[int, frozenset[Eui]],
    rule: UsabilityRule,
) -> Assessment:
    newer = _newer(db, c, rule)
    verdict, why = verdict_of(c), why_not(c)
    mistake = _mistake(one, c, expected)
    if verdict is not CheckVerdict.READY and verdict is not CheckVerdict.EXPIRED:
        result, reason = CredentialVerdict(verdict.value), why
    elif mistake:
        result, reason = mistake
    elif verdict is CheckVerdict.EXPIRED:
        result, reason = CredentialVerdict.EXPIRED, why
    else:
        result, reason = CredentialVerdict.CORRECT, ""
    if newer:
        reason = f"{reason} A newer certificate is usable: serial number {newer.serial}.".strip()
    return Assessment(credential=one, verdict=result, why=reason, certificate=c, newer=newer)


def _mistake(
    one: Credential, c: Certificate, expected: Mapping[int, frozenset[Eui]]
) -> tuple[CredentialVerdict, str] | None:
    """Return why a certificate is not the expected one."""
    role = c.role if one.role is None else one.role
    if one.role is not None and c.role != one.role and not _both_authorities(one.role, c):
        why = f"The certificate has role {role_name(c.role)}, not {role_name(one.role)}."
        return CredentialVerdict.NOT_EXPECTED, why
    parties = expected.get(role) if role is not None else None
    if parties is not None and c.eui not in parties:
        why = f"It belongs to {c.eui or c.subject}, not to {' or '.join(sorted(parties))}."
        return CredentialVerdict.NOT_EXPECTED, why
    if one.party is not None and c.eui is not None and c.eui != one.party:
        return CredentialVerdict.NOT_EXPECTED, f"The device names {one.party}, the certificate {c.eui}."
    wanted = DUIS_USAGES.get(one.usage or "")
    if wanted is not None and c.usage != wanted:
        return CredentialVerdict.WRONG_USAGE, f"The certificate has usage {c.usage or 'of an authority'}."
    return None


def _both_authorities(role: int, c: Certificate) -> bool:
    return role in _AUTHORITY_ROLES and c.kind in (Kind.OCA, Kind.DCA)


def _newer(db: Connection, c: Certificate, rule: UsabilityRule) -> Certificate | None:
    """Return a later usable certificate of the same subject, role and usage: of the same key if possible."""
    if c.eui is None:
        return None
    others = find_certificates(db, EuiIs(eui=Eui(c.eui)), rule, usage=c.usage, role=c.role, any_status=True)
    for candidates in ([one for one in others if one.ski == c.ski], others):
        verdict, _, _, _, found = choose(candidates)
        if verdict is CheckVerdict.READY and found and found.not_before > c.not_before:
            return found
    return None


def role_name(role: int | None) -> str:
    """Return a Remote Party Role for people."""
    return "none" if role is None else f"{ROLE_NAMES.get(role, 'unknown')} ({role})"


def parse_expectation(text: str) -> tuple[str, Eui]:
    """Parse ``role=EUI``; raises ``ValueError``. Return the role as given, and the EUI-64."""
    role, equals, eui = text.partition("=")
    if not equals or not role.strip():
        raise ValueError("write it as role=EUI")
    return role.strip(), parse_eui(eui)
