"""The journal as a feed: every line once, in order, and a clear no where lines are missing."""

from contextlib import closing
from datetime import date
from pathlib import Path

import apsw
import pytest
from support.mirror_builders import (
    apply,
    ask,
    build,
    clock,
    clock_on,
    delta,
    entry,
    full,
    november,
    serial_of,
)

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.journal import (
    AfterLine,
    FromDate,
    JournalGapError,
    JournalLine,
    Place,
    read_changes,
    read_journal,
    start_after,
)
from smki_sync.mirror.queries import open_mirror, read_stamp
from smki_sync.mirror.store import MirrorStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A full of the 9th; deltas of the 10th, the 11th (two lines) and the 13th, none on the 12th."""
    found = tmp_path / "000001.db"
    build(found, [entry(1), entry(2), entry(3)])
    apply(found, november(10), [entry(4)])
    apply(found, november(11), [entry(1, "N"), entry(5)])
    apply(found, november(12), [])
    apply(found, november(13), [entry(2, "R")])
    return found


def follow(path: Path, place: Place) -> list[JournalLine] | JournalGapError:
    with open_mirror(path) as db:
        start = start_after(db, read_journal(db), place)
        return start if isinstance(start, JournalGapError) else list(read_changes(db, start))


def numbers(path: Path, place: Place) -> list[int]:
    lines = follow(path, place)
    assert not isinstance(lines, JournalGapError), lines
    return [line.sequence for line in lines]


def gap(path: Path, place: Place) -> JournalGapError:
    found = follow(path, place)
    assert isinstance(found, JournalGapError)
    return found


def prune(path: Path, day: date, *, keep: int) -> None:
    """One more delta, after which so many days of the journal are left."""
    with MirrorStore(path, keep_changes_days=keep) as store:
        store.apply_delta(delta(day), [entry(day.day + 100)], clock=clock_on(day))


def lineage(path: Path) -> str:
    return str(ask(path, "SELECT lineage FROM mirror")[0][0])


def test_a_line_says_what_became_of_whom_by_which_file(path: Path) -> None:
    lines = follow(path, AfterLine(sequence=3))
    assert lines == [
        JournalLine(
            sequence=4,
            day="2026-11-13",
            change="status",
            kind="device",
            eui="00-DB-12-34-56-78-00-02",
            serial=serial_of(2),
            issuer="CN=E357",
            before="I",
            after="R",
            file="SMKIKR_DELT_2026-11-13.xml.gz",
        )
    ]


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3, 4]), (1, [2, 3, 4]), (3, [4]), (4, [])])
def test_each_line_after_the_last_seen_comes_once_and_in_order(
    path: Path, after: int, expected: list[int]
) -> None:
    assert numbers(path, AfterLine(sequence=after)) == expected
    assert numbers(path, AfterLine(sequence=after, lineage=lineage(path))) == expected


@pytest.mark.parametrize(
    ("day", "expected"), [(10, [1, 2, 3, 4]), (11, [2, 3, 4]), (12, [4]), (13, [4]), (14, []), (30, [])]
)
def test_date_begins_with_the_first_line_recorded_on_it_or_later(
    path: Path, day: int, expected: list[int]
) -> None:
    assert numbers(path, FromDate(day=november(day))) == expected


def test_a_date_is_found_by_halving_and_not_by_reading(path: Path) -> None:
    for day in range(14, 31):
        apply(path, november(day), [entry(day + 50), entry(day + 80)])
    for day in range(14, 31):
        first = numbers(path, FromDate(day=november(day)))[0]
        assert ask(path, "SELECT date FROM changes WHERE sequence = ?", first) == [(f"2026-11-{day}",)]
        assert ask(path, "SELECT date FROM changes WHERE sequence = ?", first - 1) != [(f"2026-11-{day}",)]


def test_what_was_before_the_ground_of_the_journal_is_not_known(path: Path) -> None:
    found = gap(path, FromDate(day=november(9)))
    assert "2026-11-09" in found.why
    assert "--since 2026-11-10" in found.hint


def test_a_number_that_the_journal_has_not_come_to_is_of_another(path: Path) -> None:
    assert "its last is 4" in gap(path, AfterLine(sequence=5)).why


def test_a_token_of_another_journal_is_told(path: Path) -> None:
    assert "another journal" in gap(path, AfterLine(sequence=2, lineage="0" * 16)).why


def test_a_resync_goes_on_with_the_numbers_the_lineage_and_the_ground(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "000002.db"
    build(new, [entry(2), entry(3), entry(4)], day=november(23), old=path)
    assert lineage(new) == lineage(path)
    assert numbers(new, AfterLine(sequence=4)) == [5, 6]  # 2 is In-Use again, 5 withdrawn
    assert numbers(new, FromDate(day=november(10))) == [1, 2, 3, 4, 5, 6]
    assert isinstance(follow(new, FromDate(day=november(9))), JournalGapError)


def test_the_stamp_names_the_place_that_the_state_stands_at(path: Path) -> None:
    with open_mirror(path) as db:
        stamp, journal = read_stamp(db), read_journal(db)
    assert (stamp.position, stamp.sequence) == (november(13), 4)
    assert stamp.token == journal.token(4) == f"{lineage(path)}:4"
    assert numbers(path, AfterLine(sequence=stamp.sequence, lineage=stamp.lineage)) == []


def test_a_journal_without_a_line_stands_at_nothing(tmp_path: Path) -> None:
    found = tmp_path / "000001.db"
    build(found, [entry(1)])
    assert numbers(found, AfterLine(sequence=0)) == []
    assert numbers(found, FromDate(day=november(10))) == []
    with open_mirror(found) as db:
        assert read_stamp(db).sequence == 0


def test_pruning_leaves_whole_days_and_says_what_it_no_longer_has(path: Path) -> None:
    prune(path, november(14), keep=3)
    assert numbers(path, AfterLine(sequence=3)) == [4, 5]
    assert numbers(path, FromDate(day=november(12))) == [4, 5]
    for place in (AfterLine(sequence=2), AfterLine(sequence=0), FromDate(day=november(11))):
        assert "2026-11-12" in gap(path, place).why


def test_a_journal_that_was_pruned_empty_goes_on_counting_after_a_resync(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "000002.db"
    listed = [entry(1), entry(3), entry(4), entry(5)]
    last_day = november(30)
    with GenerationBuilder(
        new, full=last_day, old=path, clock=clock_on(last_day), step=lambda _: None, keep_changes_days=1
    ) as builder:
        builder.load(full(last_day), [*listed, entry(2)])
        builder.apply_delta(delta(last_day), [])
        builder.finish()
    third = tmp_path / "000003.db"
    later = date(2026, 12, 7)
    with GenerationBuilder(
        third, full=later, old=new, clock=clock_on(later), step=lambda _: None, keep_changes_days=1
    ) as builder:
        builder.load(full(later), [*listed, entry(2)])
        builder.apply_delta(delta(later), [])
        builder.finish()
    assert ask(third, "SELECT * FROM change") == []
    last = ask(new, "SELECT max(sequence) FROM change")[0][0]
    with open_mirror(third) as db:
        assert read_stamp(db).sequence == last
    assert numbers(third, AfterLine(sequence=last)) == []
    assert isinstance(follow(third, AfterLine(sequence=last - 1)), JournalGapError)
    apply(third, date(2026, 12, 8), [entry(9)])
    assert numbers(third, AfterLine(sequence=last)) == [last + 1]


def test_a_delta_that_fails_prunes_nothing(path: Path) -> None:
    before = ask(path, "SELECT * FROM changes")
    with MirrorStore(path, keep_changes_days=1) as store, pytest.raises(ZeroDivisionError):
        store.apply_delta(delta(november(14)), (entry(1 // n) for n in (1, 0)), clock=clock)
    assert ask(path, "SELECT * FROM changes") == before
    assert numbers(path, FromDate(day=november(10))) == [1, 2, 3, 4]


def test_a_mirror_that_does_not_say_where_its_journal_begins_is_damaged(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE mirror SET journal_from = NULL")
    with pytest.raises(MirrorDamaged):
        follow(path, AfterLine(sequence=0))
