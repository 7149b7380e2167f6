"""The desk where certificates are issued: profile, key, serial and quirk in one place.

For: founding and daily life, which say who gets a certificate and when. Refuses: to decide that, and
to remember what it issued.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from cryptography import x509

from smki_sync.model.certificate import Kind
from smki_sync.model.identity import parse_serial
from smki_sync.simulator import pki, profiles
from smki_sync.simulator.issued import Certificate, Subject
from smki_sync.simulator.pki import Authority, Quirks
from smki_sync.simulator.profiles import Profile

OCA_ROOT, OCA, OCA_RETIRING = "oca-root", "oca", "oca-retiring"
DCA_ROOT, DCA, DCA_SECOND = "dca-root", "dca", "dca-second"
RETIRING_NAME = "OCA Issuing S1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Issues in the name of ``authorities`` (by label), with serials and quirks drawn from ``rng``."""

    rng: Random
    quirks: Quirks
    authorities: Mapping[str, Authority]

    def issue(self, subject: Subject, at: int, signer: str | None = None) -> Certificate:
        """A certificate for a device or an organisation. ``at``: seconds since 1970, UTC."""
        profile = _profile(subject, datetime.fromtimestamp(at, UTC))
        issuer = self.authorities[signer or self._signer(subject)]
        serial = pki.new_serial(self.rng)
        octets = pki.issue(
            profile,
            pki.new_key().public_key(),
            issuer,
            serial,
            ski=self.rng.random() >= self.quirks.no_ski,
            null_parameters=self.rng.random() < self.quirks.null_parameters,
        )
        return _certificate(subject, profile, issuer, serial, octets)

    def certify(self, authority: Authority, signer: Authority, role: int, at: int) -> Certificate:
        """The certificate of an authority itself; a root is signed by itself."""
        profile = profiles.authority(
            authority.name, datetime.fromtimestamp(at, UTC), root=signer is authority
        )
        serial = pki.new_serial(self.rng)
        octets = pki.issue(profile, authority.key.public_key(), signer, serial)
        kind = Kind.OCA if authority.label.startswith("oca") else Kind.DCA
        name = authority.name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        return _certificate(Subject(kind=kind, name=str(name), role=role), profile, signer, serial, octets)

    def _signer(self, subject: Subject) -> str:
        if subject.kind is Kind.ORGANISATION:
            return OCA
        return DCA_SECOND if self.quirks.second_key and self.rng.random() < 1 / 2 else DCA


def _profile(subject: Subject, since: datetime) -> Profile:
    assert subject.eui is not None
    assert subject.usage is not None
    if subject.kind is Kind.DEVICE:
        return profiles.device(subject.eui, subject.usage, since)
    assert subject.role is not None
    return profiles.organisation(subject.eui, subject.role, subject.name, subject.usage, since)


def _certificate(
    subject: Subject, profile: Profile, issuer: Authority, serial: int, octets: bytes
) -> Certificate:
    return Certificate(
        subject=subject,
        signer=issuer.label,
        issuer=issuer.name.rfc4514_string(),
        serial=parse_serial(f"{serial:X}"),
        expires=int(profile.not_after.timestamp()),
        der=octets,
    )
