"""The daily run: what it applies, in what order, and what a fault on the way leaves."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.extract_directory import NOW, Party, Unplugged, november

from smki_sync.errors import BadExtract, Interrupted, Locked, MirrorDamaged, MirrorError, SourceUnreachable
from smki_sync.events import Building, Committed, Detail, Downloading, Event, Listing, Planned, Reading
from smki_sync.mirror.directory import BUILDING, MirrorDirectory, hold_lock
from smki_sync.mirror.queries import open_mirror, read_position
from smki_sync.model.plan import Action, Reason, Unproven
from smki_sync.model.report import NoticeCode, Outcome
from smki_sync.sync import SyncJob, dry_run, run

FULL_9 = "SMKIKR_FULL_2026-11-09.xml.gz"
FULL_16 = "SMKIKR_FULL_2026-11-16.xml.gz"


def name(day: int) -> str:
    return f"SMKIKR_DELT_2026-11-{day:02}.xml.gz"


def held(party: Party) -> dict[int, str]:
    """Number in the pool to status, as ``mirror.db`` shows it to plain sqlite3."""
    with closing(sqlite3.connect(f"file:{party.directory.link}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT der, iif(withdrawn IS NULL, status, 'withdrawn') FROM certificates")
        return {party.shelf.pool.index(der): status for der, status in rows}


def position(party: Party) -> date:
    with open_mirror(party.directory.link) as db:
        return read_position(db).day


def dump(party: Party) -> list[str]:
    with closing(sqlite3.connect(f"file:{party.directory.link}?mode=ro", uri=True)) as db:
        return list(db.iterdump())


def files(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir()) if path.is_dir() else []


@pytest.fixture
def started(party: Party) -> Party:
    """A mirror at the 11th: full of the 9th, its overlap, two deltas; nothing asked or told yet."""
    shelf = party.shelf
    shelf.full(9, {0: "I", 1: "I", 2: "I"})
    shelf.deltas(7, 8, 9)
    shelf.delta(10, {3: "I"})
    shelf.delta(11, {1: "R"})
    run(party.job(today=11))
    party.source.fetched.clear()
    party.ear.events.clear()
    return party


def test_a_first_run_takes_the_newest_full_its_overlap_and_every_later_delta(party: Party) -> None:
    shelf = party.shelf
    shelf.full(2, {7: "I"})
    shelf.full(9, {0: "I", 1: "I"})
    shelf.delta(6, {0: "E"})
    shelf.delta(7, {0: "R"})
    shelf.delta(8, {0: "I", 2: "P"})
    shelf.delta(9, {2: "I"})
    shelf.delta(10, {3: "I"})
    shelf.delta(11, {1: "R", 3: "N"})
    report = run(party.job(today=11))
    assert (report.plan.action, report.plan.reason) == (Action.FULL, Reason.NO_MIRROR)
    assert [a.file for a in report.applied] == [FULL_9, *(name(day) for day in range(7, 12))]
    assert (report.position, position(party)) == (november(11), november(11))
    assert held(party) == {0: "I", 1: "R", 2: "I", 3: "N"}
    assert (report.outcome, report.attention) == (Outcome.CURRENT, ())
    assert (report.counts.total, report.counts.in_use) == (4, 2)
    assert files(party.directory.downloads) == []


def test_a_run_with_nothing_new_lists_once_and_touches_nothing(started: Party) -> None:
    before = dump(started)
    report = run(started.job(today=11))
    assert (report.plan.action, report.plan.reason) == (Action.NONE, Reason.UP_TO_DATE)
    assert (report.applied, report.outcome) == ((), Outcome.CURRENT)
    assert report.position == november(11)
    assert (started.source.fetched, started.source.opened, started.source.closed) == ([], 2, 2)
    assert dump(started) == before


def test_new_deltas_are_applied_in_order_and_nothing_else_is_fetched(started: Party) -> None:
    started.shelf.delta(12, {0: "N"})
    started.shelf.delta(13, {0: "I", 4: "I"})
    report = run(started.job(today=13))
    assert report.plan.reason is Reason.DELTAS_AVAILABLE
    assert started.source.fetched == [a.file for a in report.applied] == [name(12), name(13)]
    assert [a.counts.updated for a in report.applied] == [1, 1]
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I", 4: "I"}
    assert position(started) == november(13)


def test_a_gap_beyond_the_window_is_closed_by_a_full_in_a_new_generation(started: Party) -> None:
    shelf = started.shelf
    shelf.remove(FULL_9, *(name(day) for day in range(7, 12)))
    shelf.full(23, {0: "I", 3: "I", 5: "I"})
    for day in range(20, 27):
        shelf.delta(day, {5: "I"})
    old = started.directory.current()
    report = run(started.job(today=26))
    assert report.plan.reason is Reason.GAP_BEYOND_WINDOW
    assert held(started) == {0: "I", 1: "R", 2: "withdrawn", 3: "I", 5: "I"}
    assert report.applied[0].counts.withdrawn == 1
    assert old is not None
    assert started.directory.current() != old
    assert old.exists()
    assert position(started) == november(26)


@pytest.mark.parametrize("keep", [True, False])
def test_the_generation_before_stays_as_configured(started: Party, keep: bool) -> None:
    report = run(started.job(today=11, keep_previous=keep), full=True)
    assert report.plan.reason is Reason.REQUESTED
    found = {path[:6] for path in files(started.directory.generations)}
    assert found == ({"000001", "000002"} if keep else {"000002"})
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I"}


def test_a_hole_is_gone_up_to_and_no_further(started: Party) -> None:
    started.shelf.deltas(12, 14, 15)
    report = run(started.job(today=15))
    assert (report.plan.action, report.plan.reason) == (Action.BLOCKED, Reason.HOLE_IN_DELTAS)
    assert [a.file for a in report.applied] == [name(12)]
    assert position(started) == november(12)
    assert started.source.fetched == [name(12)]
    assert [a.code for a in report.attention] == [NoticeCode.DELTAS_MISSING]
    assert report.outcome is Outcome.BEHIND


def test_what_has_come_of_a_full_outlives_a_day_on_which_nothing_can_be_done(started: Party) -> None:
    part = started.directory.downloads / "SMKIKR_FULL_2026-11-16.xml.gz.part"
    part.write_bytes(b"half")
    started.shelf.deltas(12, 14, 15)
    assert run(started.job(today=15)).plan.action is Action.BLOCKED
    assert part.exists()


def test_what_has_come_of_another_full_makes_room_for_the_one_to_be_fetched(started: Party) -> None:
    part = started.directory.downloads / "SMKIKR_FULL_2026-11-02.xml.gz.part"
    part.write_bytes(b"half")
    started.shelf.full(16, {0: "I"})
    started.shelf.deltas(14, 15, 16)
    seen: list[bool] = []
    started.source.before_fetch = lambda _name: seen.append(part.exists())
    assert run(started.job(today=16), full=True).position == november(16)
    assert set(seen) == {False}


def test_full_without_its_deltas_is_unproven_until_they_arrive(party: Party) -> None:
    party.shelf.full(9, {0: "I", 1: "I"})
    first = run(party.job(today=9))
    assert [a.code for a in first.attention] == [NoticeCode.UNPROVEN]
    assert (first.position, first.outcome) == (november(8), Outcome.BEHIND)
    party.shelf.delta(8, {0: "R"})
    party.shelf.delta(9, {1: "N"})
    party.shelf.delta(10, {1: "I"})
    report = run(party.job(today=10))
    assert [a.file for a in report.applied] == [name(8), name(9), name(10)]
    assert held(party) == {0: "R", 1: "I"}
    assert position(party) == november(10)
    assert report.counts.unproven == Unproven(since=november(9), missing=(november(7),))
    party.shelf.delta(7, {0: "I", 1: "R"})
    last = run(party.job(today=10))
    assert [a.file for a in last.applied] == [name(7)]
    assert held(party) == {0: "R", 1: "I"}
    assert (last.outcome, last.counts.unproven) == (Outcome.CURRENT, None)


def test_an_empty_repository_is_nothing_to_start_from(party: Party) -> None:
    report = run(party.job(today=9))
    assert (report.plan.action, report.plan.reason) == (Action.BLOCKED, Reason.NO_FULL_AVAILABLE)
    assert (report.position, report.applied, report.counts.total) == (None, (), 0)
    assert report.outcome is Outcome.BEHIND
    assert party.directory.current() is None


# order


def test_deltas_are_fetched_before_the_full_because_they_leave_the_window(party: Party) -> None:
    party.shelf.full(9, {0: "I"})
    party.shelf.deltas(8, 9, 10)
    run(party.job(today=10))
    assert party.source.fetched == [name(8), name(9), name(10), FULL_9]


def test_the_connection_is_closed_before_anything_is_read(party: Party) -> None:
    party.shelf.full(9, {0: "I"})
    party.shelf.deltas(9, 10)
    closed: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, Reading | Building | Committed):
            closed.append(party.source.closed)

    party.ear.react = note
    run(party.job(today=10))
    assert set(closed) == {1}


def test_a_listener_hears_the_story_in_order(party: Party) -> None:
    party.shelf.full(9, {0: "I", 1: "I", 2: "I"})
    party.shelf.delta(9)
    run(party.job(today=9))
    kinds = [type(event) for event in party.ear.events]
    assert list(dict.fromkeys(kinds)) == [Listing, Planned, Downloading, Reading, Building, Committed]
    assert (kinds.count(Committed), kinds[-1]) == (2, Committed)
    told = {event.file: event for event in party.ear.events if isinstance(event, Reading)}
    assert {file: event.records for file, event in told.items()} == {FULL_9: 3, name(9): 0}
    assert all(0 < event.done == event.size for event in told.values())


def test_what_was_applied_is_reported_with_size_hash_and_duration(party: Party) -> None:
    path = party.shelf.full(9, {0: "I"})
    (applied,) = run(party.job(today=9)).applied
    assert (applied.file, applied.bytes, applied.seconds) == (FULL_9, path.stat().st_size, 0.0)
    with closing(sqlite3.connect(party.directory.link)) as db:
        assert db.execute("SELECT size, sha256 FROM extract").fetchall() == [(applied.bytes, applied.sha256)]


def test_times_are_in_utc_unless_a_clock_is_given(party: Party) -> None:
    job = SyncJob(directory=party.directory, open_source=lambda: party.source, today=november(9))
    assert job.clock().utcoffset() == timedelta(0)


# faults on the way


def test_an_unreachable_repository_leaves_the_mirror_as_it_was(started: Party) -> None:
    before = dump(started)
    started.source = Unplugged(started.source.inner)
    with pytest.raises(SourceUnreachable):
        run(started.job(today=12))
    assert dump(started) == before
    assert started.source.closed == 1


def test_a_bad_delta_stops_the_run_behind_the_last_good_one(started: Party) -> None:
    started.shelf.delta(12, {4: "I"})
    bad = started.shelf.delta(13, {5: "I"})
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-20])
    started.shelf.delta(14, {6: "I"})
    with pytest.raises(BadExtract):
        run(started.job(today=14))
    assert position(started) == november(12)
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I", 4: "I"}
    bad.write_bytes(whole)
    started.source.fetched.clear()
    report = run(started.job(today=14))
    assert [a.file for a in report.applied] == [name(13), name(14)]
    assert started.source.fetched == [name(13)]  # the 14th was here already, whole
    assert position(started) == november(14)
    assert files(started.directory.downloads) == []


def test_a_file_republished_with_size_and_time_of_the_bad_one_is_fetched_again(started: Party) -> None:
    """A damaged file is not kept for the next run: it may be what a copy kept the time of."""
    path = started.shelf.delta(12, {4: "I"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(8))
    started.shelf.stamp(path, 12)
    with pytest.raises(BadExtract):
        run(started.job(today=12))
    path.write_bytes(whole)
    started.shelf.stamp(path, 12)
    assert run(started.job(today=12)).position == november(12)


def test_a_bad_full_leaves_the_old_generation_current_and_no_other(started: Party) -> None:
    started.shelf.deltas(12, 13, 14, 15, 16)
    bad = started.shelf.full(16, {0: "I"})
    bad.write_bytes(bad.read_bytes()[:-20])
    before, current = held(started), started.directory.current()
    with pytest.raises(BadExtract):
        run(started.job(today=16), full=True)
    assert held(started) == before
    assert position(started) == november(16)  # by the deltas
    assert started.directory.current() == current
    assert {path[:6] for path in files(started.directory.generations)} == {"000001"}


def test_full_is_used_without_the_delta_of_its_date_when_that_is_damaged(party: Party) -> None:
    party.shelf.full(9, {0: "I"})
    party.shelf.deltas(7, 8)
    bad = party.shelf.delta(9)
    bad.write_bytes(bad.read_bytes()[:-4])
    with pytest.raises(BadExtract):
        run(party.job(today=9))
    assert (position(party), held(party)) == (november(8), {0: "I"})


def test_damaged_overlap_delta_is_a_missing_delta(party: Party) -> None:
    party.shelf.full(9, {0: "I"})
    party.shelf.deltas(7, 9)
    bad = party.shelf.delta(8)
    bad.write_bytes(bad.read_bytes()[:-4])
    report = run(party.job(today=9))
    assert (report.position, report.outcome) == (november(9), Outcome.BEHIND)
    assert report.counts.unproven == Unproven(since=november(9), missing=(november(8),))
    assert [a.code for a in report.attention] == [NoticeCode.UNPROVEN, NoticeCode.DELTA_DAMAGED]


def test_damaged_delta_is_covered_by_a_newer_full(started: Party) -> None:
    started.shelf.deltas(12, 14, 15, 16)
    bad = started.shelf.delta(13)
    bad.write_bytes(bad.read_bytes()[:-4])
    started.shelf.full(16, {0: "I"})
    report = run(started.job(today=16))
    assert report.plan.reason is Reason.DELTA_DAMAGED
    assert [a.file for a in report.applied] == [name(12), FULL_16, *(name(day) for day in (14, 15, 16))]
    assert (report.position, report.outcome) == (november(16), Outcome.CURRENT)
    assert [a.code for a in report.attention] == [NoticeCode.DELTA_DAMAGED]
    assert name(13) in report.attention[0].message
    assert held(started) == {0: "I", 1: "R", 2: "withdrawn", 3: "withdrawn"}


def test_older_full_is_used_when_the_newest_is_damaged(party: Party) -> None:
    party.shelf.full(9, {0: "I"})
    party.shelf.deltas(7, 8, 9, 10, 11)
    bad = party.shelf.full(11, {0: "I"})
    bad.write_bytes(bad.read_bytes()[:-20])
    report = run(party.job(today=11))
    assert report.applied[0].file == FULL_9
    assert (report.position, report.outcome) == (november(11), Outcome.CURRENT)
    assert [a.code for a in report.attention] == [NoticeCode.DELTA_DAMAGED]


def test_confirmation_by_a_delta_survives_a_full_that_read_too_early(started: Party) -> None:
    started.shelf.delta(15, {2: "I"})
    started.shelf.deltas(12, 13, 14, 16)
    run(started.job(today=16))
    started.shelf.full(16, {0: "I", 3: "I"})
    report = run(started.job(today=16), full=True)
    assert held(started)[2] == "I"
    assert report.outcome is Outcome.CURRENT


def test_second_full_resync_keeps_what_the_overlap_said(started: Party) -> None:
    started.shelf.delta(15, {2: "R"})
    started.shelf.deltas(12, 13, 14, 16)
    started.shelf.full(16, {0: "I", 2: "I", 3: "I"})
    run(started.job(today=16), full=True)
    started.shelf.remove(name(14), name(15), name(16))
    for _ in range(2):
        report = run(started.job(today=16), full=True)
        assert held(started)[2] == "R"
        assert (report.position, report.counts.unproven) == (november(16), None)


def test_older_full_is_never_used_after_a_newer_one(started: Party) -> None:
    started.shelf.full(16, {0: "I"})
    started.shelf.deltas(12, 13, 14, 15, 16)
    run(started.job(today=16), full=True)
    started.shelf.remove(FULL_16)
    report = run(started.job(today=16), full=True)
    assert report.plan.reason is Reason.NO_FULL_AVAILABLE
    assert (report.position, held(started)) == (
        november(16),
        {0: "I", 1: "R", 2: "withdrawn", 3: "withdrawn"},
    )


def test_name_in_another_letter_case_is_the_same_delta(started: Party) -> None:
    (started.shelf.path / name(11)).rename(started.shelf.path / name(11).lower())
    report = run(started.job(today=11))
    assert (report.plan.reason, report.applied) == (Reason.UP_TO_DATE, ())


def test_lost_link_is_restored_with_the_journal(started: Party) -> None:
    before = started.directory.current()
    started.directory.link.unlink()
    report = run(started.job(today=11))
    assert started.directory.current() == before
    assert report.plan.reason is Reason.UP_TO_DATE
    assert [a.code for a in report.attention] == [NoticeCode.LINK_RESTORED]


def lineage(party: Party) -> str:
    with closing(sqlite3.connect(f"file:{party.directory.link}?mode=ro", uri=True)) as db:
        found: tuple[str] = db.execute("SELECT lineage FROM mirror").fetchone()
        return found[0]


def test_copy_of_a_mirror_gets_a_new_lineage(started: Party, tmp_path: Path) -> None:
    before = lineage(started)
    copy = Party(started.shelf, MirrorDirectory(tmp_path / "copy"))
    shutil.copytree(started.directory.root, copy.directory.root, symlinks=True)
    assert lineage(copy) == before
    report = run(copy.job(today=11))
    assert lineage(copy) != before
    assert [a.code for a in report.attention] == [NoticeCode.HISTORY_LOST]
    assert (lineage(started), run(started.job(today=11)).attention) == (before, ())
    assert run(copy.job(today=11)).attention == ()


def test_older_generation_that_is_put_back_gets_a_new_lineage(started: Party) -> None:
    before = lineage(started)
    run(started.job(today=11), full=True)
    started.shelf.delta(12, {0: "N"})
    run(started.job(today=12))
    assert lineage(started) == before
    started.directory.link.unlink()
    started.directory.link.symlink_to("generations/000001.db")
    report = run(started.job(today=12))
    assert lineage(started) != before
    assert NoticeCode.HISTORY_LOST in [a.code for a in report.attention]


def test_nothing_stays_in_downloads_once_it_is_of_no_more_use(started: Party) -> None:
    """A file that is damaged for ever, passed over by a full, would lie there for ever."""
    bad = started.shelf.delta(12)
    bad.write_bytes(bad.read_bytes()[:-4])
    with pytest.raises(BadExtract):
        run(started.job(today=12))
    started.shelf.remove(name(12))
    started.shelf.full(13, {0: "I"})
    started.shelf.delta(13)
    assert run(started.job(today=13)).position == november(13)
    assert files(started.directory.downloads) == []


def test_a_file_that_changes_between_listing_and_fetching_is_left_for_the_next_run(started: Party) -> None:
    started.shelf.delta(12, {4: "I"})

    def republish(_name: str) -> None:
        started.shelf.delta(12, {4: "I", 5: "I"})

    started.source.before_fetch = republish
    before = dump(started)
    with pytest.raises(SourceUnreachable) as caught:
        run(started.job(today=12))
    assert caught.value.reason == "changed-while-fetched"
    assert dump(started) == before
    assert run(started.job(today=12)).position == november(12)
    assert held(started)[5] == "I"


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), Interrupted("stopped")], ids=repr)
@pytest.mark.parametrize("when", [Downloading, Reading, Building, Committed])
def test_an_interrupted_run_has_done_nothing_by_halves(
    started: Party, when: type[Event], signal: BaseException
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, when):
            raise signal

    started.shelf.delta(12, {4: "I"})
    before = dump(started)
    started.ear.react = stop
    with pytest.raises(type(signal)):
        run(started.job(today=12), full=True)
    if when is Committed:
        assert position(started) == november(11)  # the full took over; no reader was taken back by it
    else:
        assert dump(started) == before
    started.ear.react = lambda _: None
    assert run(started.job(today=12)).position == november(12)
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I", 4: "I"}


def test_what_a_killed_run_left_is_removed_and_told(started: Party) -> None:
    (started.directory.generations / f"000002.db{BUILDING}").write_bytes(b"half")
    run(started.job(today=11))
    assert {path[:6] for path in files(started.directory.generations)} == {"000001"}
    (detail,) = (event for event in started.ear.events if isinstance(event, Detail))
    assert "000002.db" in detail.text


def test_a_run_that_finds_the_mirror_held_asks_nobody_and_changes_nothing(started: Party) -> None:
    before = dump(started)
    started.shelf.delta(12)
    with hold_lock(started.directory.lock, since=NOW), pytest.raises(Locked):
        run(started.job(today=12))
    assert (started.source.opened, started.source.fetched) == (1, [])
    assert dump(started) == before


def test_a_directory_that_vanishes_while_files_arrive_is_a_fault_of_the_mirror(started: Party) -> None:
    started.shelf.delta(12)
    elsewhere = started.directory.root.with_name("elsewhere")

    def vanish(_name: str) -> None:
        started.directory.root.rename(elsewhere)

    started.source.before_fetch = vanish
    with pytest.raises(MirrorError):
        run(started.job(today=12))
    assert not started.directory.root.exists()
    elsewhere.rename(started.directory.root)
    assert position(started) == november(11)


# a mirror that is not as it should be


def spoil_noise(party: Party) -> None:
    path = party.directory.current()
    assert path is not None
    path.write_bytes(b"noise" * 9999)


def spoil_link(party: Party) -> None:
    path = party.directory.current()
    assert path is not None
    path.unlink()


def spoil_copy(party: Party) -> None:
    path = party.directory.current()
    assert path is not None
    party.directory.link.unlink()
    shutil.copy(path, party.directory.link)


def spoil_pages(party: Party, table: str) -> None:
    """Overwrite every page of one table, as a bad disk would; the rest of the file is sound."""
    path = party.directory.current()
    assert path is not None
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.parametrize("spoil", [spoil_noise, spoil_link, spoil_copy], ids=["noise", "dangling", "copied"])
def test_a_damaged_mirror_is_built_anew_from_a_full(started: Party, spoil: Callable[[Party], None]) -> None:
    spoil(started)
    report = run(started.job(today=11))
    assert report.plan.reason is Reason.MIRROR_DAMAGED
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I"}
    assert report.outcome is Outcome.CURRENT


@pytest.mark.parametrize("table", ["extract", "mirror", "census"])
def test_damage_to_the_books_is_found_and_the_mirror_built_anew(started: Party, table: str) -> None:
    spoil_pages(started, table)
    report = run(started.job(today=11))
    assert report.plan.reason is Reason.MIRROR_DAMAGED
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I"}


@pytest.mark.parametrize("table", ["revocation_list", "companion", "incident"])
def test_damage_that_a_run_comes_upon_anywhere_makes_the_next_one_rebuild(started: Party, table: str) -> None:
    """What the hint of the failure says has to help, and what it says is: run it again."""
    spoil_pages(started, table)
    with pytest.raises(MirrorDamaged):
        run(started.job(today=11))
    assert run(started.job(today=11)).plan.reason is Reason.MIRROR_DAMAGED
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I"}


@pytest.mark.parametrize("table", ["certificate", "certificate_identity", "change"])
def test_a_full_on_request_mends_damage_that_a_run_comes_upon(started: Party, table: str) -> None:
    """What the hint of the failure says has to help: else the operator is left with `rm`."""
    spoil_pages(started, table)
    assert run(started.job(today=11), full=True).position == november(11)
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I"}


def test_a_mirror_of_an_earlier_version_is_built_anew(started: Party) -> None:
    with closing(sqlite3.connect(started.directory.link)) as db, db:
        db.execute("PRAGMA user_version = 1")
    report = run(started.job(today=11))
    assert report.plan.reason is Reason.SCHEMA_CHANGED
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I"}


# deltas that change after they were applied


def test_an_applied_delta_of_another_size_leads_to_a_full(started: Party) -> None:
    started.shelf.delta(11, {1: "N", 4: "I"})
    report = run(started.job(today=11))
    assert report.plan.reason is Reason.DELTA_CHANGED
    assert held(started) == {0: "I", 1: "N", 2: "I", 3: "I", 4: "I"}
    assert run(started.job(today=11)).plan.reason is Reason.UP_TO_DATE


def test_an_applied_delta_of_the_same_size_and_other_bytes_leads_to_a_full(started: Party) -> None:
    path = started.shelf.path / name(11)
    size = path.stat().st_size
    # Whether another letter takes an octet more hangs on the certificate, which is another in every run.
    status = next(s for s in "ENP" if started.shelf.delta(11, {1: s}).stat().st_size <= size)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    started.shelf.stamp(path, 11, hour=5)
    assert path.stat().st_size == size
    report = run(started.job(today=11))
    assert report.plan.reason is Reason.DELTA_CHANGED
    assert held(started)[1] == status
    assert started.source.fetched.count(name(11)) == 1


def test_the_same_bytes_with_another_time_are_looked_at_once(started: Party) -> None:
    started.shelf.stamp(started.shelf.path / name(11), 11, hour=5)
    for _ in range(2):
        assert run(started.job(today=11)).plan.reason is Reason.UP_TO_DATE
    assert started.source.fetched == [name(11)]
    assert files(started.directory.downloads) == []


def test_a_changed_delta_is_remembered_until_a_full_settles_it(started: Party) -> None:
    shelf = started.shelf
    shelf.remove(FULL_9)
    shelf.delta(11, {1: "N", 4: "I"})
    report = run(started.job(today=11))
    assert (report.plan.action, report.plan.reason) == (Action.BLOCKED, Reason.NO_FULL_AVAILABLE)
    assert report.outcome is Outcome.BEHIND
    shelf.remove(name(11))
    shelf.delta(12)
    shelf.full(12, {0: "I", 2: "I", 4: "I"})
    report = run(started.job(today=12))
    assert report.plan.reason is Reason.DELTA_CHANGED
    assert held(started) == {0: "I", 1: "R", 2: "I", 3: "I", 4: "I"}
    assert report.counts.unproven == Unproven(since=november(12), missing=(november(11),))
    assert run(started.job(today=12)).plan.reason is Reason.UP_TO_DATE


# rehearsals


def test_a_rehearsal_without_a_mirror_says_what_would_be_done_and_makes_no_file(party: Party) -> None:
    party.shelf.full(9, {0: "I"})
    party.shelf.deltas(9, 10)
    report = dry_run(party.job(today=10))
    assert report.dry_run
    assert [x.name for x in report.plan.extracts] == [FULL_9, name(9), name(10)]
    assert (report.position, report.applied, report.counts.total) == (None, (), 0)
    assert (party.source.fetched, party.source.listings) == ([], 1)
    assert not party.directory.root.exists()


def test_a_rehearsal_writes_nothing_fetches_nothing_and_needs_no_lock(started: Party) -> None:
    started.shelf.delta(12, {0: "R"})
    started.shelf.stamp(started.shelf.path / name(11), 11, hour=5)
    before = dump(started), files(started.directory.root), files(started.directory.downloads)
    with hold_lock(started.directory.lock, since=NOW):
        report = dry_run(started.job(today=12))
    assert [x.name for x in report.plan.extracts] == [name(12)]
    assert (report.position, report.counts.total) == (november(11), 4)
    assert started.source.fetched == []
    assert (dump(started), files(started.directory.root), files(started.directory.downloads)) == before


def test_a_rehearsal_of_a_full_plans_one(started: Party) -> None:
    report = dry_run(started.job(today=11), full=True)
    assert (report.plan.action, report.plan.reason) == (Action.FULL, Reason.REQUESTED)


def test_a_rehearsal_on_a_damaged_mirror_says_so(started: Party) -> None:
    spoil_noise(started)
    report = dry_run(started.job(today=11))
    assert report.plan.reason is Reason.MIRROR_DAMAGED
    assert report.position is None


# never 0 while behind


def test_a_newer_full_without_deltas_up_to_it_is_not_being_current(started: Party) -> None:
    """The full proves that the Repository went on; the mirror is at the 11th, five days behind."""
    started.shelf.full(16, {0: "I"})
    report = run(started.job(today=16))
    assert report.position == november(16) or report.outcome is Outcome.BEHIND


def test_records_of_a_poisoned_delta_are_kept_aside_and_the_run_asks_for_attention(started: Party) -> None:
    started.shelf.delta(12, {4: "I"}, poison=2)
    report = run(started.job(today=12))
    assert (report.applied[0].counts.quarantined, report.counts.quarantined) == (2, 2)
    assert [a.code for a in report.attention] == [NoticeCode.RECORDS_QUARANTINED]
    assert held(started)[4] == "I"
    assert run(started.job(today=12)).outcome is Outcome.BEHIND


def test_records_with_false_claims_are_counted_and_served(party: Party) -> None:
    """In a full and in a delta alike."""
    claim = "<CertificateResponse><CertificateSerial>0BAD</CertificateSerial>"
    records = [party.shelf._record(n, "I").replace("<CertificateResponse>", claim) for n in (4, 5)]
    party.shelf.put(FULL_9, party.shelf.xml({0: "I"}, more=records[:1]), 9)
    party.shelf.deltas(7, 8, 9)
    party.shelf.put(name(10), party.shelf.xml({}, more=records[1:]), 10)
    report = run(party.job(today=10))
    assert [a.code for a in report.attention] == [NoticeCode.CLAIMS_DIFFER]
    assert report.attention[0].message.startswith("2 ")
    assert report.outcome is Outcome.CURRENT
    assert held(party) == {0: "I", 4: "I", 5: "I"}
