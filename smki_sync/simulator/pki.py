"""Keys, signatures and serial numbers of the simulated PKI: ECDSA P-256 with SHA-256.

For: turning a :class:`~smki_sync.simulator.profiles.Profile` into a signed certificate, on request
with the defects that certificates published by the DCC for testing have. Refuses: to keep the private
key of an end entity; nobody here signs in its name. Keys and signatures are new each time, everything
else comes from the random source that the caller gives.
"""

import hashlib
from dataclasses import dataclass
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smki_sync.simulator import der
from smki_sync.simulator.profiles import Profile

_ECDSA = ec.ECDSA(hashes.SHA256())
SERIAL_OCTETS = 16
SHORT_SERIALS = 0.02
"""Share of serials with a leading zero octet, so that a small repository has one at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """Shares (0 to 1) of end entity certificates with a defect; ``second_key`` is yes or no.

    ``no_ski``: without subject key identifier. ``null_parameters``: the signature algorithm carries an
    explicit NULL, which strict parsers refuse. ``second_key``: a second issuing DCA has the name of
    the first and another key, and issues half of the device certificates.
    """

    no_ski: float = 0.0
    null_parameters: float = 0.0
    second_key: bool = False


NO_QUIRKS = Quirks()
SOME_QUIRKS = Quirks(no_ski=0.02, null_parameters=0.02, second_key=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who signs: name, private key, and the key identifier (8 octets) that its certificates carry."""

    label: str
    name: x509.Name
    key: ec.EllipticCurvePrivateKey

    @property
    def key_id(self) -> bytes:
        """Its own subject key identifier."""
        return key_identifier(self.key.public_key())

    def sign(self, tbs: bytes) -> bytes:
        """Sign octets; returns the DER of an ECDSA signature."""
        return self.key.sign(tbs, _ECDSA)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key; some 15 microseconds, so every certificate has its own."""
    return ec.generate_private_key(ec.SECP256R1())


def key_identifier(key: ec.EllipticCurvePublicKey) -> bytes:
    """Eight octets: 0100 and the last 60 bits of the key's SHA-1 (RFC 5280 4.2.1.2, method 2)."""
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    tail = hashlib.sha1(point, usedforsecurity=False).digest()[-8:]
    return bytes((0x40 | tail[0] & 0x0F,)) + tail[1:]


def new_serial(rng: Random) -> int:
    """A random positive serial of 16 octets, an eighth of them with a leading zero nibble."""
    octets = SERIAL_OCTETS - (rng.random() < SHORT_SERIALS)
    return rng.getrandbits(8 * octets - 1) | 1


def issue(
    profile: Profile,
    public_key: ec.EllipticCurvePublicKey,
    issuer: Authority,
    serial: int,
    *,
    ski: bool = True,
    null_parameters: bool = False,
) -> bytes:
    """Sign a certificate; returns its DER. The last two choose the quirks of :class:`Quirks`."""
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
    octets = signed.public_bytes(Encoding.DER)
    return _signed_with_null(octets, issuer) if null_parameters else octets


def _signed_with_null(certificate: bytes, issuer: Authority) -> bytes:
    """Write NULL parameters into both AlgorithmIdentifiers and sign again."""
    tbs = der.with_null_parameters(der.split_signed(certificate)[0])
    return der.join_signed(tbs, der.ECDSA_WITH_SHA256_NULL, issuer.sign(tbs))
