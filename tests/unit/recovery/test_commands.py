"""The commands `reconcile`, `backup`, `manifest` and `prune`."""

import csv
import json
import os
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import apsw
import pytest
from support.cli import Shell

from smki_sync.simulator.repository import Repository
from smki_sync.text import COLUMNS


def by_hand(place: Path, sql: str) -> None:
    with closing(apsw.Connection(str((place / "mirror" / "mirror.db").resolve()))) as db:
        db.execute(sql)


def loaded(place: Path) -> str:
    """A certificate that came with the full."""
    with closing(sqlite3.connect(f"file:{place}/mirror/mirror.db?mode=ro", uri=True)) as db:
        (serial,) = db.execute(
            "SELECT serial FROM certificates WHERE usage = 'KA' AND in_use AND file LIKE '%FULL%' ORDER BY 1"
        ).fetchone()
    return str(serial)


def test_a_mirror_that_nobody_touched_agrees(smki: Shell) -> None:
    ran = smki("reconcile", "--json")
    assert ran.code == 0
    assert ran.document["schema"] == "smki-sync/reconcile/1"
    assert ran.document["agrees"]
    assert (ran.document["missing"], ran.document["unexpected"], ran.document["differing"]) == (0, 0, 0)
    assert ran.document["compared"] > 80
    assert ran.document["repaired"] is None


def test_drift_is_found_listed_repaired_and_gone(smki: Shell, place: Path) -> None:
    before = smki("status", "--json").document
    serial = loaded(place)
    by_hand(place, f"DELETE FROM certificate WHERE serial = '{serial}'")
    ran = smki("reconcile", "--list", "drift.csv")
    assert ran.code == 10
    assert "Drift: the mirror differs from SMKIKR_FULL_2026-11-09.xml.gz." in ran.out
    assert serial in ran.out
    assert "--repair" in ran.out
    assert max(map(len, ran.out.splitlines())) <= COLUMNS
    with (place / "drift.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["drift"], row["serial"], row["held"], row["listed"]) == ("missing", serial, "", "I")
    ran = smki("reconcile", "--repair", "--json")
    assert ran.code == 0
    assert ran.document["missing"] == 1
    assert ran.document["repaired"] == {"inserted": 1, "updated": 0, "withdrawn": 0}
    after = smki("status", "--json").document
    assert (after["digest"], after["certificates"]) == (before["digest"], before["certificates"])
    assert smki("reconcile").code == 0
    assert smki("report", "--output", "page.html").code == 0, "a repair is no file of the ledger"


def test_a_backup_is_a_mirror_that_compares_equal(smki: Shell, place: Path) -> None:
    ran = smki("backup", "copy.db", "--json")
    assert ran.code == 0
    assert ran.document["bytes"] == (place / "copy.db").stat().st_size
    ran = smki("manifest", "mirror", "--compare", "copy.db", "--json")
    assert ran.code == 0
    assert ran.document["comparison"]["equal"]


def test_a_pipe_in_the_place_of_a_mirror_keeps_nobody_waiting(smki: Shell, place: Path) -> None:
    (place / "other").mkdir()
    os.mkfifo(place / "other" / "mirror.db")
    ran = smki("manifest", "mirror", "--compare", "other", "--json")
    assert ran.code == 2
    assert "other/mirror.db does not exist" in ran.error["message"]


def test_a_backup_does_not_write_over_what_is_there_unless_told_to(smki: Shell, place: Path) -> None:
    (place / "copy.db").write_text("mine")
    ran = smki("backup", "copy.db")
    assert ran.code == 2
    assert "--force" in ran.err
    assert (place / "copy.db").read_text() == "mine"
    assert smki("backup", "copy.db", "--force").code == 0
    assert smki("manifest", "mirror", "--compare", "copy.db").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "--force"),
        ("report", "--output"),
        ("export", "--format", "csv", "--force", "--output"),
        ("reconcile", "--list"),
        ("verify", "--list"),
    ],
)
@pytest.mark.parametrize("name", ["mirror.db", "generations/000001.db", "history.db", "new"])
def test_nothing_is_written_over_the_mirror_itself_even_where_force_is_said(
    smki: Shell, place: Path, words: tuple[str, ...], name: str
) -> None:
    before = (place / "mirror" / "generations" / "000001.db").read_bytes()
    ran = smki(*words, f"mirror/{name}")
    assert ran.code == 2
    assert "in the mirror directory" in ran.err
    assert (place / "mirror" / "mirror.db").is_symlink()
    assert (place / "mirror" / "generations" / "000001.db").read_bytes() == before
    assert not (place / "mirror" / "new").exists()


def test_a_statement_names_the_files_with_their_hashes(smki: Shell, place: Path) -> None:
    stated = smki("manifest", "--json").document
    assert not stated["proven"]
    assert not stated["shards"]
    names = [file["file"] for file in stated["files"]]
    assert names[0] == "SMKIKR_FULL_2026-11-09.xml.gz"
    assert names[-1] == "SMKIKR_DELT_2026-11-11.xml.gz"
    assert stated["digest"] == smki("status", "--json").document["digest"]
    said = smki("manifest").out
    assert all(file["sha256"] in said for file in stated["files"])
    assert (place / "mirror").is_dir()


def test_a_statement_with_shards_is_proven_by_the_rows_and_fails_where_they_do_not_make_it(
    smki: Shell, place: Path
) -> None:
    stated = smki("manifest", "--shards", "--json").document
    assert stated["proven"]
    assert sum(shard["count"] for shard in stated["shards"]) == stated["certificates"]["in_use"]
    by_hand(place, f"DELETE FROM certificate WHERE serial = '{loaded(place)}'")
    ran = smki("manifest", "--shards", "--json")
    assert ran.code == 7
    assert ran.error["code"] == "digest-differs"


def test_two_mirrors_of_different_days_part_at_the_certificates_that_changed(
    smki: Shell, place: Path
) -> None:
    smki("backup", "yesterday.db")
    repository = Repository.open(place / "repository")
    before = set(repository.in_use())
    repository.advance(days=1)
    after = set(repository.in_use())
    tomorrow = Shell(place=place, today=date(2026, 11, 12), variables=smki.variables)
    assert tomorrow("sync").code == 0
    ran = tomorrow("manifest", "yesterday.db", "--compare", "mirror", "--json")
    assert ran.code == 10
    assert not ran.document["comparison"]["equal"]
    assert not ran.document["comparison"]["unread"]
    assert len(ran.document["comparison"]["only_one"]) == len(before - after)
    assert len(ran.document["comparison"]["only_other"]) == len(after - before) > 0
    said = tomorrow("manifest", "yesterday.db", "--compare", "mirror").out
    assert "Different." in said
    assert max(map(len, said.splitlines())) <= COLUMNS


def test_a_mirror_and_a_statement_are_compared_as_far_as_the_statement_goes(smki: Shell, place: Path) -> None:
    short = smki("manifest", "--json").out
    (place / "short.json").write_text(short)
    (place / "shards.json").write_text(smki("manifest", "--shards", "--json").out)
    (place / "all.json").write_text(smki("manifest", "--members", "all", "--json").out)
    for name in ("short", "shards", "all"):
        assert smki("manifest", "mirror", "--compare", f"{name}.json").code == 0
    Repository.open(place / "repository").advance(days=1)
    tomorrow = Shell(place=place, today=date(2026, 11, 12), variables=smki.variables)
    assert tomorrow("sync").code == 0
    assert (
        tomorrow("manifest", "mirror", "--compare", "short.json", "--json").document["comparison"]["shards"]
        == []
    )
    blind = tomorrow("manifest", "mirror", "--compare", "shards.json", "--json").document["comparison"]
    assert blind["shards"] == blind["unread"] != []
    told = tomorrow("manifest", "mirror", "--compare", "all.json", "--json").document["comparison"]
    assert not told["unread"]
    assert told["only_one"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b'{"schema": "smki-sync/sync/1"}',
        json.dumps({"schema": "smki-sync/manifest/1", "position": "soon"}).encode(),
    ],
)
def test_a_file_that_is_neither_a_mirror_nor_a_statement_is_named(
    smki: Shell, place: Path, content: bytes
) -> None:
    (place / "other").write_bytes(content)
    ran = smki("manifest", "mirror", "--compare", "other")
    assert ran.code == 2
    assert "other is neither a mirror nor a manifest" in ran.err


def test_shards_that_do_not_exist_are_refused(smki: Shell) -> None:
    for wrong in ("1024", "-1", "x", "1;2"):
        assert smki("manifest", "--members", wrong).code == 2


@pytest.mark.parametrize("words", [("backup", "copy.db"), ("manifest",), ("reconcile",)])
def test_without_a_mirror_each_says_so_and_what_to_do(smki: Shell, words: tuple[str, ...]) -> None:
    ran = smki(*words, "--json", SMKI_SYNC_MIRROR="nowhere")
    assert ran.code == 7
    assert "smki-sync sync" in ran.error["hint"]


def test_prune_removes_the_generation_before_and_what_the_archive_holds_beyond_need(
    smki: Shell, place: Path
) -> None:
    (place / "smki-sync.toml").write_text('[archive]\npath = "archive"\nkeep_fulls = 1\n')
    assert smki("restore").code == 0
    (place / "archive" / "SMKIKR_FULL_2026-10-05.xml.gz").write_bytes(b"old")
    ran = smki("prune", "--json")
    assert ran.code == 0
    assert len(ran.document["removed"]) == 1
    assert ran.document["archive"] == ["SMKIKR_FULL_2026-10-05.xml.gz"]
    assert len(list((place / "mirror" / "generations").glob("*.db"))) == 1
    assert smki("status").code == 0
    assert smki("prune", "--json").document["removed"] == []


def test_a_day_that_has_not_come_is_no_day_to_restore(smki: Shell, place: Path) -> None:
    before = (place / "mirror" / "mirror.db").readlink()
    ran = smki("restore", "--to", "2026-11-12", "--json")
    assert ran.code == 2
    assert ran.error["message"] == "--to: 2026-11-12 is in the future."
    assert (place / "mirror" / "mirror.db").readlink() == before
