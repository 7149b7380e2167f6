"""The walk through one certificate: from its octets to :class:`~smki_sync.model.certificate.Facts`.

For: the fields of RFC 5280 4.1 in their order, each where the one before it stopped. Refuses: to
look at the key or the signature beyond their being there.
"""

from smki_sync.model.certificate import Facts, Kind, Usage
from smki_sync.model.identity import serial_of
from smki_sync.x509 import fields
from smki_sync.x509.der import BIT_STRING, INTEGER, OID, SEQUENCE, Malformed, check_bits, read, read_all
from smki_sync.x509.names import Name, read_name
from smki_sync.x509.times import read_time

_VERSION = 0xA0  # [0] EXPLICIT
_UNIQUE_IDS = (0x81, 0xA1, 0x82, 0xA2)  # [1] and [2] IMPLICIT BIT STRING, whole or in parts
_EXTENSIONS = 0xA3  # [3] EXPLICIT
_VERSIONS = (b"\0", b"\1", b"\2")  # X.509 v1, v2, v3

_OCA_ROLES = (0, 7)  # root and issuingAuthority (GBCS 12); the DCA's names carry no role
_USAGES = {
    fields.DIGITAL_SIGNATURE: Usage.DIGITAL_SIGNING,
    fields.KEY_AGREEMENT: Usage.KEY_AGREEMENT,
}


def facts_of(der: bytes) -> Facts:
    """Read the facts of a certificate that fills ``der``; raises :class:`~.der.Malformed`."""
    at, end = _to_be_signed(der)
    start, at = read(der, _after_version(der, at, end), end, INTEGER)
    if start == at:
        raise Malformed("a serial number of no octets")
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
        raise Malformed(f"{stop - last} octets after the signature")
    return at, end


def _after_version(der: bytes, at: int, end: int) -> int:
    """Pass the version, which is absent in X.509 v1."""
    if at == end or der[at] != _VERSION:
        return at
    start, after = read(der, at, end, _VERSION)
    number, stop = read(der, start, after, INTEGER)
    if stop != after or der[number:stop] not in _VERSIONS:
        raise Malformed(f"no X.509 version at octet {start}")
    return after


def _after_algorithm(der: bytes, at: int, end: int) -> int:
    """Pass an AlgorithmIdentifier, whatever its parameters: real ones have a NULL too many."""
    start, stop = read(der, at, end, SEQUENCE)
    read(der, start, stop, OID)
    return stop


def _validity(der: bytes, at: int, end: int) -> tuple[int, int]:
    """Read notBefore and notAfter, in seconds since 1970."""
    if at == end:
        raise Malformed(f"no validity at octet {at}")
    _, middle = read(der, at, end, der[at])
    return read_time(der[at:middle]), read_time(der[middle:end])


def _after_public_key(der: bytes, at: int, end: int) -> int:
    """Pass SubjectPublicKeyInfo: an algorithm and the bits of a key."""
    start, after = read(der, at, end, SEQUENCE)
    start, stop = read(der, _after_algorithm(der, start, after), after, BIT_STRING)
    check_bits(der, start, stop)
    if stop != after:
        raise Malformed(f"{after - stop} octets after the public key")
    return after


def _split_rest(der: bytes, at: int, end: int) -> dict[bytes, bytes]:
    """Read what may follow the public key: unique identifiers, then extensions, then nothing."""
    while at < end and der[at] in _UNIQUE_IDS:
        _, at = read(der, at, end, der[at])
    if at == end:
        return {}
    start, stop = read(der, at, end, _EXTENSIONS)
    if stop != end:
        raise Malformed(f"{end - stop} octets after the extensions")
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
