"""``verify`` and ``status`` at the prompt: what is said, in JSON and in words, and the exit codes."""

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from support.cli import Shell
from support.defects import PKI
from support.trust_mirrors import FULL_DAY, mirror_of

from smki_sync.model.certificate import Kind
from smki_sync.simulator.pki import SOME_QUIRKS
from smki_sync.simulator.repository import Repository
from smki_sync.x509.der import to_pem
from unit.verify.test_runner import SOUND

TODAY = date(2026, 11, 22)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    mirror_of(tmp_path / "mirror", SOUND)
    return Shell(place=tmp_path, today=TODAY, variables={"SMKI_SYNC_MIRROR": str(tmp_path / "mirror")})


def anchored(shell: Shell, *ders: bytes) -> None:
    """Configure trust anchors, in one PEM file beside the configuration."""
    (shell.place / "roots.pem").write_text("".join(map(to_pem, ders)))
    (shell.place / "smki-sync.toml").write_text('[trust]\nanchors = ["roots.pem"]\n')


def test_a_sound_and_anchored_mirror_ends_with_0(shell: Shell) -> None:
    anchored(shell, *PKI.roots)
    ran = shell("verify", "--json")
    assert ran.code == 0, ran.err
    told = ran.document
    assert (told["outcome"], told["anchored"], told["anchors"]) == ("sound", True, 2)
    assert told["certificates"] == {
        "checked": len(SOUND),
        "anchored": len(SOUND),
        "with_errors": 0,
        "with_warnings": 0,
    }
    assert set(told["aspects"].values()) == {"sound"}
    again = shell("verify", "--all", "--json").document["signatures"]
    assert (again["proven"], again["remembered"]) == (0, told["signatures"]["proven"])


def test_without_anchors_verify_and_status_say_plainly_that_nothing_is_anchored(shell: Shell) -> None:
    ran = shell("verify")
    assert ran.code == 0
    assert ran.out.startswith("The mirror was verified without trust anchors: no errors")
    assert shell("verify", "--json").document["anchored"] is False
    status = shell("status", "--json").document
    assert (status["anchored"], status["anchors"]) == (False, 0)
    assert status["last_verified"]["anchored"] is False
    assert "no trust anchors" in shell("status").out


def test_status_says_when_the_mirror_was_last_verified_and_what_was_found(shell: Shell) -> None:
    anchored(shell, *PKI.roots)
    assert shell("status", "--json").document["last_verified"] is None
    assert "never fully verified: run `smki-sync verify`" in shell("status").out
    shell("verify")
    first = shell("status", "--json").document["last_verified"]
    assert (first["errors"], first["position"], first["anchored"]) == (0, FULL_DAY.isoformat(), True)
    shell("verify", "--at", "2001-01-01")
    assert shell("status", "--json").document["last_verified"]["errors"] > 0
    assert "errors" in shell("status").out


def test_status_says_that_what_was_verified_has_been_replaced(shell: Shell) -> None:
    shell("verify")
    assert shell("status", "--json").document["last_verified"]["replaced"] is False
    assert "replaced since" not in shell("status").out
    mirror_of(shell.place / "mirror", SOUND)
    assert shell("status", "--json").document["last_verified"]["replaced"] is True
    assert "replaced since" in shell("status").out


def test_findings_end_with_10_and_are_named_in_words_that_fit(shell: Shell) -> None:
    anchored(shell, PKI.roots[0])
    ran = shell("verify")
    assert ran.code == 10
    assert ran.out.splitlines()[0] == "Verification FAILED. See the errors below."
    assert ran.out.splitlines()[1].startswith("  position ")
    assert "not-anchored" in ran.out
    assert "add it to trust.anchors" in " ".join(ran.out.split())
    assert "more; --list FILE writes all" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_damaged_mirror_ends_with_10_and_says_what_to_do(shell: Shell) -> None:
    with closing(sqlite3.connect(shell.place / "mirror" / "mirror.db")) as db, db:
        db.execute("UPDATE certificate SET status = 'N' WHERE id = 9")
    ran = shell("verify")
    assert ran.code == 10
    assert "DAMAGED" in ran.out
    assert "`smki-sync sync` rebuilds the mirror" in ran.out
    told = shell("verify", "--json").document
    assert told["aspects"] == {"pages": "sound", "indexes": "sound", "counts": "damaged", "digest": "damaged"}


def test_a_sample_says_what_it_did_not_look_at(shell: Shell) -> None:
    ran = shell("verify", "--sample", "4")
    assert ran.code == 0
    assert "not checked" in ran.out
    told = shell("verify", "--sample", "4", "--json").document
    assert (told["sample"], told["certificates"]["checked"]) == (4, 4)
    assert set(told["aspects"].values()) == {"not-checked"}


def test_the_time_may_be_a_date_a_time_or_nothing_else(shell: Shell) -> None:
    assert shell("verify", "--at", "2001-01-01", "--json").document["at"] == "2001-01-01T00:00:00Z"
    later = shell("verify", "--at", "2026-01-01T12:30:00+01:00", "--json").document
    assert later["at"] == "2026-01-01T11:30:00Z"
    assert shell("verify", "--at", "2026-01-01T12:30", "--json").document["at"] == "2026-01-01T12:30:00Z"
    assert shell("verify", "--at", "yesterday", "--json").document["at"].endswith("T00:00:00Z")
    wrong = shell("verify", "--at", "last week", "--json")
    assert (wrong.code, wrong.error["code"]) == (2, "usage")


def test_all_and_a_sample_exclude_one_another(shell: Shell) -> None:
    assert shell("verify", "--all", "--sample", "3").code == 2
    assert shell("verify", "--sample", "0").code == 2


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"x" * 1_000_001])
def test_an_anchor_that_is_named_and_is_none_is_an_error_of_the_configuration(
    shell: Shell, content: bytes | None
) -> None:
    anchored(shell, *PKI.roots)
    path = shell.place / "roots.pem"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for command in ("verify", "status"):
        ran = shell(command, "--json")
        assert (ran.code, ran.error["code"]) == (8, "trust-anchor")
        assert "roots.pem" in ran.error["message"]


def test_where_there_is_no_mirror_that_is_said(tmp_path: Path) -> None:
    ran = Shell(place=tmp_path)("verify", "--mirror", "nowhere", "--json")
    assert (ran.code, ran.error["code"]) == (7, "no-mirror")
    assert list(tmp_path.iterdir()) == []


def test_every_finding_is_listed_where_asked(shell: Shell) -> None:
    anchored(shell, PKI.roots[0])
    ran = shell("verify", "--list", "findings.jsonl", "--json")
    lines = (shell.place / "findings.jsonl").read_text().splitlines()
    assert len(lines) == sum(one["count"] for one in ran.document["codes"])
    assert shell("verify", "--list", "no/such/place.jsonl").code == 2


def test_a_simulated_repository_with_the_dccs_quirks_is_genuine(tmp_path: Path) -> None:
    repository = Repository.create(
        tmp_path / "repository", devices=60, days=9, start=date(2026, 11, 2), seed=5, quirks=SOME_QUIRKS
    )
    shell = Shell(
        place=tmp_path,
        today=repository.today,
        variables={"SMKI_SYNC_MIRROR": "mirror", "SMKI_SYNC_SOURCE": repository.path.as_uri()},
    )
    assert shell("sync").code == 0
    roots = repository.roots()
    anchored(shell, roots[Kind.OCA], roots[Kind.DCA])
    ran = shell("verify", "--json")
    assert ran.code == 0, ran.out
    found = {one["code"] for one in ran.document["codes"]}
    assert found <= {"ski-missing", "null-parameters"}
    assert found
    assert ran.document["certificates"]["anchored"] == ran.document["certificates"]["checked"]
    anchored(shell, roots[Kind.OCA])
    assert {one["code"] for one in shell("verify", "--json").document["codes"]} > {"not-anchored"}
