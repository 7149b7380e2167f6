"""``smki-sync anchors``, and ``show`` of a revoked certificate, as commands."""

import json
from datetime import date
from pathlib import Path

import pytest
from cryptography import x509
from support.cli import Json, Shell

from smki_sync.simulator.faults import Fault
from smki_sync.simulator.publisher import CRL
from smki_sync.simulator.repository import Repository

START = date(2026, 3, 2)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "repository", devices=3, days=3, start=START, seed=4)


@pytest.fixture
def smki(tmp_path: Path, repository: Repository) -> Shell:
    variables = {"SMKI_SYNC_MIRROR": str(tmp_path / "mirror"), "SMKI_SYNC_SOURCE": repository.path.as_uri()}
    shell = Shell(place=tmp_path, today=repository.today, variables=variables)
    assert shell("sync", "--json").code == 0
    return shell


def sync(smki: Shell, repository: Repository, *faults: Fault) -> Json:
    repository.advance(faults=faults)
    return smki("sync", "--json", SMKI_SYNC_TODAY=repository.today.isoformat()).document


def test_the_slots_of_every_region_are_listed_with_what_is_in_use(smki: Shell) -> None:
    ran = smki("anchors", "--json")
    assert ran.code == 0
    regions = ran.document["regions"]
    assert [one["region"] for one in regions] == ["CENTRAL_SOUTH", "NORTH"]
    assert ran.document["differences"] == []
    for one in regions:
        assert one["before"] is None
        assert all(certificate["in_use"] for certificate in one["certificates"])
        roles = {certificate["role"] for certificate in one["certificates"]}
        assert {0, 1, 4, 5, 6, 7} == roles
    text = smki("anchors").out
    assert "NORTH: " in text
    assert "wanProvider" in text
    assert "NOT In-Use" not in text


def test_what_changed_since_the_publication_before_is_told(smki: Shell, repository: Repository) -> None:
    sync(smki, repository, Fault.SLOTS_DIFFER)
    ran = smki("anchors", "--region", "north", "--json")
    assert ran.code == 10
    (north,) = ran.document["regions"]
    (odd,) = ran.document["differences"]
    assert north["added"] == [odd["serial"]]
    assert (odd["role_name"], odd["present"], odd["absent"]) == ("supplier", ["NORTH"], ["CENTRAL_SOUTH"])
    said = smki("anchors", "--region", "north")
    assert f"added supplier {odd['serial']}" in " ".join(said.out.split())
    assert " ".join(said.err.split()) == (
        f"supplier {odd['serial']} is in NORTH but not in CENTRAL_SOUTH."
        " Contact the DCC before you load devices."
    )


def test_a_certificate_that_is_not_in_use_is_said_to_be_so(smki: Shell, repository: Repository) -> None:
    sync(smki, repository, Fault.SLOTS_DIFFER, Fault.LISTED_ALONE)
    ran = smki("anchors", "--json")
    assert ran.code == 10
    unused = [
        certificate["serial"]
        for one in ran.document["regions"]
        for certificate in one["certificates"]
        if not certificate["in_use"]
    ]
    assert unused == [one["serial"] for one in ran.document["differences"]]
    said = smki("anchors")
    assert f"{unused[0]}  NOT In-Use" in said.out
    assert "1 of these are not In-Use" in said.err


def test_a_region_that_is_not_there_is_told_from_a_mirror_without_slots(smki: Shell) -> None:
    ran = smki("anchors", "--region", "WEST")
    assert ran.code == 10
    assert "no anchor slots of WEST" in ran.out
    assert "CENTRAL_SOUTH, NORTH" in ran.out


def test_a_region_is_exported_as_a_pem_bundle(smki: Shell) -> None:
    ran = smki("anchors", "--region", "NORTH", "--pem")
    assert ran.code == 0
    bundle = x509.load_pem_x509_certificates(ran.raw)
    listed = smki("anchors", "--region", "NORTH", "--json").document["regions"][0]["certificates"]
    assert [f"{one.serial_number:X}".zfill(32) for one in bundle] == [
        one["serial"].zfill(32) for one in listed
    ]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--pem"], 2),
        (["--pem", "--json"], 2),
        (["--region", "WEST"], 10),
        (["--region", "WEST", "--pem"], 2),
    ],
)
def test_what_has_no_answer_says_why(smki: Shell, words: list[str], code: int) -> None:
    ran = smki("anchors", *words)
    assert ran.code == code
    assert ran.out + ran.err


def test_a_mirror_without_slots_has_none(tmp_path: Path, repository: Repository) -> None:
    for path in repository.path.glob("*SLOTS*"):
        path.unlink()
    variables = {"SMKI_SYNC_MIRROR": str(tmp_path / "m"), "SMKI_SYNC_SOURCE": repository.path.as_uri()}
    shell = Shell(place=tmp_path, today=repository.today, variables=variables)
    assert shell("anchors").code == 7
    shell("sync", "--json")
    assert shell("anchors").code == 10
    assert shell("anchors", "--json").document["regions"] == []


def test_show_says_since_when_by_which_list_and_why_a_certificate_is_revoked(
    smki: Shell, repository: Repository
) -> None:
    document = sync(smki, repository, Fault.LISTED_ALONE)
    number = next(one["number"] for one in document["lists"] if one["file"] == CRL)
    ran = smki("find", "--status", "R", "--kind", "organisation", "--format", "json")
    found = next(one for one in json.loads(ran.out)["certificates"] if one["status"] == "I")
    shown = smki("show", f"serial:{found['serial']}", "--any-status", "--json").document["certificates"]
    (one,) = (c for c in shown if c["serial"] == found["serial"])
    assert (one["status"], one["in_use"]) == ("I", False)
    assert one["revoked"].startswith(repository.today.isoformat())
    assert one["revoked_by"] == f"{CRL} number {number}"
    assert one["revocation_reason"] is None
    text = " ".join(smki("show", f"serial:{found['serial']}", "--any-status").out.split())
    assert f"NOT In-Use: revoked since {one['revoked']} by {CRL} number {number}" in text
    assert smki("show", f"serial:{found['serial']}").code == 10
