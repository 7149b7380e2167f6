"""Certificates that are named after their defect, and the PKI that they stand in.

Built with the simulator's profiles and keys: ``python -m trust.defects DIRECTORY`` (with ``tests`` on the
path) writes each as DER, beside the authorities, for whoever wants to try them elsewhere.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from smki_sync.model.certificate import Usage, parse_eui
from smki_sync.simulator import pki
from smki_sync.simulator.pki import Authority as Signer
from smki_sync.simulator.pki import Profile, key_identifier, new_key

SINCE = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
EUI = parse_eui("00-DB-12-34-56-78-90-A4")
DS, KA = Usage.DIGITAL_SIGNING, Usage.KEY_AGREEMENT
DEVICE = pki.device(EUI, DS, SINCE)
ORGANISATION = pki.organisation(EUI, 2, "Ash & Elm Energy", DS, SINCE)

Key = ec.EllipticCurvePrivateKey
Tbs = Callable[[bytes], bytes]
_serials = count(0x3641B2225809FFBBA81B3E8E320AA6CF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a certificate departs from what its profile and its issuer make it.

    ``ski``, ``aki``: other identifiers, or ``None`` for none at all. ``named``: another issuer's name.
    ``tbs``: changes what is signed, before it is signed. ``outer``: another algorithm beside it.
    """

    profile: Profile = DEVICE
    key: Key = field(default_factory=new_key)
    ski: bytes | None = b"own"
    aki: bytes | None = b"own"
    named: x509.Name | None = None
    tbs: Tbs = bytes
    outer: bytes = pki.ECDSA_WITH_SHA256


def made(plan: Plan, signer: Signer) -> bytes:
    """The certificate, signed."""
    builder = (
        x509.CertificateBuilder()
        .issuer_name(plan.named or signer.name)
        .subject_name(plan.profile.subject)
        .public_key(plan.key.public_key())
        .serial_number(next(_serials))
        .not_valid_before(plan.profile.not_before)
        .not_valid_after(plan.profile.not_after)
    )
    for extension, critical in plan.profile.extensions:
        builder = builder.add_extension(extension, critical)
    if plan.ski is not None:
        ski = key_identifier(plan.key.public_key()) if plan.ski == b"own" else plan.ski
        builder = builder.add_extension(x509.SubjectKeyIdentifier(ski), critical=False)
    if plan.aki is not None:
        aki = signer.key_id if plan.aki == b"own" else plan.aki
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(aki, None, None), critical=False)
    octets = builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)
    tbs = plan.tbs(pki.split_signed(octets)[0])
    return pki.join_signed(tbs, plan.outer, signer.sign(tbs))


def signer(name: x509.Name, key: Key | None = None) -> Signer:
    return Signer(label="", name=name, key=key or new_key())


def certified(
    authority: Signer, by: Signer, *, root: bool = False, since: datetime = SINCE, **others: object
) -> bytes:
    """An authority's own certificate; ``others``: fields of :class:`Plan`."""
    profile = pki.authority(authority.name, since, root=root)
    return made(replace(Plan(profile=profile, key=authority.key), **others), by)  # type: ignore[arg-type] # by name


def without(profile: Profile, *kinds: type[x509.ExtensionType]) -> Profile:
    """The profile without some extensions."""
    kept = tuple(pair for pair in profile.extensions if not isinstance(pair[0], kinds))
    return replace(profile, extensions=kept)


def uncritical(profile: Profile) -> Profile:
    return replace(profile, extensions=tuple((extension, False) for extension, _ in profile.extensions))


def with_usage(profile: Profile, *flags: str) -> Profile:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
        " key_cert_sign crl_sign encipher_only decipher_only"
    )
    usage = x509.KeyUsage(**{flag: flag in flags for flag in names.split()})
    bare = without(profile, x509.KeyUsage)
    return replace(bare, extensions=((usage, True), *bare.extensions))


def with_extension(profile: Profile, oid: str, *, critical: bool) -> Profile:
    extra = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00")
    return replace(profile, extensions=(*profile.extensions, (extra, critical)))


def name(**parts: str) -> x509.Name:
    oids = {"cn": NameOID.COMMON_NAME, "ou": NameOID.ORGANIZATIONAL_UNIT_NAME}
    return x509.Name([x509.NameAttribute(oids[part], text) for part, text in parts.items()])


def parts_of(element: bytes) -> list[bytes]:
    """The elements inside one."""
    parts, rest = [], pki.first(element)[1]
    while rest:
        part, _, rest = pki.first(rest)
        parts.append(part)
    return parts


def rebuilt(element: bytes, parts: Iterable[bytes]) -> bytes:
    return pki.tlv(element[0], b"".join(parts))


def in_extensions(change: Callable[[list[bytes]], list[bytes]]) -> Tbs:
    """Change the list of extensions."""

    def apply(tbs: bytes) -> bytes:
        *fields, last = parts_of(tbs)
        (sequence,) = parts_of(last)
        return rebuilt(tbs, [*fields, rebuilt(last, [rebuilt(sequence, change(parts_of(sequence)))])])

    return apply


def as_version(number: int) -> Tbs:
    """State another version; version 1 by saying none."""

    def apply(tbs: bytes) -> bytes:
        _, *fields = parts_of(tbs)
        stated = [pki.tlv(0xA0, pki.tlv(0x02, bytes((number - 1,))))] if number > 1 else []
        return rebuilt(tbs, [*stated, *fields])

    return apply


def without_parts_behind_key(tbs: bytes) -> bytes:
    return rebuilt(tbs, parts_of(tbs)[:-1])


def flipped(certificate: bytes, at: int) -> bytes:
    """One bit is another; ``at`` counts from the end where it is negative."""
    octets = bytearray(certificate)
    octets[at] ^= 1
    return bytes(octets)


class Pki:
    """Two roots and two issuing authorities, as in the SMKI; ``trusted``: the roots."""

    def __init__(self) -> None:
        self.oca_root = signer(pki.oca_name("ZA", 0))
        self.oca = signer(pki.oca_name("Z1", 7))
        self.dca_root = signer(pki.dca_name("D0C4"))
        self.dca = signer(pki.dca_name("E357"))
        self.roots = (
            certified(self.oca_root, self.oca_root, root=True),
            certified(self.dca_root, self.dca_root, root=True),
        )
        self.issuing = (certified(self.oca, self.oca_root), certified(self.dca, self.dca_root))
        self.trusted = self.roots

    @property
    def authorities(self) -> tuple[bytes, ...]:
        return (*self.roots, *self.issuing)


PKI = Pki()
P384 = ec.generate_private_key(ec.SECP384R1())


def _sha384(tbs: bytes) -> bytes:
    return tbs.replace(pki.ECDSA_WITH_SHA256, _SHA384, 1)


_SHA384 = bytes.fromhex("300A06082A8648CE3D040303")
_LONG_ID = bytes(range(20))

BY_ITSELF: Mapping[str, tuple[bytes, set[str]]] = {
    "a device as it should be": (made(Plan(), PKI.dca), set()),
    "a device for key agreement": (made(Plan(profile=pki.device(EUI, KA, SINCE)), PKI.dca), set()),
    "an organisation as it should be": (made(Plan(profile=ORGANISATION), PKI.oca), set()),
    "no subject key identifier": (made(Plan(ski=None), PKI.dca), {"ski-missing"}),
    "no authority key identifier": (made(Plan(aki=None), PKI.dca), {"aki-missing"}),
    "a subject key identifier of 20 octets": (made(Plan(ski=_LONG_ID), PKI.dca), {"key-id-length"}),
    "an authority key identifier of 20 octets": (
        made(Plan(aki=_LONG_ID), PKI.dca),
        {"key-id-length", "aki-names-another"},
    ),
    "NULL parameters": (
        made(Plan(tbs=pki.with_null_parameters, outer=pki.ECDSA_WITH_SHA256_NULL), PKI.dca),
        {"null-parameters"},
    ),
    "NULL parameters beside what was signed alone": (
        made(Plan(outer=pki.ECDSA_WITH_SHA256_NULL), PKI.dca),
        {"null-parameters", "algorithms-differ"},
    ),
    "signed with SHA-384": (
        made(Plan(tbs=_sha384, outer=_SHA384), PKI.dca),
        {"algorithm-wrong", "signature-unchecked"},
    ),
    "a key on P-384": (made(Plan(key=P384), PKI.dca), {"curve-wrong"}),
    "version 1": (
        made(Plan(tbs=lambda tbs: without_parts_behind_key(as_version(1)(tbs))), PKI.dca),
        {
            *("version-wrong", "policies-missing", "ski-missing", "aki-missing", "eui-missing"),
            "usage-not-allowed",
        },
    ),
    "version 2 with extensions": (made(Plan(tbs=as_version(2)), PKI.dca), {"version-wrong"}),
    "an extension twice": (
        made(Plan(tbs=in_extensions(lambda parts: [*parts, parts[1]])), PKI.dca),
        {"extensions-broken"},
    ),
    "extensions that cannot be read": (
        made(Plan(tbs=in_extensions(lambda parts: [*parts, b"\x30\x03\x06\x01"])), PKI.dca),
        {"extensions-broken"},
    ),
    "an extension with something behind its value": (
        made(
            Plan(
                tbs=in_extensions(lambda parts: [*parts, rebuilt(parts[1], [*parts_of(parts[1]), b"\5\0"])])
            ),
            PKI.dca,
        ),
        {"extensions-broken"},
    ),
    "an unknown extension": (
        made(Plan(profile=with_extension(DEVICE, "2.5.29.99", critical=False)), PKI.dca),
        set(),
    ),
    "an unknown critical extension": (
        made(Plan(profile=with_extension(DEVICE, "2.5.29.99", critical=True)), PKI.dca),
        {"critical-unknown"},
    ),
    "an unknown critical extension of somebody else's": (
        made(Plan(profile=with_extension(DEVICE, "1.2.3.4", critical=True)), PKI.dca),
        {"critical-unknown"},
    ),
    "nothing critical": (made(Plan(profile=uncritical(DEVICE)), PKI.dca), {"not-critical"}),
    "no policy": (
        made(Plan(profile=without(DEVICE, x509.CertificatePolicies)), PKI.dca),
        {"policies-missing"},
    ),
    "a key for both usages": (
        made(Plan(profile=with_usage(DEVICE, "digital_signature", "key_agreement")), PKI.dca),
        {"usage-not-allowed"},
    ),
    "a key for no usage": (
        made(Plan(profile=without(DEVICE, x509.KeyUsage)), PKI.dca),
        {"usage-not-allowed"},
    ),
    "an organisation's key for enciphering": (
        made(Plan(profile=with_usage(ORGANISATION, "key_encipherment")), PKI.oca),
        {"usage-not-allowed"},
    ),
    "a device with a subject": (
        made(Plan(profile=replace(DEVICE, subject=name(cn="meter"))), PKI.dca),
        {"subject-wrong"},
    ),
    "a device without an EUI-64": (
        made(Plan(profile=without(DEVICE, x509.SubjectAlternativeName)), PKI.dca),
        {"eui-missing"},
    ),
    "a device with an end": (
        made(Plan(profile=replace(DEVICE, not_after=NOW + timedelta(days=1))), PKI.dca),
        {"end-wrong"},
    ),
    "an organisation without a role": (
        made(Plan(profile=replace(ORGANISATION, subject=name(cn="somebody"))), PKI.oca),
        {"subject-wrong", "eui-missing"},
    ),
    "not valid yet": (
        made(Plan(profile=pki.device(EUI, DS, NOW + timedelta(days=1))), PKI.dca),
        {"not-yet-valid"},
    ),
    "not valid any more": (
        made(Plan(profile=replace(ORGANISATION, not_after=NOW - timedelta(days=1))), PKI.oca),
        {"expired"},
    ),
    "a false signature": (flipped(made(Plan(), PKI.dca), -1), {"signature-false"}),
    "a signature that is none": (
        pki.join_signed(pki.split_signed(made(Plan(), PKI.dca))[0], pki.ECDSA_WITH_SHA256, b"no signature"),
        {"signature-false"},
    ),
    "another serial number than was signed": (flipped(made(Plan(), PKI.dca), 20), {"signature-false"}),
    "signed by a stranger in the issuer's name": (
        made(Plan(aki=PKI.dca.key_id), signer(PKI.dca.name)),
        {"signature-false"},
    ),
    "an issuer that nobody knows": (made(Plan(), signer(name(cn="E358"))), {"issuer-unknown"}),
    "an issuer that nobody knows, and no key identifier": (
        made(Plan(aki=None), signer(name(cn="E358"))),
        {"aki-missing", "issuer-unknown"},
    ),
    "a stranger under the issuer's name, and no key identifier": (
        made(Plan(aki=None), signer(PKI.dca.name)),
        {"aki-missing", "issuer-unknown"},
    ),
    "another key than the key identifier names": (
        made(Plan(aki=PKI.oca.key_id), PKI.dca),
        {"aki-names-another"},
    ),
    "another name than its issuer has": (
        made(Plan(named=name(cn="E358")), PKI.dca),
        {"issuer-name-differs"},
    ),
    "an authority without a common name": (
        certified(signer(name(ou="07")), PKI.oca_root),
        {"subject-wrong"},
    ),
    "an issuing authority without a path length": (
        certified(signer(pki.oca_name("Z2", 7)), PKI.oca_root, root=True),
        {"constraints-wrong"},
    ),
    "an authority that does not say so": (
        made(
            Plan(
                profile=without(pki.authority(pki.dca_name("E9"), SINCE, root=False), x509.BasicConstraints)
            ),
            PKI.dca_root,
        ),
        {"constraints-wrong"},
    ),
    "an authority whose key may not sign": (
        made(
            Plan(profile=with_usage(pki.authority(pki.dca_name("E9"), SINCE, root=False), "crl_sign")),
            PKI.dca_root,
        ),
        {"usage-not-allowed"},
    ),
    "an authority below one that allows none": (
        certified(signer(pki.dca_name("E359")), PKI.dca),
        {"path-too-long"},
    ),
}
"""By name: the certificate, and the codes of all that is found against it in :data:`PKI` at :data:`NOW`."""


def main(directory: Path) -> None:
    """Write the authorities and every defect as DER."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, authority in enumerate(PKI.authorities):
        (directory / f"authority-{number}.der").write_bytes(authority)
    for title, (octets, _codes) in BY_ITSELF.items():
        (directory / f"{title.replace(' ', '-').lower()}.der").write_bytes(octets)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
