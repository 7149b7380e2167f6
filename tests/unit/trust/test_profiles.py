"""One certificate a defect: each is found, by its own code, and nothing else is."""

from pathlib import Path

import pytest
from support.chains import codes, judged
from support.defects import BY_ITSELF, PKI, main

UNPROVEN = {"signature-false", "signature-unchecked", "issuer-unknown"}


@pytest.mark.parametrize("title", BY_ITSELF)
def test_a_defect_is_found_by_its_own_code_and_no_other(title: str) -> None:
    der, expected = BY_ITSELF[title]
    verdict = judged(der)
    assert codes(verdict) == expected
    assert verdict.signed == verdict.anchored == (not expected & UNPROVEN)


@pytest.mark.parametrize("der", PKI.authorities)
def test_an_authority_as_it_should_be_leads_to_an_anchor(der: bytes) -> None:
    verdict = judged(der)
    assert codes(verdict) == set()
    assert verdict.anchored


def test_the_defects_can_be_written_to_files(tmp_path: Path) -> None:
    main(tmp_path / "defects")
    assert len(list((tmp_path / "defects").iterdir())) == len(BY_ITSELF) + len(PKI.authorities)
