"""The certificate profiles of the SMKI, as values (SEC Appendix M; GBCS 0.8.1 section 12).

For: what a root, an issuing authority, an organisation and a device certificate say apart from keys
and serial. Refuses: to sign. The policy and hardware type identifiers are stand-ins: the
simulator's own, and nothing may hang on them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier

from smki_sync.model.certificate import Usage
from smki_sync.model.identity import Eui
from smki_sync.simulator import der

FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""A device certificate has no well-defined end: RFC 5280 4.1.2.5."""

ROOT_LIFE = timedelta(days=50 * 365)
ISSUING_LIFE = timedelta(days=25 * 365)
ORGANISATION_LIFE = timedelta(days=10 * 365)

ROOT_ROLE, ISSUING_ROLE = 0, 7

_HARDWARE_MODULE_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.4")
_HARDWARE_TYPE = bytes.fromhex("06072a864886f70001")
_POLICY = x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("1.2.826.0.1.99999.1"), None)])

Extensions = tuple[tuple[x509.ExtensionType, bool], ...]
"""Extensions, each with whether it is critical."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a certificate says, but for its keys, its serial and its issuer."""

    subject: x509.Name
    not_before: datetime
    not_after: datetime
    extensions: Extensions


def device(eui: Eui, usage: Usage, since: datetime) -> Profile:
    """A device: empty subject, no end, its EUI-64 in a critical subject alternative name."""
    return Profile(
        subject=x509.Name([]),
        not_before=since,
        not_after=FOREVER,
        extensions=((_KEY_USAGES[usage], True), (_POLICY, True), (_hardware_module(eui), True)),
    )


def organisation(eui: Eui, role: int, name: str | None, usage: Usage, since: datetime) -> Profile:
    """A Party or the DCC in one Remote Party Role; ten years."""
    unique = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, _unused_none(eui), _ASN1Type.BitString)
    named = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    return Profile(
        subject=x509.Name([_role(role), unique, *named]),
        not_before=since,
        not_after=since + ORGANISATION_LIFE,
        extensions=((_KEY_USAGES[usage], True), (_POLICY, True)),
    )


def authority(name: x509.Name, since: datetime, *, root: bool) -> Profile:
    """An authority: a root may sign authorities, an issuing one end entities only (pathLen 0)."""
    constraints = x509.BasicConstraints(ca=True, path_length=None if root else 0)
    return Profile(
        subject=name,
        not_before=since,
        not_after=since + (ROOT_LIFE if root else ISSUING_LIFE),
        extensions=((constraints, True), (_AUTHORITY_USAGE, True), (_POLICY, True)),
    )


def oca_name(name: str, role: int) -> x509.Name:
    """An organisation authority's name: role and common name."""
    return x509.Name([_role(role), x509.NameAttribute(NameOID.COMMON_NAME, name)])


def dca_name(name: str) -> x509.Name:
    """A device authority's name: a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _role(role: int) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}")


def _unused_none(eui: Eui) -> bytes:
    """Content of a BIT STRING whose last octet is used whole."""
    return b"\0" + bytes.fromhex(eui.replace("-", ""))


def _hardware_module(eui: Eui) -> x509.SubjectAlternativeName:
    serial = der.tlv(der.OCTET_STRING, bytes.fromhex(eui.replace("-", "")))
    module = der.tlv(der.SEQUENCE, _HARDWARE_TYPE + serial)
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
