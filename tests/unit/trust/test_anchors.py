"""Trust anchors out of files."""

import pytest
from support.defects import P384, PKI, certified, name, signer
from support.x509_builders import REAL

from smki_sync.trust.chain import AuthorityStatus, anchors_in, anchors_of, authority_of
from smki_sync.trust.profiles import CheckStep, FindingCode, Severity, key_id_of_key, read_key
from smki_sync.x509.der import to_pem

BUNDLE = "".join(f"root of {n}\n{to_pem(der)}" for n, der in enumerate(PKI.roots)).encode()


def test_a_file_holds_one_anchor_in_der_or_any_number_in_pem() -> None:
    assert anchors_in(PKI.roots[0]) == (PKI.roots[0],)
    assert anchors_in(BUNDLE) == PKI.roots
    assert anchors_in(BUNDLE.replace(b"\n", b"\r\n")) == PKI.roots
    assert all(anchor.is_anchor for anchor in anchors_of(PKI.roots))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"root.pem",
        PKI.roots[0][:-1],
        BUNDLE.replace(b"M", b"!"),
        to_pem(b"no certificate").encode(),
        certified(signer(name(cn="P384"), P384), PKI.dca_root),
    ],
)
def test_a_file_that_holds_no_anchor_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        anchors_in(octets)


def test_the_second_of_two_certificates_is_named_where_it_is_none() -> None:
    with pytest.raises(ValueError, match="certificate 2 of 2"):
        anchors_in(to_pem(PKI.roots[0]).encode() + to_pem(b"none").encode())


def test_a_point_that_is_not_on_the_curve_is_no_key() -> None:
    spki = authority_of(PKI.roots[0], AuthorityStatus.UNLISTED).body.spki
    assert read_key(spki) is not None
    assert read_key(spki[:-64] + bytes(64)) is None


def test_the_key_identifier_of_a_key_is_the_one_that_the_dcc_gives_it() -> None:
    for der in REAL:
        one = authority_of(der, AuthorityStatus.IN_USE)
        assert key_id_of_key(one.body.spki) == one.facts.ski


def test_an_authority_is_named_by_its_name_and_key_and_a_device_by_its_eui() -> None:
    assert authority_of(REAL[12], AuthorityStatus.IN_USE).label == "CN=Z1,OU=07 (key 4F5688D7EC933BE2)"
    assert authority_of(REAL[0], AuthorityStatus.IN_USE).label.startswith("00-DB-12-34-56-78-90-01 (key ")


def test_every_code_has_its_step_its_weight_and_its_words() -> None:
    assert [int(step) for step in CheckStep] == list(range(1, len(CheckStep) + 1))
    assert {code.step for code in FindingCode} == set(CheckStep)
    assert {code.severity for code in FindingCode} == set(Severity)
    assert len({code.words for code in FindingCode}) == len(FindingCode)
    assert all(step.rule and step.words for step in CheckStep)
