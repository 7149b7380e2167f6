"""The facts of a certificate according to pyca/cryptography, written without the code under test."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from smki_sync.model.certificate import Eui, Facts, Flag, KeyId, Kind, Serial, Usage

HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
HEX = frozenset("0123456789abcdefABCDEF")


def facts_by_cryptography(der: bytes) -> Facts:
    """Raise what pyca/cryptography raises if it refuses the certificate or a part of it."""
    certificate = x509.load_der_x509_certificate(der)
    known = {extension.oid: extension.value for extension in certificate.extensions}
    ski = known.get(x509.SubjectKeyIdentifier.oid)
    aki = known.get(x509.AuthorityKeyIdentifier.oid)
    devices = _hardware(known.get(x509.SubjectAlternativeName.oid))
    roles = _roles(certificate.subject)
    role = next(iter(roles)) if len(roles) == 1 else None
    kind = _kind(certificate.subject, role, known, is_device=bool(devices))
    euis = [*devices[:1], *_unique(certificate.subject)] if len(devices) < 2 else [None]
    if len(devices) == 1 and euis[1:] == devices:
        euis = list(devices)
    usage = _usage(known.get(x509.KeyUsage.oid))
    flags = Flag(0)
    if euis and (len(euis) > 1 or euis[0] is None):
        flags |= Flag.EUI_BROKEN
    if len(roles) > 1:
        flags |= Flag.ROLE_BROKEN
    if x509.KeyUsage.oid in known and usage is None and kind not in (Kind.OCA, Kind.DCA):
        flags |= Flag.USAGE_BROKEN
    number = certificate.serial_number
    if (number + (number < 0)).bit_length() >= 160:
        flags |= Flag.SERIAL_TOO_LONG
    return Facts(
        serial=_serial(number),
        issuer=certificate.issuer.rfc4514_string(),
        subject=certificate.subject.rfc4514_string(),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        kind=kind,
        eui=euis[0] if len(euis) == 1 else None,
        role=role,
        usage=usage,
        ski=_key_id(ski.digest if isinstance(ski, x509.SubjectKeyIdentifier) else None),
        aki=_key_id(aki.key_identifier if isinstance(aki, x509.AuthorityKeyIdentifier) else None),
        flags=flags,
    )


def _serial(number: int) -> Serial:
    digits = f"{abs(number):X}"
    return Serial("-" * (number < 0) + digits.zfill(len(digits) + len(digits) % 2))


def _key_id(data: bytes | None) -> KeyId | None:
    return KeyId(data.hex().upper()) if data else None


def _eui(data: bytes) -> Eui | None:
    return Eui("-".join(f"{byte:02X}" for byte in data)) if len(data) == 8 else None


def _hardware(names: x509.ExtensionType | None) -> list[Eui | None]:
    """The EUI-64 of each hardware module name, ``None`` if it has none."""
    if not isinstance(names, x509.SubjectAlternativeName):
        return []
    others = names.get_values_for_type(x509.OtherName)
    return [_hardware_serial(other.value) for other in others if other.type_id == HARDWARE_MODULE_NAME]


def _hardware_serial(value: bytes) -> Eui | None:
    """Read SEQUENCE { hwType OID, hwSerialNum OCTET STRING } in under 128 bytes, and nothing else."""
    serial_at = 4 + value[3] if len(value) > 3 else 0
    sound = len(value) < 128 and value[1] == len(value) - 2 and value[::2][:2] == b"\x30\x06"
    ends_with_serial = value[serial_at : serial_at + 2] == b"\x04\x08" and len(value) == serial_at + 10
    return _eui(value[serial_at + 2 :]) if sound and ends_with_serial else None


def _unique(subject: x509.Name) -> list[Eui | None]:
    """The EUI-64 of each unique identifier, ``None`` if it is malformed."""
    return [
        _eui(one.value[1:]) if isinstance(one.value, bytes) and one.value[:1] == b"\0" else None
        for one in subject.get_attributes_for_oid(NameOID.X500_UNIQUE_IDENTIFIER)
    ]


def _roles(subject: x509.Name) -> set[int]:
    units = (one.value for one in subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME))
    return {
        int(unit, 16) for unit in units if isinstance(unit, str) and len(unit) == 2 and HEX.issuperset(unit)
    }


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
