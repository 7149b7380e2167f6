"""DER certificate -> Facts and the signed parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from smki_sync.model.certificate import Facts, Kind, Usage, serial_of
from smki_sync.x509 import fields
from smki_sync.x509.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    MalformedDer,
    check_bits,
    children,
    read,
    read_all,
    read_time,
)
from smki_sync.x509.fields import Name, read_name

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
    """Take the certificate that fills ``der`` apart.

    Raises :class:`~.der.MalformedDer` for any other octets.
    """
    start, stop = read_all(der, SEQUENCE)
    at, end = read(der, start, stop, SEQUENCE)
    outer_stop = read(der, end, stop, SEQUENCE)[1]
    signature, last = read(der, outer_stop, stop, BIT_STRING)
    check_bits(der, signature, last)
    version, at = _version(der, at, end)
    parts = [der[first:after] for _tag, first, after in _elements(der, at, end)]
    if len(parts) < len(_FIELDS):
        raise MalformedDer(f"{len(parts)} parts of {len(_FIELDS)} in what was signed")
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
    except MalformedDer:
        return found, repeated, True
    return found, repeated, False


def _extension(octets: bytes, at: int, end: int) -> Extension:
    critical = False
    if at < end and octets[at] == BOOLEAN:
        start, at = read(octets, at, end, BOOLEAN)
        critical = any(octets[start:at])
    start, stop = read(octets, at, end, OCTET_STRING)
    if stop != end:
        raise MalformedDer(f"{end - stop} octets behind the value of an extension")
    return Extension(critical, octets[start:stop])


_VERSION_FACTS = 0xA0  # [0] EXPLICIT
_UNIQUE_IDS = (0x81, 0xA1, 0x82, 0xA2)  # [1] and [2] IMPLICIT BIT STRING, whole or in parts
_EXTENSIONS_FACTS = 0xA3  # [3] EXPLICIT
_VERSIONS = (b"\0", b"\1", b"\2")  # X.509 v1, v2, v3

_OCA_ROLES = (0, 7)  # root and issuingAuthority (GBCS 12); the DCA's names carry no role
_USAGES = {
    fields.DIGITAL_SIGNATURE: Usage.DIGITAL_SIGNING,
    fields.KEY_AGREEMENT: Usage.KEY_AGREEMENT,
}


def facts_of(der: bytes) -> Facts:
    """Read the facts of a certificate that fills ``der``; raises :class:`~.der.MalformedDer`."""
    at, end = _to_be_signed(der)
    start, at = read(der, _after_version(der, at, end), end, INTEGER)
    if start == at:
        raise MalformedDer("a serial number of no octets")
    serial = serial_of(der[start:at])
    at = _after_algorithm(der, at, end)
    start, at = read(der, at, end, SEQUENCE)
    issuer = read_name(der[start:at])
    start, at = read(der, at, end, SEQUENCE)
    not_before, not_after = _validity(der, start, at)
    start, at = read(der, at, end, SEQUENCE)
    subject = read_name(der[start:at])
    at = _after_public_key(der, at, end)
    extension = _split_rest(der, at, end).get
    hardware = fields.read_hardware(extension(fields.SUBJECT_ALT_NAME, b""))
    key_usage = fields.read_key_usage(extension(fields.KEY_USAGE, b"")) or b""
    is_authority = fields.read_authority(extension(fields.BASIC_CONSTRAINTS, b"")) or False
    return Facts(
        serial=serial,
        issuer=issuer.text,
        subject=subject.text,
        not_before=not_before,
        not_after=not_after,
        kind=_kind(subject, hardware, is_authority=is_authority or _signs_certificates(key_usage)),
        eui=hardware.eui if hardware else subject.eui,
        role=subject.role,
        usage=_USAGES.get(key_usage),
        ski=fields.read_subject_key_id(extension(fields.SUBJECT_KEY_ID, b"")),
        aki=fields.read_authority_key_id(extension(fields.AUTHORITY_KEY_ID, b"")),
    )


def _to_be_signed(der: bytes) -> tuple[int, int]:
    """Open the certificate: start and stop of TBSCertificate, followed by algorithm and signature."""
    start, stop = read_all(der, SEQUENCE)
    at, end = read(der, start, stop, SEQUENCE)
    start, last = read(der, _after_algorithm(der, end, stop), stop, BIT_STRING)
    check_bits(der, start, last)
    if last != stop:
        raise MalformedDer(f"{stop - last} octets after the signature")
    return at, end


def _after_version(der: bytes, at: int, end: int) -> int:
    """Pass the version, which is absent in X.509 v1."""
    if at == end or der[at] != _VERSION_FACTS:
        return at
    start, after = read(der, at, end, _VERSION_FACTS)
    number, stop = read(der, start, after, INTEGER)
    if stop != after or der[number:stop] not in _VERSIONS:
        raise MalformedDer(f"no X.509 version at octet {start}")
    return after


def _after_algorithm(der: bytes, at: int, end: int) -> int:
    """Pass an AlgorithmIdentifier, whatever its parameters: real ones have a NULL too many."""
    start, stop = read(der, at, end, SEQUENCE)
    read(der, start, stop, OID)
    return stop


def _validity(der: bytes, at: int, end: int) -> tuple[int, int]:
    """Read notBefore and notAfter, in seconds since 1970."""
    if at == end:
        raise MalformedDer(f"no validity at octet {at}")
    _, middle = read(der, at, end, der[at])
    return read_time(der[at:middle]), read_time(der[middle:end])


def _after_public_key(der: bytes, at: int, end: int) -> int:
    """Pass SubjectPublicKeyInfo: an algorithm and the bits of a key."""
    start, after = read(der, at, end, SEQUENCE)
    start, stop = read(der, _after_algorithm(der, start, after), after, BIT_STRING)
    check_bits(der, start, stop)
    if stop != after:
        raise MalformedDer(f"{after - stop} octets after the public key")
    return after


def _split_rest(der: bytes, at: int, end: int) -> dict[bytes, bytes]:
    """Read what may follow the public key: unique identifiers, then extensions, then nothing."""
    while at < end and der[at] in _UNIQUE_IDS:
        _, at = read(der, at, end, der[at])
    if at == end:
        return {}
    start, stop = read(der, at, end, _EXTENSIONS_FACTS)
    if stop != end:
        raise MalformedDer(f"{end - stop} octets after the extensions")
    return fields.split_extensions(der, start, stop)


def _signs_certificates(key_usage: bytes) -> bool:
    return bool(key_usage and key_usage[0] & fields.KEY_CERT_SIGN)


def _kind(subject: Name, hardware: fields.Hardware | None, *, is_authority: bool) -> Kind:
    """Tell whose certificate it is (Appendix M and GBCS 12: the certificate profiles)."""
    if is_authority:
        return Kind.OCA if subject.role in _OCA_ROLES else Kind.DCA
    if hardware or not subject.text:
        return Kind.DEVICE
    return Kind.ORGANISATION
