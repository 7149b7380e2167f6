"""The simulated PKI: DER, keys, certificate profiles, issuing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier

from smki_sync.model.certificate import Eui, Kind, Serial, Status, Usage, parse_serial

SEQUENCE = 0x30
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier as in RFC 5758 3.2: without parameters."""

ECDSA_WITH_SHA256_NULL = bytes.fromhex("300c06082a8648ce3d0403020500")
"""The same with an explicit NULL, as in certificates of older Java and in some DCC test certificates."""


def tlv(tag: int, content: bytes) -> bytes:
    """Return one DER element."""
    size = len(content)
    if size < 0x80:  # noqa: PLR2004  short form of the length, X.690 8.1.3.4
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def first(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the first element, its content, and the rest of the data."""
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    return data[: start + size], data[start : start + size], data[start + size :]


def split_signed(der: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the signed part, the algorithm and the signature value of a certificate or a CRL."""
    tbs, _, rest = first(first(der)[1])
    algorithm, _, rest = first(rest)
    return tbs, algorithm, first(rest)[1][1:]  # a BIT STRING starts with its number of unused bits


def join_signed(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return a signed object; the inverse of :func:`split_signed`."""
    return tlv(SEQUENCE, tbs + algorithm + tlv(BIT_STRING, b"\0" + signature))


def with_null_parameters(tbs: bytes) -> bytes:
    """Add an explicit NULL to the signature algorithm in a TBSCertificate."""
    return tlv(SEQUENCE, first(tbs)[1].replace(ECDSA_WITH_SHA256, ECDSA_WITH_SHA256_NULL, 1))


FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""A device certificate has no expiry date (RFC 5280 4.1.2.5)."""

ROOT_LIFE = timedelta(days=50 * 365)
ISSUING_LIFE = timedelta(days=25 * 365)
ORGANISATION_LIFE = timedelta(days=10 * 365)

ROOT_ROLE, ISSUING_ROLE = 0, 7

_HARDWARE_MODULE_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.4")
_HARDWARE_TYPE = bytes.fromhex("06072a864886f70001")
_POLICY = x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("1.2.826.0.1.99999.1"), None)])

Extensions = tuple[tuple[x509.ExtensionType, bool], ...]
"""Extensions, and whether each is critical."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The content of a certificate without keys, serial number and issuer."""

    subject: x509.Name
    not_before: datetime
    not_after: datetime
    extensions: Extensions


def device(eui: Eui, usage: Usage, since: datetime) -> Profile:
    """Return the profile of a device: empty subject, no expiry, EUI-64 in a critical alternative name."""
    return Profile(
        subject=x509.Name([]),
        not_before=since,
        not_after=FOREVER,
        extensions=((_KEY_USAGES[usage], True), (_POLICY, True), (_hardware_module(eui), True)),
    )


def organisation(eui: Eui, role: int, name: str | None, usage: Usage, since: datetime) -> Profile:
    """Return the profile of a Party or the DCC in one Remote Party Role, valid for ten years."""
    unique = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, _bit_string(eui), _ASN1Type.BitString)
    named = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    return Profile(
        subject=x509.Name([_role(role), unique, *named]),
        not_before=since,
        not_after=since + ORGANISATION_LIFE,
        extensions=((_KEY_USAGES[usage], True), (_POLICY, True)),
    )


def authority(name: x509.Name, since: datetime, *, root: bool) -> Profile:
    """Return the profile of an authority. An issuing authority signs end entities only (pathLen 0)."""
    constraints = x509.BasicConstraints(ca=True, path_length=None if root else 0)
    return Profile(
        subject=name,
        not_before=since,
        not_after=since + (ROOT_LIFE if root else ISSUING_LIFE),
        extensions=((constraints, True), (_AUTHORITY_USAGE, True), (_POLICY, True)),
    )


def oca_name(name: str, role: int) -> x509.Name:
    """Return the name of an organisation authority: role and common name."""
    return x509.Name([_role(role), x509.NameAttribute(NameOID.COMMON_NAME, name)])


def dca_name(name: str) -> x509.Name:
    """Return the name of a device authority: only a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _role(role: int) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}")


def _bit_string(eui: Eui) -> bytes:
    """Return the content of a BIT STRING without unused bits."""
    return b"\0" + bytes.fromhex(eui.replace("-", ""))


def _hardware_module(eui: Eui) -> x509.SubjectAlternativeName:
    serial = tlv(OCTET_STRING, bytes.fromhex(eui.replace("-", "")))
    module = tlv(SEQUENCE, _HARDWARE_TYPE + serial)
    return x509.SubjectAlternativeName([x509.OtherName(_HARDWARE_MODULE_NAME, module)])


def _key_usage(*, signature: bool = False, agreement: bool = False, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=agreement,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


_KEY_USAGES = {
    Usage.DIGITAL_SIGNING: _key_usage(signature=True),
    Usage.KEY_AGREEMENT: _key_usage(agreement=True),
}
_AUTHORITY_USAGE = _key_usage(authority=True)


_ECDSA = ec.ECDSA(hashes.SHA256())
SERIAL_BYTES = 16
SHORT_SERIALS = 0.02
"""Share of serial numbers with a leading zero byte, so that a small repository has some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """Shares (0 to 1) of end entity certificates with a peculiarity.

    Args:
        no_ski: Without a subject key identifier.
        null_parameters: The signature algorithm has an explicit NULL, which strict parsers reject.
        second_key: Whether a second issuing DCA has the same name and another key, and issues half of the
            device certificates.
    """

    no_ski: float = 0.0
    null_parameters: float = 0.0
    second_key: bool = False


NO_QUIRKS = Quirks()
SOME_QUIRKS = Quirks(no_ski=0.02, null_parameters=0.02, second_key=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An authority that signs: its name and private key."""

    label: str
    name: x509.Name
    key: ec.EllipticCurvePrivateKey

    @property
    def key_id(self) -> bytes:
        """Its subject key identifier, 8 bytes."""
        return key_identifier(self.key.public_key())

    def sign(self, tbs: bytes) -> bytes:
        """Sign bytes; return the DER of an ECDSA signature."""
        return self.key.sign(tbs, _ECDSA)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key. That takes about 15 microseconds, so every certificate has its own."""
    return ec.generate_private_key(ec.SECP256R1())


def key_identifier(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return 8 bytes: 0100 and the last 60 bits of the SHA-1 of the key (RFC 5280 4.2.1.2, method 2)."""
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    tail = hashlib.sha1(point, usedforsecurity=False).digest()[-8:]
    return bytes((0x40 | tail[0] & 0x0F,)) + tail[1:]


def new_serial(rng: Random) -> int:
    """Return a random positive serial number of 16 bytes; an eighth have a leading zero digit."""
    size = SERIAL_BYTES - (rng.random() < SHORT_SERIALS)
    return rng.getrandbits(8 * size - 1) | 1


def issue(
    profile: Profile,
    public_key: ec.EllipticCurvePublicKey,
    issuer: Authority,
    serial: int,
    *,
    ski: bool = True,
    null_parameters: bool = False,
) -> bytes:
    """Sign a certificate; return its DER. ``ski`` and ``null_parameters``: see :class:`Quirks`."""
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer.name)
        .subject_name(profile.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(profile.not_before)
        .not_valid_after(profile.not_after)
    )
    for extension, critical in profile.extensions:
        builder = builder.add_extension(extension, critical)
    if ski:
        builder = builder.add_extension(x509.SubjectKeyIdentifier(key_identifier(public_key)), critical=False)
    authority_key = x509.AuthorityKeyIdentifier(issuer.key_id, None, None)
    signed = builder.add_extension(authority_key, critical=False).sign(issuer.key, hashes.SHA256())
    der = signed.public_bytes(Encoding.DER)
    return _signed_with_null(der, issuer) if null_parameters else der


def _signed_with_null(certificate: bytes, issuer: Authority) -> bytes:
    """Add NULL parameters to both AlgorithmIdentifiers and sign again."""
    tbs = with_null_parameters(split_signed(certificate)[0])
    return join_signed(tbs, ECDSA_WITH_SHA256_NULL, issuer.sign(tbs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The holder and the purpose of a certificate. ``name``: common name of an authority or organisation."""

    kind: Kind
    eui: Eui | None = None
    name: str | None = None
    role: int | None = None
    usage: Usage | None = None
    manufacturing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate.

    Args:
        number: Order of issue from 1; 0 before it is stored.
        signer: Label of the authority that signed it.
        issuer: The name of the issuer, as RFC 4514 text.
        expires: Time of expiry in UTC, in seconds since 1970.
    """

    number: int = 0
    subject: Subject
    signer: str
    issuer: str
    serial: Serial
    expires: int
    der: bytes


History = tuple[tuple[int, Status], ...]
"""Times in seconds since 1970, each with the status from then on, oldest first."""


def status_at(history: History, time: int) -> Status | None:
    """Return the status at a time, or ``None`` before the certificate was issued."""
    return next((status for at, status in reversed(history) if at <= time), None)


OCA_ROOT, OCA, OCA_RETIRING = "oca-root", "oca", "oca-retiring"
DCA_ROOT, DCA, DCA_SECOND = "dca-root", "dca", "dca-second"
RETIRING_NAME = "OCA Issuing S1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIssuer:
    """Issues certificates of ``authorities`` (by label), with random serial numbers and quirks."""

    rng: Random
    quirks: Quirks
    authorities: Mapping[str, Authority]

    def issue(self, subject: Subject, at: int, signer: str | None = None) -> Certificate:
        """Return a certificate for a device or an organisation. ``at``: UTC, in seconds since 1970."""
        profile = _profile(subject, datetime.fromtimestamp(at, UTC))
        issuer = self.authorities[signer or self._signer(subject)]
        serial = new_serial(self.rng)
        der = issue(
            profile,
            new_key().public_key(),
            issuer,
            serial,
            ski=self.rng.random() >= self.quirks.no_ski,
            null_parameters=self.rng.random() < self.quirks.null_parameters,
        )
        return _certificate(subject, profile, issuer, serial, der)

    def certify(self, subject: Authority, signer: Authority, role: int, at: int) -> Certificate:
        """Return the certificate of an authority. A root is self-signed."""
        profile = authority(subject.name, datetime.fromtimestamp(at, UTC), root=signer is subject)
        serial = new_serial(self.rng)
        der = issue(profile, subject.key.public_key(), signer, serial)
        kind = Kind.OCA if subject.label.startswith("oca") else Kind.DCA
        name = subject.name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        return _certificate(Subject(kind=kind, name=str(name), role=role), profile, signer, serial, der)

    def _signer(self, subject: Subject) -> str:
        if subject.kind is Kind.ORGANISATION:
            return OCA
        return DCA_SECOND if self.quirks.second_key and self.rng.random() < 1 / 2 else DCA


def _profile(subject: Subject, since: datetime) -> Profile:
    assert subject.eui is not None
    assert subject.usage is not None
    if subject.kind is Kind.DEVICE:
        return device(subject.eui, subject.usage, since)
    assert subject.role is not None
    return organisation(subject.eui, subject.role, subject.name, subject.usage, since)


def _certificate(
    subject: Subject, profile: Profile, issuer: Authority, serial: int, der: bytes
) -> Certificate:
    return Certificate(
        subject=subject,
        signer=issuer.label,
        issuer=issuer.name.rfc4514_string(),
        serial=parse_serial(f"{serial:X}"),
        expires=int(profile.not_after.timestamp()),
        der=der,
    )
