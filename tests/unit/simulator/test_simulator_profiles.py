"""Every certificate has the profile of its kind and a signature that verifies along its chain."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID, ObjectIdentifier, SignatureAlgorithmOID

from smki_sync.model.certificate import Kind, Usage
from smki_sync.simulator.pki import (
    ECDSA_WITH_SHA256,
    ECDSA_WITH_SHA256_NULL,
    NO_QUIRKS,
    Certificate,
    Quirks,
    join_signed,
    split_signed,
)
from smki_sync.simulator.population import Registry
from smki_sync.simulator.repository import Repository

UNIQUE_IDENTIFIER = ObjectIdentifier("2.5.4.45")
HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4"
AUTHORITIES = {Kind.OCA, Kind.DCA}


def issued(path: Path, quirks: Quirks) -> list[Certificate]:
    Repository.create(path, devices=60, days=3, start=date(2026, 11, 2), seed=1, quirks=quirks)
    with Registry.open(path / ".simulator" / "registry.db") as registry:
        return [certificate for certificate, _ in registry.histories()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    return issued(tmp_path_factory.mktemp("plain"), NO_QUIRKS)


@pytest.fixture(scope="module")
def quirky(tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    path = tmp_path_factory.mktemp("quirky")
    return issued(path, Quirks(no_ski=0.3, null_parameters=0.3, second_key=True))


def loaded(certificates: list[Certificate], kind: Kind) -> list[tuple[Certificate, x509.Certificate]]:
    found = [(c, x509.load_der_x509_certificate(c.der)) for c in certificates if c.subject.kind is kind]
    assert found
    return found


def key_usages(body: x509.Certificate) -> set[str]:
    usage = body.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    plain = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    names = (*plain, "key_agreement", "key_cert_sign", "crl_sign")
    return {name for name in names if getattr(usage.value, name)}


def is_refused_by_strict_parsers(certificate: Certificate) -> bool:
    return split_signed(certificate.der)[1] == ECDSA_WITH_SHA256_NULL


def normal_form(certificate: Certificate) -> x509.Certificate:
    """The certificate without its NULLs, for a strict parser; its signature no longer verifies."""
    tbs, _, signature = split_signed(certificate.der)
    outer = ECDSA_WITH_SHA256
    shorter = tbs[4:].replace(ECDSA_WITH_SHA256_NULL, ECDSA_WITH_SHA256, 1)
    header = b"\x30\x82" + len(shorter).to_bytes(2, "big")
    return x509.load_der_x509_certificate(join_signed(header + shorter, outer, signature))


def test_every_certificate_is_small_and_signed_with_ecdsa_p256_and_sha256(plain: list[Certificate]) -> None:
    for certificate in plain:
        body = x509.load_der_x509_certificate(certificate.der)
        assert body.version is x509.Version.v3
        assert body.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
        key = body.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
        assert 350 < len(certificate.der) < 500
        assert body.extensions.get_extension_for_class(x509.CertificatePolicies).critical


def test_key_identifiers_have_8_bytes_and_name_the_issuer(
    plain: list[Certificate],
) -> None:
    bodies = [x509.load_der_x509_certificate(c.der) for c in plain]
    skis = [b.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest for b in bodies]
    akis = [b.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value for b in bodies]
    assert {len(ski) for ski in skis} == {8}
    assert all(aki.key_identifier in skis for aki in akis)
    assert len(set(skis)) == len(skis)


def test_device_certificate_has_the_device_profile(
    plain: list[Certificate],
) -> None:
    for certificate, body in loaded(plain, Kind.DEVICE):
        eui = certificate.subject.eui
        assert eui is not None
        assert list(body.subject) == []
        assert body.not_valid_after_utc.strftime("%Y%m%d%H%M%SZ") == "99991231235959Z"
        san = body.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        (name,) = san.value
        assert san.critical
        assert isinstance(name, x509.OtherName)
        assert name.type_id.dotted_string == HARDWARE_MODULE_NAME
        assert name.value.endswith(b"\x04\x08" + bytes.fromhex(eui.replace("-", "")))


def test_end_entity_key_has_one_usage_and_holder_has_both(plain: list[Certificate]) -> None:
    expected = {Usage.DIGITAL_SIGNING: {"digital_signature"}, Usage.KEY_AGREEMENT: {"key_agreement"}}
    held: dict[str, set[Usage]] = {}
    for kind in (Kind.DEVICE, Kind.ORGANISATION):
        for certificate, body in loaded(plain, kind):
            usage, eui = certificate.subject.usage, certificate.subject.eui
            assert usage is not None
            assert eui is not None
            assert key_usages(body) == expected[usage]
            held.setdefault(eui, set()).add(usage)
    assert all(usages == set(Usage) for usages in held.values())


def test_organisation_certificate_has_the_organisation_profile(plain: list[Certificate]) -> None:
    roles = set()
    for certificate, body in loaded(plain, Kind.ORGANISATION):
        eui, role = certificate.subject.eui, certificate.subject.role
        assert eui is not None
        (unit,) = body.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        (unique,) = body.subject.get_attributes_for_oid(UNIQUE_IDENTIFIER)
        assert unit.value == f"{role:02X}"
        assert unique.value == b"\0" + bytes.fromhex(eui.replace("-", ""))
        assert (body.not_valid_after_utc - body.not_valid_before_utc).days == 3650
        roles.add(role)
    assert roles == {1, 2, 3, 4, 5, 6, 8, 127, 135}


def test_authorities_have_the_profile_of_their_kind(plain: list[Certificate]) -> None:
    oca = {body.subject.rfc4514_string(): body for _, body in loaded(plain, Kind.OCA)}
    dca = {body.subject.rfc4514_string(): body for _, body in loaded(plain, Kind.DCA)}
    assert sorted(oca) == ["CN=OCA Issuing S1,OU=07", "CN=OCA Issuing S2,OU=07", "CN=OCA Root R1,OU=00"]
    assert sorted(dca) == ["CN=D0C4", "CN=E357"]
    for name, body in (oca | dca).items():
        constraints = body.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_root = "Root" in name or name == "CN=D0C4"
        assert constraints.ca
        assert constraints.path_length == (None if is_root else 0)
        assert key_usages(body) == {"key_cert_sign", "crl_sign"}
        assert (body.issuer == body.subject) == is_root


def test_serials_have_16_bytes_and_some_start_with_zeros(plain: list[Certificate]) -> None:
    digits = Counter(len(c.serial.lstrip("0")) for c in plain)
    assert max(digits) == 32
    assert min(digits) < 32
    assert len({c.serial for c in plain}) == len(plain)


@pytest.mark.parametrize("fixture", ["plain", "quirky"])
def test_every_signature_verifies_with_the_key_of_the_issuer(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    certificates: list[Certificate] = request.getfixturevalue(fixture)
    keys = {}
    for kind in AUTHORITIES:
        for _, body in loaded(certificates, kind):
            ski = body.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
            keys[ski] = body.public_key()
    for certificate in certificates:
        body = normal_form(certificate)
        aki = body.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert aki is not None
        tbs, _, signature = split_signed(certificate.der)
        key = keys[aki]
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, tbs, ec.ECDSA(SHA256()))
        with pytest.raises(InvalidSignature):
            key.verify(signature, tbs + b"\0", ec.ECDSA(SHA256()))


def test_certificates_are_regular_without_quirks(plain: list[Certificate]) -> None:
    assert not any(map(is_refused_by_strict_parsers, plain))
    assert Counter(c.signer for c in plain)["dca-second"] == 0


def test_null_parameters_are_rejected_by_a_strict_parser(
    quirky: list[Certificate],
) -> None:
    odd = [c for c in quirky if is_refused_by_strict_parsers(c)]
    assert 0 < len(odd) < len(quirky) / 2
    for certificate in odd:
        assert certificate.der.count(ECDSA_WITH_SHA256_NULL) == 2
        assert certificate.subject.kind not in AUTHORITIES
        with pytest.raises(ValueError, match="signature_alg"):
            x509.load_der_x509_certificate(certificate.der)


def test_only_end_entities_lack_the_subject_key_identifier(
    quirky: list[Certificate],
) -> None:
    lacking = []
    for certificate in quirky:
        kinds = {type(e.value) for e in normal_form(certificate).extensions}
        if x509.SubjectKeyIdentifier not in kinds:
            lacking.append(certificate.subject.kind)
    assert {Kind.DEVICE} <= set(lacking) <= {Kind.DEVICE, Kind.ORGANISATION}


def test_two_device_authorities_share_a_name_but_no_key(quirky: list[Certificate]) -> None:
    twins = [body for _, body in loaded(quirky, Kind.DCA) if body.issuer != body.subject]
    assert len(twins) == 2
    assert twins[0].subject == twins[1].subject
    assert twins[0].public_key() != twins[1].public_key()
    signers = Counter(c.signer for c in quirky if c.subject.kind is Kind.DEVICE)
    assert set(signers) == {"dca", "dca-second"}
