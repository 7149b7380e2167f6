"""The mirror against the newest full: drift is found and made good, and what a delta explains is none."""

import gzip
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

import apsw
import pytest
from support.extract_directory import Party, Shelf

from smki_sync.errors import BadExtract, MirrorDamaged, SourceMissing
from smki_sync.mirror.integrity import all_shards, read_shards
from smki_sync.mirror.queries import open_mirror, read_counts, read_position
from smki_sync.mirror.reconcile import Drift, DriftDifference
from smki_sync.policy import ChangeLimits
from smki_sync.recovery.reconcile import ReconcileResult, RepairRefused, reconcile
from smki_sync.sync import run

LISTED = dict.fromkeys(range(8), "I")
"""What the full of 9 November lists, by number in the pool."""

ADDED_BY_HAND = """
INSERT INTO certificate (serial, issuer, kind, status, not_before, not_after, flags, first_seen, last_changed,
                         extract, der)
SELECT 'BAD', issuer, kind, 'I', not_before, not_after, flags, first_seen, last_changed, extract, x'01'
  FROM certificate WHERE id = 2
"""


@pytest.fixture(autouse=True)
def first_morning(shelf: Shelf, party: Party) -> None:
    """A mirror as of 11 November, from the full of the 9th and the deltas after it."""
    shelf.deltas(7, 8)
    shelf.full(9, LISTED)
    shelf.deltas(9, 10)
    shelf.delta(11, {8: "I", 0: "N"})
    run(party.job(11))
    party.source.fetched.clear()


def by_hand(party: Party, sql: str, *values: object) -> None:
    """Change a row as nobody should."""
    with closing(apsw.Connection(str(party.directory.link.resolve()))) as db:
        db.execute(sql, values)


def rows(party: Party) -> dict[bytes, tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{party.directory.link}?mode=ro", uri=True)) as db:
        return {
            der: (status, in_use)
            for der, status, in_use in db.execute("SELECT der, status, in_use FROM certificates")
        }


def journal(party: Party) -> list[tuple[str, str | None, str | None]]:
    with closing(sqlite3.connect(f"file:{party.directory.link}?mode=ro", uri=True)) as db:
        return [*db.execute('SELECT change, "from", "to" FROM changes ORDER BY sequence')]


def counts(found: ReconcileResult) -> tuple[int, int, int]:
    return found.missing, found.unexpected, found.differing


def test_a_mirror_that_nobody_touched_agrees_with_its_full(party: Party) -> None:
    found = reconcile(party.job(11))
    assert counts(found) == (0, 0, 0)
    assert found.agrees
    assert (found.full, found.compared) == ("SMKIKR_FULL_2026-11-09.xml.gz", len(LISTED))


def test_what_a_later_delta_has_changed_is_explained_and_no_drift(party: Party) -> None:
    found = reconcile(party.job(11))
    assert found.explained == 2  # 0 has left In-Use, 8 was added, both by the delta of the 11th


def test_a_change_of_the_days_in_which_the_full_was_made_is_explained(shelf: Shelf, party: Party) -> None:
    shelf.deltas(12)
    shelf.delta(13, {1: "N", 9: "I"})
    shelf.deltas(14, 15)
    run(party.job(15))
    shelf.full(
        15, {**LISTED, 8: "I", 1: "I"} | {0: "N"}
    )  # begun on the 13th: it has seen nothing of that day
    assert counts(reconcile(party.job(15))) == (0, 0, 0)


def test_what_left_and_came_back_while_nobody_looked_is_explained_by_the_delta_that_brought_it_back(
    shelf: Shelf, party: Party
) -> None:
    """It ends as it was before the gap: no news, but the full says otherwise and only the delta knows."""
    shelf.remove(*(path.name for path in shelf.path.iterdir()))
    shelf.full(19, {n: "I" for n in LISTED if n not in {0, 1}} | {8: "I"})  # 1 was not In-Use that day
    shelf.deltas(17, 18)
    shelf.delta(19, {1: "I"})
    before = journal(party)
    run(party.job(20))
    found = reconcile(party.job(20))
    assert (counts(found), found.explained) == ((0, 0, 0), 1)
    assert journal(party) == before


def test_a_change_older_than_the_overlap_that_the_full_contradicts_is_drift(
    shelf: Shelf, party: Party
) -> None:
    shelf.delta(12, {1: "N"})
    shelf.deltas(13, 14, 15)
    run(party.job(15))
    shelf.full(15, {**LISTED, 8: "I", 0: "N"})
    found = reconcile(party.job(15))
    assert counts(found) == (1, 0, 0)
    assert (found.examples[0].held, found.examples[0].listed) == ("N", "I")


def test_a_row_that_was_deleted_by_hand_is_missing(party: Party, pool: tuple[bytes, ...]) -> None:
    by_hand(party, "DELETE FROM certificate WHERE der = ?", pool[3])
    found = reconcile(party.job(11))
    assert counts(found) == (1, 0, 0)
    assert found.examples[0].drift is Drift.MISSING
    assert found.examples[0].held is None
    assert not found.agrees


def test_a_status_that_was_changed_by_hand_is_found(party: Party, pool: tuple[bytes, ...]) -> None:
    by_hand(party, "UPDATE certificate SET status = 'R' WHERE der = ?", pool[3])
    assert counts(reconcile(party.job(11))) == (1, 0, 0)


def test_a_row_that_was_added_by_hand_is_unexpected(party: Party) -> None:
    by_hand(party, ADDED_BY_HAND)
    found = reconcile(party.job(11))
    assert counts(found) == (0, 1, 0)
    assert found.examples[0].serial == "BAD"


@pytest.mark.parametrize("column", ["eui", "ski", "usage", "subject"])
def test_a_column_that_was_changed_by_hand_differs_and_is_named(
    party: Party, pool: tuple[bytes, ...], column: str
) -> None:
    by_hand(party, f"UPDATE certificate SET {column} = 'x' WHERE der = ?", pool[3])
    found = reconcile(party.job(11))
    assert counts(found) == (0, 0, 1)
    assert found.examples[0].what == (column,)


def test_comparing_changes_nothing_and_leaves_nothing_behind(party: Party, pool: tuple[bytes, ...]) -> None:
    by_hand(party, "DELETE FROM certificate WHERE der = ?", pool[3])
    before, lines = rows(party), journal(party)
    reconcile(party.job(11))
    assert rows(party) == before
    assert journal(party) == lines
    assert not list(party.directory.root.glob("reconcile*"))
    assert not list(party.directory.downloads.iterdir())


def test_a_repair_makes_good_what_was_deleted_changed_and_added(
    party: Party, pool: tuple[bytes, ...]
) -> None:
    before = rows(party)
    with open_mirror(party.directory.link) as db:
        position, census = read_position(db), read_counts(db)
    by_hand(party, "DELETE FROM certificate WHERE der = ?", pool[3])
    by_hand(party, "UPDATE certificate SET status = 'R' WHERE der = ?", pool[4])
    by_hand(party, "UPDATE certificate SET der = x'00' WHERE der = ?", pool[5])
    by_hand(party, "UPDATE certificate SET eui = 'FF' WHERE der = ?", pool[6])
    found = reconcile(party.job(11), repair=True)
    assert counts(found) == (2, 0, 1)  # another body is no difference, and the one that verifies is served
    assert found.agrees
    assert rows(party) == before
    with open_mirror(party.directory.link) as db:
        assert read_position(db) == position
        assert read_counts(db) == census
        assert all_shards(read_shards(db)).hex == census.digest
    assert counts(reconcile(party.job(11))) == (0, 0, 0)


def test_a_repair_is_in_the_journal_for_those_who_follow_it(party: Party, pool: tuple[bytes, ...]) -> None:
    lines = len(journal(party))
    by_hand(party, "DELETE FROM certificate WHERE der = ?", pool[3])
    by_hand(party, "UPDATE certificate SET status = 'R' WHERE der = ?", pool[4])
    reconcile(party.job(11), repair=True)
    assert sorted(journal(party)[lines:], key=str) == [("added", None, "I"), ("status", "R", "I")]


def test_a_repair_is_refused_where_a_row_is_lost_that_only_a_delta_brought(
    party: Party, pool: tuple[bytes, ...]
) -> None:
    by_hand(party, "DELETE FROM certificate WHERE der IN (?, ?)", pool[3], pool[8])
    before, lines = rows(party), journal(party)
    with pytest.raises(MirrorDamaged) as refused:
        reconcile(party.job(11), repair=True)
    assert refused.value.reason == "digest-differs"
    assert (rows(party), journal(party)) == (before, lines)
    with open_mirror(party.directory.link) as db:  # what it carries still tells that rows are lost
        assert all_shards(read_shards(db)).hex != read_counts(db).digest


def test_drift_that_nobody_made_by_hand_is_repaired_whatever_the_digest_was(
    shelf: Shelf, party: Party, pool: tuple[bytes, ...]
) -> None:
    shelf.delta(12, {1: "N"})
    shelf.deltas(13, 14, 15)
    run(party.job(15))
    shelf.full(15, {**LISTED, 8: "I", 0: "N"})
    assert reconcile(party.job(15), repair=True).agrees
    assert rows(party)[pool[1]] == ("I", 1)


def test_what_should_not_be_there_is_withdrawn_by_a_repair_not_deleted(party: Party) -> None:
    by_hand(party, ADDED_BY_HAND)
    reconcile(party.job(11), repair=True)
    assert rows(party)[b"\x01"] == ("I", 0)
    assert journal(party)[-1] == ("withdrawn", "I", None)


def test_after_a_repair_the_daily_job_goes_on_as_before(
    shelf: Shelf, party: Party, pool: tuple[bytes, ...]
) -> None:
    by_hand(party, "DELETE FROM certificate WHERE der = ?", pool[3])
    reconcile(party.job(11), repair=True)
    shelf.delta(12, {9: "I"})
    report = run(party.job(12))
    assert report.outcome == "current"
    assert [applied.file for applied in report.applied] == ["SMKIKR_DELT_2026-11-12.xml.gz"]


def test_every_difference_is_handed_over_not_only_the_examples(party: Party) -> None:
    by_hand(party, "UPDATE certificate SET ski = 'FF'")
    kept: list[DriftDifference] = []

    def keep(all_of_them: Iterable[DriftDifference]) -> None:
        kept.extend(all_of_them)

    found = reconcile(party.job(11), keep=keep)
    assert (
        found.differing == len(kept) == len(LISTED) - 1
    )  # of the one that left In-Use a delta has spoken since


def test_a_full_that_the_mirror_has_not_caught_up_with_is_not_compared(shelf: Shelf, party: Party) -> None:
    shelf.full(14, LISTED)
    assert reconcile(party.job(14)).full == "SMKIKR_FULL_2026-11-09.xml.gz"


def test_without_a_full_that_can_be_compared_nothing_is_fetched(shelf: Shelf, party: Party) -> None:
    shelf.remove("SMKIKR_FULL_2026-11-09.xml.gz")
    shelf.full(14, LISTED)
    with pytest.raises(SourceMissing, match="2026-11-14"):
        reconcile(party.job(14))
    assert not party.source.fetched


def test_a_damaged_full_is_refused_whole_and_repairs_nothing(
    shelf: Shelf, party: Party, pool: tuple[bytes, ...]
) -> None:
    by_hand(party, "DELETE FROM certificate WHERE der = ?", pool[3])
    path = shelf.path / "SMKIKR_FULL_2026-11-09.xml.gz"
    path.write_bytes(path.read_bytes()[:-9])
    before = rows(party)
    with pytest.raises(BadExtract):
        reconcile(party.job(11), repair=True)
    assert rows(party) == before


def test_a_full_of_another_week_under_this_ones_name_is_not_compared(shelf: Shelf, party: Party) -> None:
    path = shelf.path / "SMKIKR_FULL_2026-11-09.xml.gz"
    with path.open("wb") as file, gzip.GzipFile("SMKIKR_FULL_2026-11-02.xml", "wb", fileobj=file) as packed:
        packed.write(shelf.xml({}))
    shelf.stamp(path, 9, hour=5)
    with pytest.raises(BadExtract, match="2026-11-02"):
        reconcile(party.job(11), repair=True)
    assert [status for status, in_use in rows(party).values() if in_use] == ["I"] * 8


def test_without_a_mirror_there_is_nothing_to_compare(party: Party) -> None:
    shutil.rmtree(party.directory.root)
    with pytest.raises(MirrorDamaged, match="absent"):
        reconcile(party.job(11))
    assert not party.source.fetched


def test_a_repair_that_would_take_too_much_is_refused_and_changes_nothing(shelf: Shelf, party: Party) -> None:
    shelf.delta(12, dict.fromkeys(range(9, 40), "I"))
    shelf.deltas(13, 14, 15)
    run(party.job(15))
    shelf.full(15, {**LISTED, 8: "I"})
    before, lines = rows(party), journal(party)
    with pytest.raises(RepairRefused, match="Nothing was repaired") as refused:
        reconcile(party.job(15), repair=True)
    assert refused.value.reason == "shrinks-mirror"
    assert "--accept-shrink" in refused.value.hint
    assert (rows(party), journal(party)) == (before, lines)
    agreed = replace(party.job(15), change_limits=ChangeLimits(accept_shrink=True))
    assert reconcile(agreed, repair=True).agrees
