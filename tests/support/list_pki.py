"""Authorities of a small PKI with their certificates, and lists of each form."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from smki_sync.model.certificate import key_id_of
from smki_sync.model.extract import ListInForce, ListKind, RevocationList
from smki_sync.simulator import pki
from smki_sync.simulator.pki import Authority
from smki_sync.trust.revocation_lists import ListSigner, read_list

ISSUED = datetime(2026, 11, 1, tzinfo=UTC)
LIFE = timedelta(days=30)
WHEN = datetime(2026, 10, 1, 12, tzinfo=UTC)


def authority(name: str, role: int) -> Authority:
    return Authority(label=name, name=pki.oca_name(name, role), key=pki.new_key())


ROOT = authority("OCA Root R1", pki.ROOT_ROLE)
ISSUING = authority("OCA Issuing S2", pki.ISSUING_ROLE)
SECOND_KEY = Authority(label="second", name=ISSUING.name, key=pki.new_key())


def certificate(subject: Authority, *, ski: bool = True, may_sign_lists: bool = True) -> bytes:
    """Return the certificate of an authority: always the same bytes."""
    return _certificate(subject, ski, may_sign_lists)


@cache
def _certificate(subject: Authority, ski: bool, may_sign_lists: bool) -> bytes:
    profile = pki.authority(subject.name, ISSUED - LIFE, root=subject is ROOT)
    if not may_sign_lists:
        usage = x509.KeyUsage(*(False,) * 5, True, *(False,) * 3)
        others = tuple(pair for pair in profile.extensions if not isinstance(pair[0], x509.KeyUsage))
        profile = pki.Profile(
            subject=profile.subject,
            not_before=profile.not_before,
            not_after=profile.not_after,
            extensions=(*others, (usage, True)),
        )
    serial = 77 + [ROOT, ISSUING, SECOND_KEY].index(subject)
    return pki.issue(profile, subject.key.public_key(), ROOT, serial, ski=ski)


def signer(
    subject: Authority,
    *,
    role: int | None = pki.ISSUING_ROLE,
    in_use: bool = True,
    ski: bool = True,
    may_sign_lists: bool = True,
) -> ListSigner:
    return ListSigner(
        subject=subject.name.rfc4514_string(),
        ski=key_id_of(subject.key_id) if ski else None,
        role=role,
        in_use=in_use,
        der=certificate(subject, ski=ski, may_sign_lists=may_sign_lists),
    )


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a list is written. ``number``, ``aki``: left out if ``None`` or false. ``name``: of the issuer."""

    name: x509.Name | None = None

    number: int | None = 5
    aki: bool = True
    issued: datetime = ISSUED
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    lines: tuple[tuple[int, tuple[tuple[x509.ExtensionType, bool], ...]], ...] = ()
    sha384: bool = False


def octets(by: Authority, form: Form = Form(), encoding: Encoding = Encoding.DER) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(form.name or by.name)
        .last_update(form.issued)
        .next_update(form.issued + LIFE)
    )
    own: list[tuple[x509.ExtensionType, bool]] = []
    if form.number is not None:
        own.append((x509.CRLNumber(form.number), False))
    if form.aki:
        own.append((x509.AuthorityKeyIdentifier(by.key_id, None, None), False))
    for value, critical in (*own, *form.extensions):
        builder = builder.add_extension(value, critical)
    for serial, extensions in form.lines:
        line = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(WHEN)
        for value, critical in extensions:
            line = line.add_extension(value, critical)
        builder = builder.add_revoked_certificate(line.build())
    algorithm = hashes.SHA384() if form.sha384 else hashes.SHA256()
    return builder.sign(by.key, algorithm).public_bytes(encoding)


def with_null(made: bytes, by: Authority = ISSUING, *, inside: bool = True, beside: bool = True) -> bytes:
    """Sign a list again, with a NULL among the parameters of its algorithm in either place."""
    tbs, algorithm, _ = pki.split_signed(made)
    tbs = pki.with_null_parameters(tbs) if inside else tbs
    algorithm = pki.ECDSA_WITH_SHA256_NULL if beside else algorithm
    return pki.join_signed(tbs, algorithm, by.sign(tbs))


def listed(by: Authority = ISSUING, form: Form = Form()) -> RevocationList:
    return read_list(octets(by, form))


def held(
    found: RevocationList,
    by: Authority = ISSUING,
    *,
    kind: ListKind = ListKind.CRL,
    number: int | None = 5,
    later: int = 0,
    sha256: str = "",
    signer_in_use: bool = True,
    forgotten: bool = False,
) -> ListInForce:
    """A list in force like ``found``, with another number or issued ``later`` seconds after it."""
    return ListInForce(
        file="CRL.gz",
        kind=kind,
        issuer=found.issuer,
        key_id=key_id_of(by.key_id),
        number=number,
        this_update=found.this_update + later,
        next_update=found.next_update,
        entries=len(found.revoked),
        sha256=sha256,
        applied="2026-11-01T00:00:00Z",
        signer_in_use=signer_in_use,
        scope=found.scope,
        forgotten=forgotten,
    )
