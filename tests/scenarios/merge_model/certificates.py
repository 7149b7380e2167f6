"""The certificates of the model: one authority and its devices, made with pyca/cryptography alone.

Each device has the body that the Repository issued, and two others under the same issuer and serial
number for the fault of a body that conflicts: one that the authority signed, and one with a false signature.
Keys and signatures are the same in every run.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

DEVICES = 60
AUTHORITY = 0
"""Number of the authority that issues all others; it is always In-Use."""

ISSUED, SIGNED_TOO, FALSE = 0, 1, 2
"""Bodies of one certificate: as issued; another that verifies; another that does not."""

_HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
_BEFORE = datetime(2024, 1, 1, tzinfo=UTC)
_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_SERIAL = 0x3641B2225809FFBBA81B3E8E32000000
_EUI = 0x00DB123456780000


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate. ``bodies``: the DER of each body, by its number; ``eui``: empty for the authority."""

    number: int
    serial: str
    eui: str
    bodies: tuple[bytes, ...]

    @property
    def base64(self) -> tuple[str, ...]:
        return tuple(b64encode(der).decode() for der in self.bodies)


def serial_text(number: int) -> str:
    return f"{_SERIAL + number:032X}"


def eui_text(number: int) -> str:
    return "-".join(f"{octet:02X}" for octet in (_EUI + number).to_bytes(8))


@cache
def certificates() -> tuple[Certificate, ...]:
    """Every certificate of the model, the authority first."""
    key, stranger = _key(1), _key(2)
    authority = Certificate(
        number=AUTHORITY,
        serial=serial_text(AUTHORITY),
        eui="",
        bodies=(_authority(key),),
    )
    return authority, *(_device(number, key, stranger) for number in range(1, DEVICES + 1))


@cache
def body_index() -> dict[bytes, tuple[int, int]]:
    """Number of the certificate and of its body, by DER."""
    return {der: (one.number, body) for one in certificates() for body, der in enumerate(one.bodies)}


@cache
def serial_index() -> dict[str, int]:
    """Number of the certificate, by serial number as upper-case hex."""
    return {one.serial: one.number for one in certificates()}


def _key(number: int) -> ec.EllipticCurvePrivateKey:
    """A key that is the same in every run, so that a seed leads to the same bytes."""
    return ec.derive_private_key(number, ec.SECP256R1())


def _authority(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = _name("Model issuing authority")
    builder = _builder(name, name, AUTHORITY, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    builder = builder.add_extension(_key_identifier(key), critical=False)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def _device(
    number: int, key: ec.EllipticCurvePrivateKey, stranger: ec.EllipticCurvePrivateKey
) -> Certificate:
    return Certificate(
        number=number,
        serial=serial_text(number),
        eui=eui_text(number),
        bodies=tuple(
            _device_body(number, body, key, signer) for body, signer in enumerate((key, key, stranger))
        ),
    )


def _device_body(
    number: int, body: int, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> bytes:
    own = _key(1000 + 10 * number + body)
    builder = _builder(_name("Model issuing authority"), x509.Name([]), number, own.public_key())
    octets = (_EUI + number).to_bytes(8)
    inner = bytes.fromhex("06042A030405") + bytes((4, len(octets))) + octets
    hardware = x509.OtherName(_HARDWARE_MODULE_NAME, bytes((0x30, len(inner))) + inner)
    builder = builder.add_extension(x509.SubjectAlternativeName([hardware]), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(_key_identifier(own), critical=False)
    issuer = x509.AuthorityKeyIdentifier(_key_identifier(key).digest, None, None)
    builder = builder.add_extension(issuer, critical=False)
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def _builder(
    issuer: x509.Name, subject: x509.Name, number: int, public: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public,
        serial_number=_SERIAL + number,
        not_valid_before=_BEFORE,
        not_valid_after=_AFTER,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_identifier(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    """Eight octets, as SMKI profiles have: 0100 and the last 60 bits of the key's SHA-1."""
    digest = bytearray(x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[-8:])
    digest[0] = 0x40 | digest[0] & 0x0F
    return x509.SubjectKeyIdentifier(bytes(digest))


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
