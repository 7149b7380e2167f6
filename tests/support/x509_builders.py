"""Certificates for the tests: real ones, ones built to the SMKI profiles, and DER by hand."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

DATA = Path(__file__).parents[1] / "data" / "certificates.json"
REAL = [base64.b64decode(one["der"]) for one in json.loads(DATA.read_text("utf-8"))["certificates"]]
DEVICE, ORGANISATION, ISSUING_OCA = REAL[0], REAL[9], REAL[12]

EUI = bytes.fromhex("00DB1234567890A4")
KEY = ec.generate_private_key(ec.SECP256R1())
HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
ECDSA_SHA256 = bytes.fromhex("300A06082A8648CE3D040302")
ECDSA_SHA256_NULL = bytes.fromhex("300C06082A8648CE3D0403020500")


def tlv(tag: int, *values: bytes) -> bytes:
    """Write one element of DER."""
    value = b"".join(values)
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + value


def unwrap(element: bytes) -> bytes:
    """Give the value of one element of DER."""
    size = element[1]
    return element[2 + (size & 0x7F if size >= 0x80 else 0) :]


def split(value: bytes) -> list[bytes]:
    """Give the elements in the value of a constructed element of sound DER."""
    elements = []
    while value:
        count = value[1] & 0x7F if value[1] >= 0x80 else 0
        size = int.from_bytes(value[2 : 2 + count]) if count else value[1]
        end = 2 + count + size
        elements.append(value[:end])
        value = value[end:]
    return elements


def name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes])


def organisation_name(role: str, *, eui: bytes = EUI, common_name: str = "") -> x509.Name:
    unique = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\0" + eui, _ASN1Type.BitString)
    attributes: list[x509.NameAttribute[str | bytes]] = [
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
        unique,
    ]
    if common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def hardware_name(serial: bytes = EUI) -> x509.SubjectAlternativeName:
    value = tlv(0x30, bytes.fromhex("06042A030405"), tlv(0x04, serial))
    return x509.SubjectAlternativeName([x509.OtherName(HARDWARE_MODULE_NAME, value)])


def key_usage(*flags: str) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
        " key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{flag: flag in flags for flag in names.split()})


def issue(
    *,
    subject: x509.Name,
    issuer: x509.Name | None = None,
    serial: int = 0x3641B2225809FFBBA81B3E8E320AA6CF,
    not_before: datetime = datetime(2016, 4, 6, tzinfo=UTC),
    not_after: datetime = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    extensions: Sequence[x509.ExtensionType] = (),
) -> bytes:
    """Build and sign a certificate with pyca/cryptography."""
    builder = x509.CertificateBuilder(
        issuer_name=name((NameOID.COMMON_NAME, "E357")) if issuer is None else issuer,
        subject_name=subject,
        public_key=KEY.public_key(),
        serial_number=serial,
        not_valid_before=not_before,
        not_valid_after=not_after,
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.KeyUsage))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


NOBODY = x509.Name([])
SKI = x509.SubjectKeyIdentifier(bytes.fromhex("431C98CE3F707B03"))
AKI = x509.AuthorityKeyIdentifier(bytes.fromhex("47D40AF3412904A0"), None, None)
DS, KA, CA = (
    key_usage("digital_signature"),
    key_usage("key_agreement"),
    key_usage("key_cert_sign", "crl_sign"),
)


def with_field(der: bytes, index: int, element: bytes) -> bytes:
    """Put ``element`` in place of field ``index`` of TBSCertificate; the signature goes stale."""
    tbs, *rest = split(unwrap(der))
    fields = split(unwrap(tbs))
    fields[index] = element
    return tlv(0x30, tlv(0x30, *fields), *rest)


def with_null_parameters(der: bytes) -> bytes:
    """Make both AlgorithmIdentifiers carry the NULL that older software wrote."""
    tbs, _, signature = split(unwrap(der))
    fields = split(unwrap(tbs))
    fields[2] = ECDSA_SHA256_NULL
    return tlv(0x30, tlv(0x30, *fields), ECDSA_SHA256_NULL, signature)


def with_extensions(der: bytes, *extensions: bytes) -> bytes:
    """Put other extensions, each a whole element, in place of all."""
    return with_field(der, 7, tlv(0xA3, tlv(0x30, *extensions)))


def extension(number: int, value: bytes, *, critical: bytes = b"") -> bytes:
    """Write an extension of id-ce (2.5.29) by hand."""
    return tlv(0x30, bytes((0x06, 0x03, 0x55, 0x1D, number)), critical, tlv(0x04, value))
