"""Trust anchors out of files."""

import pytest
from support.defects import P384, PKI, certified, name, signer
from support.x509_builders import REAL

from smki_sync.trust.chain import AuthorityStatus, anchors_in, anchors_of, authority_of
from smki_sync.trust.profiles import CheckStep, FindingCode, Severity, key_id_of_key, read_key
from smki_sync.x509.der import to_pem

BUNDLE = "".join(f"root of {n}\n{to_pem(der)}" for n, der in enumerate(PKI.roots)).encode()


def test_anchors_in_accepts_der_and_pem() -> None:
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
def test_anchors_in_raises_when_there_is_no_anchor(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        anchors_in(octets)


def test_anchors_in_names_the_bad_certificate() -> None:
    with pytest.raises(ValueError, match="certificate 2 of 2"):
        anchors_in(to_pem(PKI.roots[0]).encode() + to_pem(b"none").encode())


def test_read_key_returns_none_for_a_point_off_the_curve() -> None:
    spki = authority_of(PKI.roots[0], AuthorityStatus.UNLISTED).body.spki
    assert read_key(spki) is not None
    assert read_key(spki[:-64] + bytes(64)) is None


def test_key_id_of_key_agrees_with_real_certificates() -> None:
    for der in REAL:
        one = authority_of(der, AuthorityStatus.IN_USE)
        assert key_id_of_key(one.body.spki) == one.facts.ski


def test_label_has_name_and_key_or_the_eui() -> None:
    assert authority_of(REAL[12], AuthorityStatus.IN_USE).label == "CN=Z1,OU=07 (key 4F5688D7EC933BE2)"
    assert authority_of(REAL[0], AuthorityStatus.IN_USE).label.startswith("00-DB-12-34-56-78-90-01 (key ")


def test_each_finding_code_has_step_severity_and_words() -> None:
    assert [int(step) for step in CheckStep] == list(range(1, len(CheckStep) + 1))
    assert {code.step for code in FindingCode} == set(CheckStep)
    assert {code.severity for code in FindingCode} == set(Severity)
    assert len({code.words for code in FindingCode}) == len(FindingCode)
    assert all(step.rule and step.words for step in CheckStep)
