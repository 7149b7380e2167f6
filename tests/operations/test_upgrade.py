"""A mirror that another version wrote: refused in words, made anew by the next sync, whole until then.

``kept/schema-N.tar.xz``: the mirror directory as the code of that schema left it (``kept/make.py``).
"""

import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from resilience.kill.moments import die
from resilience.kill.watch import Clock, watch
from scenarios.operator import Operator
from support.cli import Json, Ran, Shell

import smki_sync
from smki_sync import __version__
from smki_sync.cli.exit_codes import Exit
from smki_sync.errors import OtherSchema
from smki_sync.events import NullListener
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.mirror.store import UPGRADABLE

SAMPLE = Path(__file__).parents[2] / "sample_data"
KEPT = {
    int(path.name.removeprefix("schema-").removesuffix(".tar.xz")): path
    for path in sorted((Path(__file__).parent / "kept").glob("schema-*.tar.xz"))
}
EARLIER = sorted(set(KEPT) - {SCHEMA_VERSION, UPGRADABLE})
"""Schemas that a sync does not upgrade in place: it rebuilds the mirror."""
TODAY = date(2026, 11, 12)

QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("show", "serial:00", "--json"),
    ("find", "--json"),
    ("changes", "--since", "0"),
    ("export", "--format", "csv", "--output", "made.csv", "--json"),
    ("verify", "--json"),
    ("manifest", "--json"),
    ("backup", "copy.db", "--json"),
    ("manifest", "mirror", "--compare", "mirror", "--json"),
    ("anchors", "--json"),
    ("quarantine", "--json"),
    ("reconcile", "--json"),
)
"""Everything that asks a mirror; `status`, `report` and `doctor` judge one."""


def unpack(schema: int, place: Path) -> Shell:
    """Somebody at a prompt beside a kept mirror, on the day after its last run."""
    with tarfile.open(KEPT[schema]) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in the first of 3.11
        archive.extractall(place)  # noqa: S202 - ours
    shutil.copytree(SAMPLE, place / "repository")
    (place / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{(place / "repository").as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    return Shell(place=place, today=TODAY)


@pytest.fixture(params=[EARLIER[0], EARLIER[-1]], ids="schema-{}".format)
def smki(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return unpack(request.param, tmp_path)


@pytest.fixture
def newer(tmp_path: Path) -> Shell:
    """Beside a mirror that a later version has written."""
    smki = unpack(SCHEMA_VERSION, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mirror" / "mirror.db")) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    return smki


def contents(smki: Shell) -> dict[str, bytes]:
    """Every file of the mirror directory that holds data, and what it holds."""
    kept = [path for path in (smki.place / "mirror").rglob("*") if path.is_file()]
    return {
        str(path): path.read_bytes()
        for path in kept
        if path.name not in {"lock", "history.db"} and not path.name.endswith(("-shm", "-wal"))
    }


def said(ran: Ran) -> str:
    """What a command said of its failure, in one line."""
    return " ".join((ran.out + ran.err).split())


def mirror_check(ran_document: Json) -> Json:
    found: Json
    (found,) = [check for check in ran_document["checks"] if check["check"] == "mirror"]
    return found


def test_a_mirror_of_every_schema_is_kept_that_of_today_too() -> None:
    assert list(KEPT) == list(range(1, SCHEMA_VERSION + 1))


def test_the_version_names_the_schema() -> None:
    ran = Shell(place=Path.cwd())("--version")
    assert ran.out == f"smki-sync {__version__}, schema {SCHEMA_VERSION} of the mirror\n"


# An earlier schema.


def test_previous_schema_is_upgraded_in_place_and_proven_by_its_deltas(tmp_path: Path) -> None:
    smki = unpack(UPGRADABLE, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mirror" / "mirror.db")) as db:
        lines = db.execute("SELECT sequence, day, change, serial FROM change").fetchall()
        rows = db.execute("SELECT id, status, extract FROM certificate").fetchall()
    generation = (tmp_path / "mirror" / "mirror.db").resolve()
    ran = smki("sync", "--json")
    assert ran.code == Exit.ATTENTION, ran.err
    assert ran.document["plan"]["reason"] == "deltas-available"
    assert ran.document["attention"][0]["code"] == "unproven"
    assert {notice["level"] for notice in ran.document["attention"][1:]} == {"note"}
    assert ran.document["unproven"]["missing"] == []
    assert (tmp_path / "mirror" / "mirror.db").resolve() == generation
    with closing(sqlite3.connect(tmp_path / "mirror" / "mirror.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert (
            db.execute("SELECT sequence, day, change, serial FROM change").fetchall()[: len(lines)] == lines
        )
        kept = db.execute("SELECT id, status, extract FROM certificate").fetchall()
        assert {row[0] for row in rows} <= {row[0] for row in kept}
    fresh = smki("sync", "--mirror", "fresh", "--json").document
    assert ran.document["digest"] == fresh["digest"]
    assert smki("sync", "--full", "--json").document["unproven"] is None


@pytest.mark.parametrize("smki", EARLIER, ids="schema-{}".format, indirect=True)
def test_the_next_sync_makes_the_mirror_anew_and_says_why(smki: Shell) -> None:
    ran = smki("sync", "--json")
    assert ran.code == Exit.OK, ran.err
    assert ran.document["plan"]["reason"] == "schema-changed"
    assert ran.document["position"] == "2026-11-11"
    fresh = smki("sync", "--mirror", "fresh", "--json").document
    assert ran.document["digest"] == fresh["digest"]
    assert ran.document["certificates"]["in_use"] == fresh["certificates"]["in_use"]
    assert smki("reconcile").code == smki("verify").code == Exit.OK
    assert smki("sync", "--json").document["plan"]["reason"] == "up-to-date"


def test_the_journal_begins_anew_and_a_consumer_is_told_to_take_the_whole(smki: Shell) -> None:
    with closing(sqlite3.connect(smki.place / "mirror" / "mirror.db")) as db:
        (lines,) = db.execute("SELECT count(*) FROM change").fetchone()
        (lineage,) = db.execute("SELECT lineage FROM mirror").fetchone()
    assert lines, "else nothing could be lost"
    ran = smki("sync", "--json")
    assert "history-lost" in {note["code"] for note in ran.document["attention"]}
    assert smki("manifest", "--json").document["lineage"] != lineage
    gap = smki("changes", "--since", f"{lineage}:{lines}")
    assert gap.code == Exit.FINDING
    assert "smki-sync export" in gap.err
    assert gap.out == ""


def test_runs_from_before_are_remembered(smki: Shell) -> None:
    # After the kept runs, whose times are real: a time in the future is ignored.
    smki = replace(smki, today=date(2027, 1, 1))
    before = smki("status", "--json").document
    assert before["last_run"]["outcome"] == "current"
    smki("sync")
    with closing(sqlite3.connect(smki.place / "mirror" / "history.db")) as db:
        assert db.execute("SELECT count(*) FROM run").fetchone() == (2,)
    assert smki("report", "--output", "page.html").code == Exit.ATTENTION  # the mirror is stale by then
    assert before["last_run"]["at"][:10] in (smki.place / "page.html").read_text()


def test_every_question_to_it_is_answered_with_the_versions_and_what_to_do(smki: Shell) -> None:
    before = contents(smki)
    for words in QUESTIONS:
        ran = smki(*words)
        assert ran.code == Exit.MIRROR, words
        assert "earlier version" in said(ran), words
        assert "`smki-sync sync`" in said(ran), words
        assert "schema-older" in said(ran) or "--json" not in words
    assert contents(smki) == before


def test_a_program_that_opens_it_is_told(smki: Shell) -> None:
    with pytest.raises(OtherSchema, match="earlier version"):
        smki_sync.open(smki.place / "mirror")


def test_those_who_judge_it_say_what_it_is(smki: Shell) -> None:
    status = smki("status")
    assert status.code == Exit.MIRROR
    assert "CANNOT BE READ" in status.out
    assert "smki-sync sync" in status.out
    assert smki("report", "--output", "page.html").code == Exit.MIRROR
    assert "earlier version" in (smki.place / "page.html").read_text()
    doctor = smki("doctor", "--json")
    assert doctor.code == Exit.ATTENTION
    assert mirror_check(doctor.document)["verdict"] == "warn"
    planned = smki("sync", "--dry-run", "--json").document["plan"]
    assert planned["reason"] == "schema-changed"


def test_the_old_generation_stands_while_no_full_is_on_offer(smki: Shell) -> None:
    for full in (smki.place / "repository").glob("SMKIKR_FULL_*"):
        full.unlink()
    before = contents(smki)
    ran = smki("sync", "--json")
    assert ran.code == Exit.ATTENTION
    assert ran.document["plan"]["reason"] == "no-full-available"
    assert contents(smki) == before


@pytest.mark.parametrize("at", [5, 40, 80, 110])
def test_a_killed_run_leaves_the_old_one_or_the_new_one(smki: Shell, at: int) -> None:
    mirror = smki.place / "mirror"
    before = (mirror / "generations" / "000001.db").read_bytes()
    child = os.fork()
    if child == 0:
        operator = Operator(mirror, smki.place / "repository")
        operator.listener = NullListener()
        kept = watch(Clock(kinds={"file", "sql"}, at=at, act=die), str(mirror))
        operator.sync(TODAY)
        del kept
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -9, "it was not killed"
    if (mirror / "mirror.db").resolve().name == "000001.db":
        assert (mirror / "generations" / "000001.db").read_bytes() == before
    else:
        assert smki("verify").code == Exit.OK
    assert smki("sync").code == Exit.OK
    assert smki("reconcile").code == Exit.OK


def test_a_restore_makes_it_anew_too(smki: Shell) -> None:
    ran = smki("restore", "--json")
    assert ran.code == Exit.OK
    assert smki("verify").code == Exit.OK


def test_a_mirror_of_another_schema_waits_for_the_agreed_day_and_stands(smki: Shell) -> None:
    with (smki.place / "smki-sync.toml").open("a") as file:
        file.write('[policy]\nfull_download_day = "sunday"\nfull_download_outside = "wait"\n')
    before = contents(smki)
    ran = smki("sync", "--json")
    assert ran.code == Exit.ATTENTION
    assert ran.document["plan"]["reason"] == "waiting-for-agreed-day"
    assert contents(smki) == before
    assert smki("sync", "--json", SMKI_SYNC_TODAY="2026-11-15").document["plan"]["reason"] == "schema-changed"


# A newer schema.


def test_a_newer_mirror_is_left_alone_by_sync_in_words(newer: Shell) -> None:
    before = contents(newer)
    for words in (["sync"], ["sync", "--dry-run"]):
        ran = newer(*words, "--json")
        assert ran.code == Exit.MIRROR
        assert ran.error["code"] == "schema-newer"
        assert "newer version" in ran.error["message"]
        assert "--full" in ran.error["hint"]
    assert contents(newer) == before
    assert not list((newer.place / "mirror" / "generations").glob("*-damaged"))


def test_every_question_to_a_newer_mirror_is_answered_in_words(newer: Shell) -> None:
    before = contents(newer)
    for words in QUESTIONS:
        ran = newer(*words)
        assert ran.code == Exit.MIRROR, words
        assert "newer version" in said(ran), words
    assert contents(newer) == before


def test_doctor_says_that_a_sync_would_fail_on_a_newer_mirror(newer: Shell) -> None:
    ran = newer("doctor", "--json")
    assert ran.code == Exit.MIRROR
    assert mirror_check(ran.document)["code"] == "schema-newer"


@pytest.mark.parametrize("words", [("sync", "--full"), ("restore",)], ids=" ".join)
def test_whoever_says_so_goes_back_to_this_version(newer: Shell, words: tuple[str, ...]) -> None:
    ran = newer(*words, "--json")
    assert ran.code == Exit.OK, ran.err
    assert "history-lost" in {note["code"] for note in ran.document["attention"]}
    assert newer("verify").code == Exit.OK


# Today's schema.


def test_copy_of_a_mirror_of_today_continues_with_a_new_lineage(tmp_path: Path) -> None:
    smki = unpack(SCHEMA_VERSION, tmp_path)
    before = smki("manifest", "--json").document
    ran = smki("sync", "--json")
    assert ran.code == Exit.OK, ran.err
    assert ran.document["plan"]["reason"] == "deltas-available"
    assert ran.document["digest"] == smki("sync", "--mirror", "fresh", "--json").document["digest"]
    assert smki("manifest", "--json").document["lineage"] != before["lineage"]
    assert "history-lost" in {notice["code"] for notice in ran.document["attention"]}
    assert smki("verify").code == Exit.OK


def test_a_record_of_runs_with_more_in_it_than_this_version_knows_is_read(tmp_path: Path) -> None:
    smki = unpack(SCHEMA_VERSION, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mirror" / "history.db")) as db, db:
        for table in ("run", "download", "offer"):
            db.execute(f"ALTER TABLE {table} ADD COLUMN surprise TEXT")
    assert smki("sync").code == Exit.OK
    assert smki("status", "--json").document["last_run"]["outcome"] == "current"
    assert smki("report", "--output", "page.html").code == Exit.OK


def test_proofs_of_a_later_version_are_proven_again(tmp_path: Path) -> None:
    smki = unpack(SCHEMA_VERSION, tmp_path)
    first = smki("verify", "--json").document["signatures"]
    assert first["remembered"]
    with closing(sqlite3.connect(tmp_path / "mirror" / "trust.db")) as db:
        db.execute("PRAGMA user_version = 1000")
    again = smki("verify", "--json").document["signatures"]
    assert again == {"proven": first["remembered"] + first["proven"], "remembered": 0, "kept": True}
    assert smki("verify", "--json").document["signatures"]["remembered"] == again["proven"]
