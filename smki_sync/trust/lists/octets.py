"""A list as octets: what was signed, by which algorithm; and the same list as strict parsers want it.

For: lists whose AlgorithmIdentifiers carry a NULL, as certificates that the DCC has published do. Such a list
is read from a copy without the NULL, and proven over the octets as they were served. Refuses: to judge.
"""

from typing import Final, NamedTuple

from smki_sync.trust.keys import ECDSA_WITH_SHA256, ECDSA_WITH_SHA256_NULL
from smki_sync.x509.der import BIT_STRING, INTEGER, SEQUENCE, check_bits, element, read, read_all

_PLAIN: Final = {ECDSA_WITH_SHA256_NULL: ECDSA_WITH_SHA256}


class Parts(NamedTuple):
    """A CertificateList taken apart (RFC 5280 5.1). ``tbs``: what was signed, with its header.

    ``version``, ``rest``: what stands in it before and behind its AlgorithmIdentifier, ``inner``. ``outer``:
    the one beside it. ``signature``: the octets, without the count of unused bits.
    """

    tbs: bytes
    version: bytes
    inner: bytes
    rest: bytes
    outer: bytes
    signature: bytes

    @property
    def is_ecdsa_with_sha256(self) -> bool:
        """Whether both places name the only algorithm of SMKI (GBCS 12), with or without a NULL."""
        return all(_PLAIN.get(one, one) == ECDSA_WITH_SHA256 for one in (self.inner, self.outer))


def take_apart(der: bytes) -> Parts:
    """Take the list that fills ``der`` apart; raises :class:`~smki_sync.x509.der.Malformed`."""
    start, stop = read_all(der, SEQUENCE)
    first, end = read(der, start, stop, SEQUENCE)
    outer_stop = read(der, end, stop, SEQUENCE)[1]
    signature, last = read(der, outer_stop, stop, BIT_STRING)
    check_bits(der, signature, last)
    at = first
    if der[at] == INTEGER:  # a list of version 1 does not write it
        at = read(der, at, end, INTEGER)[1]
    inner_stop = read(der, at, end, SEQUENCE)[1]
    return Parts(
        tbs=der[start:end],
        version=der[first:at],
        inner=der[at:inner_stop],
        rest=der[inner_stop:end],
        outer=der[end:outer_stop],
        signature=der[signature + 1 : last],
    )


def without_null(der: bytes) -> bytes:
    """Give a list as it would stand without the NULL; ``der`` itself where there is none.

    Its signature proves nothing any more. Raises :class:`~smki_sync.x509.der.Malformed`.
    """
    parts = take_apart(der)
    if not {parts.inner, parts.outer} & _PLAIN.keys():
        return der
    inner, outer = (_PLAIN.get(one, one) for one in (parts.inner, parts.outer))
    tbs = element(SEQUENCE, parts.version + inner + parts.rest)
    return element(SEQUENCE, tbs + outer + element(BIT_STRING, b"\0" + parts.signature))
