"""The parts of a certificate as octets: what was signed, by which algorithm, with which key, in which words.

For: ``trust``, which proves signatures and holds certificates against their profiles. It is the same
lenient walk as in :mod:`.facts`, because bodies that the strict parser refuses have signatures too.
Refuses: to judge; a part that is odd is given as it stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from smki_sync.x509.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    Malformed,
    check_bits,
    children,
    read,
    read_all,
)

_VERSION: Final = 0xA0  # [0] EXPLICIT
_EXTENSIONS: Final = 0xA3  # [3] EXPLICIT
_FIRST: Final = 1  # X.509 v1: its number is not written


class Extension(NamedTuple):
    """One extension: whether it is critical, and its value."""

    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A certificate taken apart (RFC 5280 4.1). Elements stand with their header unless said otherwise.

    ``tbs``: what was signed. ``inner``, ``outer``: the two AlgorithmIdentifiers, inside what was signed
    and beside it. ``signature``: the octets of the signature, without the count of unused bits.
    ``issuer``, ``subject``: names. ``spki``: SubjectPublicKeyInfo. ``version``: 1 to 3.
    ``extensions``: by the value of their object identifier. ``repeated``: some stand there twice.
    ``broken``: the list cannot be read to its end; what was read before stands in ``extensions``.
    """

    tbs: bytes
    version: int
    inner: bytes
    issuer: bytes
    subject: bytes
    spki: bytes
    outer: bytes
    signature: bytes
    extensions: Mapping[bytes, Extension]
    repeated: bool
    broken: bool


def read_body(der: bytes) -> Body:
    """Take the certificate that fills ``der`` apart; raises :class:`~.der.Malformed` for any other octets."""
    start, stop = read_all(der, SEQUENCE)
    at, end = read(der, start, stop, SEQUENCE)
    outer_stop = read(der, end, stop, SEQUENCE)[1]
    signature, last = read(der, outer_stop, stop, BIT_STRING)
    check_bits(der, signature, last)
    version, at = _version(der, at, end)
    parts = [der[first:after] for _tag, first, after in _elements(der, at, end)]
    if len(parts) < len(_FIELDS):
        raise Malformed(f"{len(parts)} parts of {len(_FIELDS)} in what was signed")
    named = dict(zip(_FIELDS, parts, strict=False))
    last_part = parts[-1] if len(parts) > len(_FIELDS) else b""
    found, repeated, broken = _extensions(last_part)
    return Body(
        tbs=der[start:end],
        version=version,
        inner=named["algorithm"],
        issuer=named["issuer"],
        subject=named["subject"],
        spki=named["spki"],
        outer=der[end:outer_stop],
        signature=der[signature + 1 : last],
        extensions=found,
        repeated=repeated,
        broken=broken,
    )


_FIELDS: Final = ("serial", "algorithm", "issuer", "validity", "subject", "spki")


def _elements(octets: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag, first octet of the header, and where the element stops."""
    for tag, _start, stop in children(octets, at, end):
        yield tag, at, stop
        at = stop


def _version(der: bytes, at: int, end: int) -> tuple[int, int]:
    if at == end or der[at] != _VERSION:
        return _FIRST, at
    start, after = read(der, at, end, _VERSION)
    number, stop = read(der, start, after, INTEGER)
    return int.from_bytes(der[number:stop]) + _FIRST, after


def _extensions(element: bytes) -> tuple[dict[bytes, Extension], bool, bool]:
    """Read the list of extensions, as far as it is sound."""
    found: dict[bytes, Extension] = {}
    repeated = False
    if not element or element[0] != _EXTENSIONS:
        return found, False, False
    try:
        at, end = read_all(element, _EXTENSIONS)
        at, end = read(element, at, end, SEQUENCE)
        while at < end:
            start, at = read(element, at, end, SEQUENCE)
            first, stop = read(element, start, at, OID)
            oid = element[first:stop]
            repeated |= oid in found
            found[oid] = _extension(element, stop, at)
    except Malformed:
        return found, repeated, True
    return found, repeated, False


def _extension(octets: bytes, at: int, end: int) -> Extension:
    critical = False
    if at < end and octets[at] == BOOLEAN:
        start, at = read(octets, at, end, BOOLEAN)
        critical = any(octets[start:at])
    start, stop = read(octets, at, end, OCTET_STRING)
    if stop != end:
        raise Malformed(f"{end - stop} octets behind the value of an extension")
    return Extension(critical, octets[start:stop])
