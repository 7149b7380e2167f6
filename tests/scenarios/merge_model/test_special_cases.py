"""The client in histories that are made by hand, because chance does not lead there."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from scenarios.merge_model.certificates import AUTHORITY, DEVICES, FALSE, ISSUED, SIGNED_TOO
from scenarios.merge_model.client import ClientMirror
from scenarios.merge_model.extracts import Defect, Extract, Kind, Record
from scenarios.merge_model.mirrors import CURRENT, View
from scenarios.merge_model.reference import Rule
from scenarios.merge_model.runs import Scratch
from scenarios.merge_model.world import Options

EVERYTHING = tuple(range(AUTHORITY, 12))
"""Certificates that are In-Use unless a test says otherwise."""

C = 5
"""The certificate that a test is about."""


def record(number: int, status: str = "I", *, body: int = ISSUED, defect: Defect | None = None) -> Record:
    return Record(number=number, status=status, body=body, defect=defect)


def full(day: int, numbers: Iterable[int] = EVERYTHING, *more: Record) -> Extract:
    listed = tuple(record(number) for number in numbers)
    return Extract(kind=Kind.FULL, day=day, records=(*listed, *more))


def delta(day: int, *records: Record) -> Extract:
    return Extract(kind=Kind.DELTA, day=day, records=records)


def without(*numbers: int) -> list[int]:
    return [number for number in EVERYTHING if number not in numbers]


def named(files: Iterable[Extract]) -> dict[str, Extract]:
    return {one.name: one for one in files}


@pytest.fixture
def place() -> Iterator[Path]:
    with Scratch() as path:
        yield path


def view_of(mirror: ClientMirror, day: int) -> View:
    view = mirror.view(day)
    assert view is not None
    return view


def load(place: Path, day: int, *arrivals: Sequence[Extract], options: Options | None = None) -> ClientMirror:
    """A mirror that was synced after each arrival, on one day."""
    mirror = ClientMirror(place, options)
    files: dict[str, Extract] = {}
    for arrived in arrivals:
        files |= named(arrived)
        mirror.sync(files, day)
    return mirror


@pytest.mark.parametrize("status", ["I", "R"])
def test_body_that_verifies_is_served_whenever_its_issuer_arrives(place: Path, status: str) -> None:
    files = [
        full(10, without(AUTHORITY, C)),
        delta(8),
        delta(9, record(C, body=FALSE)),
        delta(10, record(C, status)),
        delta(11, record(AUTHORITY)),
    ]
    at_once = view_of(load(place / "at-once", 12, files), 12)
    step_by_step = view_of(load(place / "steps", 12, *([files[:3]] + [[one] for one in files[3:]])), 12)
    for view in (at_once, step_by_step):
        assert (view.rows[C].body, view.rows[C].status) == (ISSUED, status)
    assert step_by_step.digest == at_once.digest


def test_verified_body_has_its_own_status_when_the_false_one_was_withdrawn(place: Path) -> None:
    mirror = load(
        place, 7, [full(4, without(C)), delta(2), delta(3), delta(4, record(C, body=FALSE)), delta(5)]
    )
    token, before = mirror.token(), view_of(mirror, 7)
    assert before.rows[C].body == FALSE
    files = [full(18, without(C)), delta(16), delta(17), delta(18), delta(19, record(C, "R"))]
    for _ in range(2):
        mirror.sync(named(files), 20, full=True)
        row = view_of(mirror, 20).rows[C]
        assert (row.body, row.status, row.withdrawn) == (ISSUED, "R", False)
    lines = [line for line in mirror.news(token).lines or () if line.number == C]
    assert lines[-1].after == "R"


@pytest.mark.parametrize("first", [ISSUED, SIGNED_TOO])
def test_body_stays_when_one_file_states_two_that_verify(place: Path, first: int) -> None:
    """For many certificates, so that it cannot depend on how the bytes of the two compare."""
    numbers = range(20, 40)
    mirror = load(place, 8, [full(5), delta(3), delta(4), delta(5), delta(6), delta(7)])
    pairs = [(record(n, "N", body=first), record(n, "N", body=1 - first)) for n in numbers]
    both = delta(22, *(one for pair in pairs for one in pair))
    files = named([full(19), *(delta(day) for day in range(17, 22)), both])
    mirror.sync(files, 23, full=True)
    before = view_of(mirror, 23).rows
    assert {before[number].body for number in numbers} == {first}
    for _ in range(2):
        mirror.sync(files, 23, full=True)
        assert view_of(mirror, 23).rows == before


@pytest.mark.parametrize("first", [ISSUED, SIGNED_TOO])
def test_first_body_of_a_full_stays_when_the_full_is_loaded_again(place: Path, first: int) -> None:
    """For many certificates, so that it cannot depend on how the bytes of the two compare."""
    numbers = range(20, 40)
    pairs = [(record(n, body=first), record(n, body=1 - first)) for n in numbers]
    both = full(5, EVERYTHING, *(one for pair in pairs for one in pair))
    files = named([both, *(delta(day) for day in range(3, 8))])
    mirror = load(place, 8, list(files.values()))
    for _ in range(2):
        assert {view_of(mirror, 8).rows[number].body for number in numbers} == {first}
        mirror.sync(files, 8, full=True)


def test_conflicting_body_is_not_served_when_the_full_does_not_list_the_certificate(place: Path) -> None:
    files = [full(10), delta(8), delta(9), delta(10, record(C, "N"))]
    mirror = load(place, 11, files)
    mirror.sync(named([full(17, without(C)), delta(15), delta(16), delta(17, record(C, body=FALSE))]), 18)
    view = view_of(mirror, 18)
    assert view.rows[C].body == ISSUED
    assert not view.rows[C].in_use


@pytest.mark.parametrize("command", ["sync", "sync --full", "restore", "reconcile --repair"])
def test_false_signature_is_never_served_when_new_certificates_are_verified(
    place: Path, command: str
) -> None:
    options = Options(rule=Rule(verify=True))
    files = named([full(10, without(C)), delta(8), delta(9), delta(10)])
    mirror = ClientMirror(place, options)
    mirror.sync(files, 11)
    files |= named([full(11, without(C), record(C, body=FALSE)), delta(11)])
    match command:
        case "restore":
            mirror.restore(files, 12)
        case "reconcile --repair":
            mirror.sync({name: one for name, one in files.items() if one.kind is Kind.DELTA}, 12)
            mirror.reconcile(files, 12, repair=True)
        case _:
            mirror.sync(files, 12, full=command == "sync --full")
    view = view_of(mirror, 12)
    assert C not in view.in_use
    assert view.in_use == set(without(C))


def test_confirmation_survives_a_repair_by_a_full_that_does_not_list_it(place: Path) -> None:
    """It left In-Use and came back on one day, and the full read it in between."""
    deltas = [delta(day, *([record(C)] if day == 13 else [])) for day in range(4, 15)]
    mirror = load(place, 15, [full(6), *deltas])
    for _ in range(2):
        outcome = mirror.reconcile(named([full(14, without(C))]), 15, repair=True)
        assert outcome.exit == CURRENT
        assert C in view_of(mirror, 15).in_use


def test_unlisted_certificate_leaves_in_use_when_no_delta_of_the_overlap_states_it(place: Path) -> None:
    mirror = load(
        place, 14, [full(6), *(delta(day) for day in range(4, 11)), delta(11, record(C)), delta(12)]
    )
    mirror.sync(named([full(14, without(C)), delta(13)]), 14, full=True)
    assert C not in view_of(mirror, 14).in_use


@pytest.mark.parametrize("again", ["sync --full", "restore"])
def test_second_resync_keeps_what_overlap_deltas_said(place: Path, again: str) -> None:
    """The deltas of the overlap have left the window by then."""
    early = [full(10), delta(8), delta(9, record(C, "R"))]
    mirror = load(place, 10, early)
    days = range(10, 16)
    files = named([full(10), *(delta(day) for day in days)])
    for _ in range(2):
        if again == "restore":
            mirror.restore(files, 16)
        else:
            mirror.sync(files, 16, full=True)
        view = view_of(mirror, 16)
        assert (view.position, view.rows[C].status) == (15, "R")
        assert not view.unproven


def test_late_overlap_delta_proves_the_mirror_and_removes_the_marks(place: Path) -> None:
    files = [full(10), delta(8, record(C, "N")), delta(10), delta(11)]
    mirror = load(place, 12, files)
    view = view_of(mirror, 12)
    assert view.missing == (9,)
    assert view.rows[C].marked
    assert not view.rows[C].in_use
    outcome = mirror.sync(named([*files, delta(9, record(C + 1, "R"))]), 12)
    view = view_of(mirror, 12)
    assert (outcome.exit, view.position, view.missing) == (CURRENT, 11, None)
    assert view.in_use == set(without(C, C + 1))
    assert not any(row.marked for row in view.rows.values())


def test_late_delta_does_not_undo_a_newer_one(place: Path) -> None:
    files = [full(10), delta(8), delta(10, record(C)), delta(11)]
    mirror = load(place, 12, files)
    mirror.sync(named([*files, delta(9, record(C, "R"))]), 12)
    view = view_of(mirror, 12)
    assert view.rows[C].status == "I"
    assert not view.unproven


def test_unproven_mirror_heals_with_the_next_full_on_its_own(place: Path) -> None:
    mirror = load(place, 12, [full(10), delta(8), delta(10), delta(11)])
    assert view_of(mirror, 12).unproven
    later = [delta(day) for day in range(12, 18)]
    outcome = mirror.sync(named([full(17, without(C)), *later, delta(11)]), 18)
    view = view_of(mirror, 18)
    assert not view.unproven
    assert view.in_use == set(without(C))
    assert (outcome.exit, view.position) == (CURRENT, 17)


def test_unproven_mirror_heals_by_a_full_that_was_compared_before_a_restore(place: Path) -> None:
    mirror = load(place, 12, [full(10), *(delta(day) for day in range(9, 12))])
    later = [full(17), *(delta(day) for day in range(12, 19))]
    mirror.sync(named(later), 19)
    assert not view_of(mirror, 19).unproven
    archive = named([full(10), *(delta(day) for day in range(9, 19)), full(17)])
    mirror.restore(archive, 19, to=13)
    assert view_of(mirror, 19).missing == (8,)
    mirror.sync(named(later), 19)
    view = view_of(mirror, 19)
    assert (view.position, view.missing) == (18, None)


def test_mirror_is_unproven_until_each_delta_after_its_full_is_applied(place: Path) -> None:
    """The delta of the full's date and the next one have left the window when the full is loaded."""
    mirror = load(place, 20, [full(10), *(delta(day) for day in range(13, 20))])
    assert (view_of(mirror, 20).position, view_of(mirror, 20).missing) == (19, (8, 9, 10, 11, 12))
    archive = named(
        [full(10), *(delta(day) for day in (8, 9, 10, 11)), *(delta(day) for day in range(13, 20))]
    )
    mirror.sync(archive, 20)
    assert view_of(mirror, 20).missing == (12,)
    later = named([full(17, without(C)), *(delta(day) for day in range(13, 21))])
    outcome = mirror.sync(later, 21)
    view = view_of(mirror, 21)
    assert (outcome.exit, view.position, view.missing) == (CURRENT, 20, None)
    assert C not in view.in_use


def test_older_generation_that_is_put_back_does_not_mislead_a_follower(place: Path) -> None:
    mirror = load(place, 11, [full(10), delta(8), delta(9), delta(10)])
    mirror.sync(named([full(17, without(C)), delta(15), delta(16), delta(17)]), 18, full=True)
    token = mirror.token()
    mirror.put_back_generation()
    files = [full(17, without(C)), delta(15), delta(16), delta(17), delta(18, record(C + 1, "R"))]
    mirror.sync(named(files), 19)
    view = view_of(mirror, 19)
    assert view.in_use == set(without(C, C + 1))
    news = mirror.news(token)
    told = None if news.lines is None else {line.number for line in news.lines}
    assert told in (None, {C + 1})


def test_other_address_of_the_same_files_changes_nothing(place: Path) -> None:
    files = named([full(10), delta(8), delta(9), delta(10)])
    mirror = load(place, 11, list(files.values()))
    before = view_of(mirror, 11)
    mirror.move_source()
    outcome = mirror.sync(files, 11)
    after = view_of(mirror, 11)
    assert (outcome.exit, outcome.applied) == (CURRENT, ())
    assert (after.rows, after.digest, after.missing) == (before.rows, before.digest, before.missing)


def test_follower_by_date_misses_nothing_when_a_delta_comes_late(place: Path) -> None:
    files = [full(10), delta(8), delta(10), delta(11)]
    mirror = load(place, 12, files)
    token = mirror.token()
    mirror.sync(named([*files, delta(9, record(C, "R")), delta(12)]), 13)
    since = mirror.news(token).lines
    assert since
    assert {line.number for line in since} == {C}
    by_date = mirror.news_since_day(13)
    assert set(since) <= set(by_date)


@pytest.mark.parametrize("defect", list(Defect))
def test_unreadable_record_of_a_full_withdraws_nothing(place: Path, defect: Defect) -> None:
    mirror = load(place, 11, [full(10), delta(8), delta(9), delta(10)])
    odd = full(17, without(C), record(C, defect=defect))
    mirror.sync(named([odd, delta(15), delta(16), delta(17)]), 18)
    view = view_of(mirror, 18)
    assert C in view.in_use


def test_unreadable_record_hides_who_has_left_and_the_mirror_says_so(place: Path) -> None:
    mirror = load(place, 11, [full(10), delta(8), delta(9), delta(10)])
    odd = full(17, without(C, C + 1), record(C, defect=Defect.BODY))
    mirror.sync(named([odd, delta(15), delta(16), delta(17)]), 18)
    view = view_of(mirror, 18)
    assert view.unproven
    assert {C, C + 1} <= view.in_use


def test_repeated_records_of_a_full_can_be_repaired(place: Path) -> None:
    odd = full(17, EVERYTHING, record(DEVICES), record(DEVICES), record(C))
    mirror = load(place, 18, [full(10), *(delta(day) for day in range(8, 18))])
    assert mirror.reconcile(named([odd]), 18, repair=True).exit == CURRENT
    assert view_of(mirror, 18).in_use == {*EVERYTHING, DEVICES}
