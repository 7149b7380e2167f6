"""One certificate a defect: each is found, by its own code, and nothing else is."""

from pathlib import Path

import pytest
from support.chains import codes, judged
from support.defects import BY_ITSELF, PKI, main
from support.x509_builders import ISSUING_OCA, extension, with_extensions

from smki_sync.trust.profiles import constraints_of, flags_of
from smki_sync.x509.certificate import read_body
from smki_sync.x509.fields import Constraints

UNPROVEN = {"signature-false", "signature-unchecked", "issuer-unknown"}


@pytest.mark.parametrize("title", BY_ITSELF)
def test_validate_finds_each_defect_by_its_code(title: str) -> None:
    der, expected = BY_ITSELF[title]
    verdict = judged(der)
    assert codes(verdict) == expected
    assert verdict.signed == verdict.anchored == (not expected & UNPROVEN)


@pytest.mark.parametrize("der", PKI.authorities)
def test_validate_accepts_sound_authorities(der: bytes) -> None:
    verdict = judged(der)
    assert codes(verdict) == set()
    assert verdict.anchored


def test_defects_can_be_written_to_files(tmp_path: Path) -> None:
    main(tmp_path / "defects")
    assert len(list((tmp_path / "defects").iterdir())) == len(BY_ITSELF) + len(PKI.authorities)


@pytest.mark.parametrize("number", [0x0F, 0x13])
def test_malformed_extensions_allow_nothing(number: int) -> None:
    body = read_body(with_extensions(ISSUING_OCA, extension(number, b"\x05")))
    assert flags_of(body) == 0
    assert constraints_of(body) == Constraints()
