"""Organisation ARL and CRL: what has been revoked, signed by the authority concerned.

For: the two companions that say so (SEC Appendix O 2.3.3). Refuses: device certificates; no list
exists for them. The encoding is not public: DER here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smki_sync.simulator import der
from smki_sync.simulator.pki import Authority, new_key

ARL_LIFE = timedelta(days=365)
CRL_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One line: which serial number, since when."""

    serial: int
    since: datetime


def revocation_list(
    authority: Authority, revoked: Iterable[Revoked], *, number: int, issued: datetime, life: timedelta
) -> bytes:
    """A CRL in DER. ``number``: its crlNumber, to rise with every issue."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.name)
        .last_update(issued)
        .next_update(issued + life)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(authority.key_id, None, None), critical=False)
    )
    for line in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(line.serial).revocation_date(line.since)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def signed_by_another(octets: bytes) -> bytes:
    """The same list, with the signature of a key that nobody knows."""
    tbs, algorithm, _ = der.split_signed(octets)
    return der.join_signed(tbs, algorithm, new_key().sign(tbs, ec.ECDSA(hashes.SHA256())))
