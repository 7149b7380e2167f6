"""The facts of a certificate as pyca/cryptography tells them, written without the code under test."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from smki_sync.model.certificate import Eui, Facts, KeyId, Kind, Serial, Usage

HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
HEX = frozenset("0123456789abcdefABCDEF")


def facts_by_cryptography(der: bytes) -> Facts:
    """Raise whatever pyca/cryptography raises where it refuses the certificate or part of it."""
    certificate = x509.load_der_x509_certificate(der)
    known = {extension.oid: extension.value for extension in certificate.extensions}
    ski = known.get(x509.SubjectKeyIdentifier.oid)
    aki = known.get(x509.AuthorityKeyIdentifier.oid)
    device, is_device = _device(known.get(x509.SubjectAlternativeName.oid))
    role = _role(certificate.subject)
    return Facts(
        serial=_serial(certificate.serial_number),
        issuer=certificate.issuer.rfc4514_string(),
        subject=certificate.subject.rfc4514_string(),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        kind=_kind(certificate.subject, role, known, is_device=is_device),
        eui=device if is_device else _organisation(certificate.subject),
        role=role,
        usage=_usage(known.get(x509.KeyUsage.oid)),
        ski=_key_id(ski.digest if isinstance(ski, x509.SubjectKeyIdentifier) else None),
        aki=_key_id(aki.key_identifier if isinstance(aki, x509.AuthorityKeyIdentifier) else None),
    )


def _serial(number: int) -> Serial:
    digits = f"{number:X}"
    return Serial(digits.zfill(len(digits) + len(digits) % 2))


def _key_id(octets: bytes | None) -> KeyId | None:
    return KeyId(octets.hex().upper()) if octets else None


def _eui(octets: bytes) -> Eui | None:
    return Eui("-".join(f"{octet:02X}" for octet in octets)) if len(octets) == 8 else None


def _device(names: x509.ExtensionType | None) -> tuple[Eui | None, bool]:
    if isinstance(names, x509.SubjectAlternativeName):
        for other in names.get_values_for_type(x509.OtherName):
            if other.type_id == HARDWARE_MODULE_NAME:
                return _hardware_serial(other.value), True
    return None, False


def _hardware_serial(value: bytes) -> Eui | None:
    """Read SEQUENCE { hwType OID, hwSerialNum OCTET STRING }, all of it in under 128 octets."""
    serial_at = 4 + value[3] if len(value) > 3 else 0
    sound = len(value) < 128 and value[1] == len(value) - 2 and value[::2][:2] == b"\x30\x06"
    ends_with_serial = value[serial_at : serial_at + 2] == b"\x04\x08" and len(value) >= serial_at + 10
    return _eui(value[serial_at + 2 : serial_at + 10]) if sound and ends_with_serial else None


def _organisation(subject: x509.Name) -> Eui | None:
    for attribute in subject.get_attributes_for_oid(NameOID.X500_UNIQUE_IDENTIFIER):
        if isinstance(attribute.value, bytes) and attribute.value[:1] == b"\0" and len(attribute.value) == 9:
            return _eui(attribute.value[1:])
    return None


def _role(subject: x509.Name) -> int | None:
    for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME):
        if isinstance(attribute.value, str) and len(attribute.value) == 2 and HEX.issuperset(attribute.value):
            return int(attribute.value, 16)
    return None


def _usage(usage: x509.ExtensionType | None) -> Usage | None:
    if usage == _only(digital_signature=True):
        return Usage.DIGITAL_SIGNING
    return Usage.KEY_AGREEMENT if usage == _only(key_agreement=True) else None


def _only(*, digital_signature: bool = False, key_agreement: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _kind(
    subject: x509.Name,
    role: int | None,
    known: dict[x509.ObjectIdentifier, x509.ExtensionType],
    *,
    is_device: bool,
) -> Kind:
    constraints = known.get(x509.BasicConstraints.oid)
    usage = known.get(x509.KeyUsage.oid)
    is_authority = isinstance(constraints, x509.BasicConstraints) and constraints.ca
    signs = isinstance(usage, x509.KeyUsage) and usage.key_cert_sign
    if is_authority or signs:
        return Kind.OCA if role in {0, 7} else Kind.DCA
    return Kind.DEVICE if is_device or not list(subject) else Kind.ORGANISATION
