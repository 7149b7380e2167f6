"""Trust anchors: the certificates that an operator trusts, out of the files that hold them.

For: ``trust.anchors`` of the configuration: root OCA, root DCA, or an issuing authority where there is
reason to trust it. A file holds one certificate in DER, or any number in PEM. Refuses: to open a file, and
to trust what is no certificate.
"""

from collections.abc import Iterable

from smki_sync.trust.authorities import Authority, Standing, authority_of
from smki_sync.x509.pem import read_bundle


def anchors_in(octets: bytes) -> tuple[bytes, ...]:
    """The certificates of one file, as DER; raises ``ValueError`` that says what is wrong with it."""
    bundle = read_bundle(octets)
    for number, der in enumerate(bundle, 1):
        try:
            anchor = authority_of(der, Standing.UNLISTED)
        except ValueError as exc:
            raise ValueError(f"certificate {number} of {len(bundle)} is none: {exc}") from exc
        if anchor.key is None:
            raise ValueError(f"certificate {number} of {len(bundle)} has no key on P-256")
    return bundle


def anchors_of(ders: Iterable[bytes]) -> tuple[Authority, ...]:
    """Certificates that :func:`anchors_in` gave, as issuers; each once."""
    unlisted = Standing.UNLISTED
    return tuple(authority_of(der, unlisted, is_anchor=True) for der in dict.fromkeys(ders))
