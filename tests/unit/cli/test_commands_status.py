"""``status`` and ``quarantine``: what monitoring asks, and what an operator does about it."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.cli import Ran, Shell

from smki_sync.mirror.directory import hold_lock
from smki_sync.simulator.faults import POISON_SERIAL, Fault
from smki_sync.simulator.repository import Repository


def test_before_the_first_sync_the_mirror_is_empty_and_nothing_is_made(smki: Shell) -> None:
    ran = smki("status", "--mirror", "mirror", "--json")
    assert (ran.code, ran.document["state"], ran.document["position"]) == (3, "empty", None)
    assert list(smki.place.iterdir()) == []


def test_while_the_first_load_is_at_work_status_says_so_and_sends_nobody_to_sync(smki: Shell) -> None:
    mirror = smki.place / "mirror"
    mirror.mkdir()
    with hold_lock(mirror / "lock", since=datetime.now(UTC)):
        out = smki("status", "--mirror", "mirror").out
    assert f"process {os.getpid()}" in out
    assert "smki-sync sync" not in out
    assert "Run `smki-sync sync`" in smki("status", "--mirror", "mirror").out


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "sync --source file:///nowhere",
        "sync --dry-run --source file:///nowhere",
        "show 00-DB-12-34-56-78-90-A4",
        "show serial:1 --any-status --explain",
        "find",
        "changes --since 0",
        "quarantine",
        "prune",
        "manifest",
        "verify",
        "backup copy.db",
        "report --output page.html",
        "export --format csv --output out.csv",
    ],
)
def test_command_exits_11_when_the_mirror_cannot_be_read(smki: Shell, words: str) -> None:
    """As for a user who may not enter its directory; a name beyond any limit shows it to root too."""
    ran = smki(*words.split(), "--mirror", "m" * 300)
    assert (ran.code, ran.out) == (11, "")
    assert list(smki.place.iterdir()) == []


@pytest.mark.parametrize("words", ["verify", "manifest", "find"])
def test_whoever_finds_the_mirror_damaged_is_told_what_mends_it(
    smki: Shell, own_mirror: Path, words: str
) -> None:
    generation = (own_mirror / "mirror.db").resolve()
    with closing(sqlite3.connect(generation)) as db, db:
        db.execute("PRAGMA application_id = 1")
    ran = smki(*words.split(), "--mirror", own_mirror)
    assert ran.code == 7
    assert "`smki-sync sync`" in ran.err


def test_doctor_goes_on_past_a_lock_that_it_cannot_look_at(smki: Shell, original: Repository) -> None:
    ran = smki("doctor", "--mirror", "m" * 300, "--source", original.path.as_uri(), "--json")
    verdicts = {check["check"]: check["verdict"] for check in ran.document["checks"]}
    assert (ran.code, verdicts["lock"], verdicts["sqlite"]) == (11, "fail", "ok")


def test_after_a_sync_of_today_the_mirror_is_current(tmp_path: Path) -> None:
    shell = Shell(place=tmp_path)
    today = datetime.now(UTC).date()
    repository = Repository.create(tmp_path / "repository", devices=1, days=1, start=today, seed=1)
    assert shell("sync", "--mirror", "mirror", "--source", repository.path.as_uri()).code == 0
    ran = shell("status", "--mirror", "mirror", "--json")
    assert (ran.code, ran.document["state"]) == (0, "current")
    assert ran.document["position"] == today.isoformat()
    assert 0 <= ran.document["age_hours"] < 48


def test_status_says_what_the_last_run_did_and_when_one_last_succeeded(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri())
    assert smki(*sync).code == 0
    first = smki("status", "--mirror", own_mirror, "--json").document
    assert (first["last_run"]["outcome"], first["last_run"]["exit"]) == ("current", 0)
    assert first["last_success"] == first["last_run"]["at"]
    repository.advance(faults=[Fault.CORRUPT])
    assert smki(*sync, SMKI_SYNC_TODAY="2026-11-12").code == 6
    second = smki("status", "--mirror", own_mirror, "--json").document
    assert (second["last_run"]["outcome"], second["last_run"]["exit"]) == ("failed", 6)
    assert second["last_success"] == first["last_success"]


def test_a_first_run_that_failed_is_remembered_although_there_is_no_mirror(smki: Shell) -> None:
    assert smki("sync", "--mirror", "mirror", "--source", "file:///no/such/place").code == 4
    ran = smki("status", "--mirror", "mirror", "--json")
    assert (ran.code, ran.document["state"]) == (3, "empty")
    assert ran.document["last_run"]["exit"] == 4
    assert ran.document["last_success"] is None


def test_an_old_position_is_stale_and_the_bound_is_an_option(smki: Shell, own_mirror: Path) -> None:
    hours = (datetime.now(UTC) - datetime(2026, 11, 11, tzinfo=UTC)) / timedelta(hours=1)
    ends = {
        bound: smki("status", "--mirror", own_mirror, "--max-age", bound, "--json")
        for bound in (f"{abs(hours) + 100}", "0")
    }
    assert [(ran.code, ran.document["state"]) for ran in ends.values()] == [(0, "current"), (3, "stale")]


def test_mirror_ahead_of_the_clock_is_never_current(smki: Shell, own_mirror: Path) -> None:
    words = ("status", "--mirror", own_mirror, "--max-age", "1e9", "--json")
    ran = smki(*words, SMKI_SYNC_TODAY="2026-11-08")
    assert (ran.code, ran.document["state"]) == (3, "stale")
    assert "ahead of the clock" in ran.document["message"]
    assert smki(*words, SMKI_SYNC_TODAY="2026-11-10").code == 0


def test_people_read_the_state_first(smki: Shell, own_mirror: Path) -> None:
    ran = smki("status", "--mirror", own_mirror, "--max-age", "1e9")
    assert ran.out.startswith("The mirror is up to date.")
    assert "2026-11-11" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    assert smki("status", "--mirror", own_mirror, "--max-age", "0").out.startswith("The mirror is STALE.")


@pytest.mark.parametrize("bound", ["-1", "nan", "soon"])
def test_a_bound_that_is_no_age_is_a_usage_error(smki: Shell, own_mirror: Path, bound: str) -> None:
    ran = smki("status", "--mirror", own_mirror, f"--max-age={bound}", "--json")
    assert ran.code == 2
    assert "--max-age" in ran.error["message"]


def damage_file(mirror: Path) -> None:
    (mirror / "mirror.db").resolve().write_bytes(b"no database" * 1000)


def lose_file(mirror: Path) -> None:
    (mirror / "mirror.db").resolve().unlink()


def put_a_file_there(mirror: Path) -> None:
    (mirror / "mirror.db").unlink()
    (mirror / "mirror.db").write_text("not a link")


@pytest.mark.parametrize("harm", [damage_file, lose_file, put_a_file_there])
def test_a_damaged_mirror_is_a_state_with_exit_seven(smki: Shell, own_mirror: Path, harm: object) -> None:
    assert callable(harm)
    harm(own_mirror)
    ran = smki("status", "--mirror", own_mirror, "--json")
    assert (ran.code, ran.document["state"], ran.document["position"]) == (7, "damaged", None)
    assert "mirror.db" in ran.document["message"] or "generations" in ran.document["message"]
    assert smki("status", "--mirror", own_mirror).out.startswith("The mirror CANNOT BE READ.")


@pytest.fixture
def poisoned(smki: Shell, own_mirror: Path, repository: Repository) -> tuple[Path, Ran]:
    """A mirror with a record in quarantine, and the sync that put it there."""
    repository.advance(faults=[Fault.POISON_RECORD])
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri(), "--json")
    return own_mirror, smki(*sync, SMKI_SYNC_TODAY="2026-11-12")


def test_a_record_in_quarantine_keeps_the_sync_at_three_until_it_is_accepted(
    smki: Shell, poisoned: tuple[Path, Ran], repository: Repository
) -> None:
    mirror, ran = poisoned
    assert (ran.code, ran.document["quarantined"]) == (3, 1)
    assert [found["code"] for found in ran.document["attention"]] == ["records-quarantined"]
    assert ran.document["position"] == "2026-11-12"
    sync = ("sync", "--mirror", mirror, "--source", repository.path.as_uri(), "--json")
    assert smki(*sync, SMKI_SYNC_TODAY="2026-11-12").code == 3  # nothing new, and still not looked at
    assert smki("quarantine", "--mirror", mirror, "--accept").code == 0
    again = smki(*sync, SMKI_SYNC_TODAY="2026-11-12")
    assert (again.code, again.document["quarantined"]) == (0, 0)


def test_the_quarantine_is_listed_with_its_evidence_and_keeps_it(
    smki: Shell, poisoned: tuple[Path, Ran]
) -> None:
    mirror, _ = poisoned
    listed = smki("quarantine", "--mirror", mirror, "--json")
    assert listed.code == 10
    assert listed.document["schema"] == "smki-sync/quarantine/1"
    (record,) = listed.document["records"]
    assert record["file"] == "SMKIKR_DELT_2026-11-12.xml.gz"
    assert record["reason"] == "body-not-a-certificate"
    assert record["accepted"] is None
    assert POISON_SERIAL in record["xml"]
    assert smki("show", f"serial:{POISON_SERIAL}", "--any-status", "--mirror", mirror).code == 10
    accepted = smki("quarantine", "--mirror", mirror, "--accept", "--json")
    assert accepted.code == 0
    (kept,) = accepted.document["records"]
    assert kept["xml"] == record["xml"]
    assert kept["accepted"].endswith("Z")


def test_people_read_which_record_of_which_file(smki: Shell, poisoned: tuple[Path, Ran]) -> None:
    ran = smki("quarantine", "--mirror", poisoned[0])
    assert ran.code == 10
    assert "SMKIKR_DELT_2026-11-12.xml.gz" in ran.out
    assert "body-not-a-certificate" in ran.out


def test_an_empty_quarantine_is_zero_and_no_mirror_is_seven(smki: Shell, mirror: Path) -> None:
    ran = smki("quarantine", "--mirror", mirror, "--json")
    assert (ran.code, ran.document["records"]) == (0, [])
    assert "empty" in smki("quarantine", "--mirror", mirror).out
    nowhere = smki("quarantine", "--mirror", "nowhere", "--accept", "--json")
    assert nowhere.code == 7
    assert nowhere.error["code"] == "no-mirror"
