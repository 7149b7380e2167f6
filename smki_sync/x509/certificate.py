"""DER certificate -> its signed parts and its facts."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from smki_sync.model.certificate import (
    NO_FLAG,
    SERIAL_SIZE_MAX,
    Eui,
    Facts,
    Flag,
    KeyId,
    Kind,
    Usage,
    serial_of,
    serial_size,
)
from smki_sync.x509 import fields
from smki_sync.x509.der import (
    BIT_STRING,
    INTEGER,
    OID,
    SEQUENCE,
    MalformedDer,
    check_bits,
    read,
    read_all,
    read_time,
)
from smki_sync.x509.fields import ExtensionList, Name, Unstated, read_name

_VERSION: Final = 0xA0  # [0] EXPLICIT
_UNIQUE_IDS: Final = (0x81, 0xA1, 0x82, 0xA2)  # [1] and [2] IMPLICIT BIT STRING, primitive or constructed
_EXTENSIONS: Final = 0xA3  # [3] EXPLICIT
_FIRST_VERSION: Final = 1  # X.509 v1, whose number is not written

_OCA_ROLES: Final = (0, 7)  # root and issuingAuthority (GBCS 12); names of the DCA have no role
_USAGES: Final = {
    fields.DIGITAL_SIGNATURE: Usage.DIGITAL_SIGNING,
    fields.KEY_AGREEMENT: Usage.KEY_AGREEMENT,
}


class Parts(NamedTuple):
    """Where the parts of a certificate are (RFC 5280 4.1).

    ``start``: of TBSCertificate, which ends at ``algorithm_start``. ``version``: 1 to 3 in a certificate
    of X.509. Pairs are the start and stop of a value; ``…_start`` and ``…_stop`` include the header.
    """

    start: int
    version: int
    serial: tuple[int, int]
    inner_start: int
    issuer_start: int
    issuer: tuple[int, int]
    validity: tuple[int, int]
    subject_start: int
    subject: tuple[int, int]
    spki_start: int
    spki_stop: int
    extensions: tuple[int, int] | None
    algorithm_start: int
    algorithm_stop: int
    signature: tuple[int, int]


def split_certificate(der: bytes) -> Parts:
    """Find the parts of the certificate that fills ``der``. Raises :class:`~.der.MalformedDer`."""
    start, stop = read_all(der, SEQUENCE)
    at, end = read(der, start, stop, SEQUENCE)
    algorithm_stop = _after_algorithm(der, end, stop)
    signature = read(der, algorithm_stop, stop, BIT_STRING)
    check_bits(der, *signature)
    if signature[1] != stop:
        raise MalformedDer(f"{stop - signature[1]} bytes after the signature")
    version, at = _read_version(der, at, end)
    serial = read(der, at, end, INTEGER)
    if serial[0] == serial[1]:
        raise MalformedDer("a serial number without bytes")
    inner_start = serial[1]
    issuer_start = _after_algorithm(der, inner_start, end)
    issuer = read(der, issuer_start, end, SEQUENCE)
    validity = read(der, issuer[1], end, SEQUENCE)
    subject = read(der, validity[1], end, SEQUENCE)
    spki_stop = _after_public_key(der, subject[1], end)
    return Parts(
        start,
        version,
        serial,
        inner_start,
        issuer_start,
        issuer,
        validity,
        validity[1],
        subject,
        subject[1],
        spki_stop,
        _find_extensions(der, spki_stop, end),
        end,
        algorithm_stop,
        signature,
    )


def _read_version(der: bytes, at: int, end: int) -> tuple[int, int]:
    """Read the version, which is absent in X.509 v1. Any number is accepted, as in OpenSSL."""
    if at == end or der[at] != _VERSION:
        return _FIRST_VERSION, at
    start, after = read(der, at, end, _VERSION)
    number, stop = read(der, start, after, INTEGER)
    if number == stop or stop != after:
        raise MalformedDer(f"not an X.509 version at byte {start}")
    return int.from_bytes(der[number:stop], signed=True) + _FIRST_VERSION, after


def _after_algorithm(der: bytes, at: int, end: int) -> int:
    """Skip an AlgorithmIdentifier with any parameters: real ones have a forbidden NULL."""
    start, stop = read(der, at, end, SEQUENCE)
    read(der, start, stop, OID)
    return stop


def _after_public_key(der: bytes, at: int, end: int) -> int:
    """Skip SubjectPublicKeyInfo: an algorithm and the bits of a key."""
    start, after = read(der, at, end, SEQUENCE)
    start, stop = read(der, _after_algorithm(der, start, after), after, BIT_STRING)
    check_bits(der, start, stop)
    if stop != after:
        raise MalformedDer(f"{after - stop} bytes after the public key")
    return after


def _find_extensions(der: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Find the extensions, which may follow unique identifiers and are the last part."""
    while at < end and der[at] in _UNIQUE_IDS:
        _, at = read(der, at, end, der[at])
    if at == end:
        return None
    start, stop = read(der, at, end, _EXTENSIONS)
    if stop != end:
        raise MalformedDer(f"{end - stop} bytes after the extensions")
    return start, stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The parts of a certificate that checks need (RFC 5280 4.1). Each is an element with its header.

    ``tbs``: what was signed. ``inner``, ``outer``: the AlgorithmIdentifiers inside and outside of it.
    ``signature``: the bytes of the signature alone. ``version``: 1 to 3 in a certificate of X.509.
    """

    tbs: bytes
    version: int
    inner: bytes
    issuer: bytes
    subject: bytes
    spki: bytes
    outer: bytes
    signature: bytes
    extensions: ExtensionList


def read_body(der: bytes) -> Body:
    """Split the certificate that fills ``der``. Raises :class:`~.der.MalformedDer`."""
    parts = split_certificate(der)
    return _body(der, parts, _extensions(der, parts))


def read_certificate(der: bytes) -> tuple[Facts, Body]:
    """Read facts and parts together. Raises :class:`~.der.MalformedDer`."""
    parts = split_certificate(der)
    extensions = _extensions(der, parts)
    return _facts(der, parts, extensions), _body(der, parts, extensions)


def _body(der: bytes, parts: Parts, extensions: ExtensionList) -> Body:
    start, stop = parts.signature
    return Body(
        tbs=der[parts.start : parts.algorithm_start],
        version=parts.version,
        inner=der[parts.inner_start : parts.issuer_start],
        issuer=der[parts.issuer_start : parts.issuer[1]],
        subject=der[parts.subject_start : parts.subject[1]],
        spki=der[parts.spki_start : parts.spki_stop],
        outer=der[parts.algorithm_start : parts.algorithm_stop],
        signature=der[start + 1 : stop],
        extensions=extensions,
    )


def _extensions(der: bytes, parts: Parts) -> ExtensionList:
    return fields.read_extensions(der, *parts.extensions) if parts.extensions else fields.NO_EXTENSIONS


def facts_of(der: bytes) -> Facts:
    """Read the facts of the certificate that fills ``der``. Raises :class:`~.der.MalformedDer`.

    The outer structure must be sound, to the last byte. A malformed, repeated or unknown extension is
    not an error: what it may have stated is ``None``, with a flag.
    """
    parts = split_certificate(der)
    return _facts(der, parts, _extensions(der, parts))


def _facts(der: bytes, parts: Parts, extensions: ExtensionList) -> Facts:
    start, stop = parts.serial
    serial = serial_of(der[start:stop])
    issuer = read_name(der[parts.issuer[0] : parts.issuer[1]])
    subject = read_name(der[parts.subject[0] : parts.subject[1]])
    not_before, not_after = _validity(der, *parts.validity)
    read = _ExtensionReader(extensions)
    key_usage, is_ca = read.key_usage(), read.is_ca()
    ski, aki = read.subject_key_id(), read.authority_key_id()
    hardware, is_device = read.hardware_eui()
    signs = not isinstance(key_usage, Unstated) and bool(key_usage & fields.KEY_CERT_SIGN)
    eui = _one_eui(hardware, subject.eui)
    usage = _usage(key_usage, is_authority=is_ca or signs)
    flags = _flags(eui, subject.role, usage, sound=read.is_sound)
    if stop - start > SERIAL_SIZE_MAX and serial_size(serial) > SERIAL_SIZE_MAX:
        flags |= Flag.SERIAL_TOO_LONG
    return Facts(
        serial=serial,
        issuer=issuer.text,
        subject=subject.text,
        not_before=not_before,
        not_after=not_after,
        kind=_kind(subject, is_device=is_device, is_authority=is_ca or signs),
        eui=None if isinstance(eui, Unstated) else eui,
        role=None if isinstance(subject.role, Unstated) else subject.role,
        usage=None if isinstance(usage, Unstated) else usage,
        ski=ski,
        aki=aki,
        flags=flags,
    )


def _validity(der: bytes, at: int, end: int) -> tuple[int, int]:
    """Read notBefore and notAfter, in seconds since 1970."""
    if at == end:
        raise MalformedDer(f"no validity at byte {at}")
    _, middle = read(der, at, end, der[at])
    return read_time(der[at:middle]), read_time(der[middle:end])


class _ExtensionReader:
    """Reads values of extensions. ``is_sound``: whether each extension that was read is well-formed."""

    __slots__ = ("_extensions", "is_sound")

    def __init__(self, extensions: ExtensionList) -> None:
        self._extensions = extensions
        self.is_sound = extensions.is_sound

    def key_usage(self) -> int | Unstated:
        value = self._extensions.value(fields.KEY_USAGE)
        if value is None:
            return self._without_value(fields.KEY_USAGE)
        try:
            return fields.read_key_usage(value)
        except MalformedDer:
            return Unstated.BROKEN

    def hardware_eui(self) -> tuple[Eui | Unstated, bool]:
        """Return the EUI-64 of the hardware module name, and whether there is such a name."""
        value = self._extensions.value(fields.SUBJECT_ALT_NAME)
        if value is None:
            return self._without_value(fields.SUBJECT_ALT_NAME), False
        try:
            eui = fields.read_hardware_eui(value)
        except MalformedDer:
            return Unstated.BROKEN, False
        return eui, eui is not Unstated.SILENT

    def is_ca(self) -> bool:
        """Whether basicConstraints make an authority. Those that are broken do not."""
        value = self._extensions.value(fields.BASIC_CONSTRAINTS)
        try:
            return value is not None and fields.read_constraints(value).is_ca
        except MalformedDer:
            self.is_sound = False
            return False

    def subject_key_id(self) -> KeyId | None:
        value = self._extensions.value(fields.SUBJECT_KEY_ID)
        try:
            return None if value is None else fields.read_subject_key_id(value)
        except MalformedDer:
            self.is_sound = False
            return None

    def authority_key_id(self) -> KeyId | None:
        value = self._extensions.value(fields.AUTHORITY_KEY_ID)
        try:
            return None if value is None else fields.read_authority_key_id(value)
        except MalformedDer:
            self.is_sound = False
            return None

    def _without_value(self, oid: bytes) -> Unstated:
        return Unstated.BROKEN if self._extensions.is_broken(oid) else Unstated.SILENT


def _one_eui(hardware: Eui | Unstated, unique: Eui | Unstated) -> Eui | Unstated:
    """Combine the EUI-64 of a device with that of an organisation, which may not both be stated."""
    if unique is Unstated.SILENT:
        return hardware
    if hardware is Unstated.SILENT or hardware == unique:
        return unique
    return Unstated.BROKEN


def _usage(flags: int | Unstated, *, is_authority: bool) -> Usage | Unstated:
    """Return the usage. Flags that no profile of a device or an organisation allows are ``BROKEN``."""
    if isinstance(flags, Unstated):
        return flags
    found = _USAGES.get(flags)
    if found is None:
        return Unstated.SILENT if is_authority else Unstated.BROKEN
    return found


def _flags(eui: object, role: object, usage: object, *, sound: bool) -> Flag:
    flags = NO_FLAG if sound else Flag.EXTENSIONS_BROKEN
    if eui is Unstated.BROKEN:
        flags |= Flag.EUI_BROKEN
    if role is Unstated.BROKEN:
        flags |= Flag.ROLE_BROKEN
    if usage is Unstated.BROKEN:
        flags |= Flag.USAGE_BROKEN
    return flags


def _kind(subject: Name, *, is_device: bool, is_authority: bool) -> Kind:
    """Find the owner of a certificate (certificate profiles of Appendix M and GBCS 12)."""
    if is_authority:
        return Kind.OCA if subject.role in _OCA_ROLES else Kind.DCA
    return Kind.DEVICE if is_device or not subject.text else Kind.ORGANISATION
