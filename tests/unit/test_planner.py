"""Stories of plans. Days are numbers: 0 is today, -3 three days ago; 2026-11-22 is day 0."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smki_sync.model.extract import Catalogue, Extract, ExtractKind, FileKey
from smki_sync.model.plan import Action, AppliedFile, MirrorState, Plan, Policy, Position, Reason
from smki_sync.planner import dated_in_future, late_days, plan, suspect_files

TODAY = date(2026, 11, 22)
DELTA_SIZE = 1_000
FULL_SIZE = 1_000_000
FAR = 26_000  # days: a wrong year, such as 2098


def day(number: int) -> date:
    return TODAY + timedelta(days=number)


def numbers(days: Iterable[date]) -> list[int]:
    return [(d - TODAY).days for d in days]


def extract(kind: ExtractKind, number: int) -> Extract:
    size = FULL_SIZE if kind is ExtractKind.FULL else DELTA_SIZE
    return Extract(kind=kind, day=day(number), name=f"{kind}-{day(number)}", size=size)


def delta(number: int) -> Extract:
    return extract(ExtractKind.DELTA, number)


def on_offer(*, fulls: Iterable[int] = (), deltas: Iterable[int] = ()) -> Catalogue:
    return Catalogue(
        fulls=tuple(extract(ExtractKind.FULL, n) for n in fulls),
        deltas=tuple(delta(n) for n in deltas),
    )


def applied(*extracts: Extract) -> tuple[AppliedFile, ...]:
    return tuple(AppliedFile(extract=e, size=e.size, sha256="0" * 64) for e in extracts)


def at(number: int, *, full: int | None = None, overlap: Iterable[int] | None = None) -> Position:
    """Stand at a day, reached from a full (of that day, unless given) by every delta after it.

    ``overlap``: the deltas up to the date of the full; all of them, unless given.
    """
    start = number if full is None else full
    before = range(start - 2, min(start, number) + 1) if overlap is None else overlap
    files = [
        extract(ExtractKind.FULL, start),
        *map(delta, before),
        *map(delta, range(start + 1, number + 1)),
    ]
    return Position(day=day(number), full=day(start), applied=applied(*files))


def decide(
    catalogue: Catalogue,
    position: Position | None = None,
    *,
    state: MirrorState | None = None,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    requested: bool = False,
    changed: Collection[FileKey] = (),
    unusable: Collection[FileKey] = (),
) -> Plan:
    found = state or (MirrorState.HEALTHY if position else MirrorState.ABSENT)
    return plan(
        state=found,
        position=position,
        catalogue=catalogue,
        policy=policy,
        today=TODAY,
        requested=requested,
        changed=changed,
        unusable=unusable,
    )


@dataclass(frozen=True, kw_only=True)
class Told:
    """A plan in day numbers."""

    action: Action
    reason: Reason
    full: int | None = None
    overlap: tuple[int, ...] = ()
    deltas: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    unproven: tuple[int, ...] = ()


def told(made: Plan) -> Told:
    return Told(
        action=made.action,
        reason=made.reason,
        full=numbers([made.full.day])[0] if made.full else None,
        overlap=tuple(numbers(e.day for e in made.overlap)),
        deltas=tuple(numbers(e.day for e in made.deltas)),
        missing=tuple(numbers(made.missing)),
        unproven=tuple(numbers(made.unproven)),
    )


def nothing() -> Told:
    return Told(action=Action.NONE, reason=Reason.UP_TO_DATE)


def some(*deltas: int, overlap: Iterable[int] = (), unproven: Iterable[int] = ()) -> Told:
    return Told(
        action=Action.DELTAS,
        reason=Reason.DELTAS_AVAILABLE,
        overlap=tuple(overlap),
        deltas=deltas,
        unproven=tuple(unproven),
    )


def anew(
    reason: Reason,
    full: int,
    *,
    overlap: Iterable[int] = (),
    deltas: Iterable[int] = (),
    missing: Iterable[int] = (),
    unproven: Iterable[int] = (),
) -> Told:
    return Told(
        action=Action.FULL,
        reason=reason,
        full=full,
        overlap=tuple(overlap),
        deltas=tuple(deltas),
        missing=tuple(missing),
        unproven=tuple(unproven),
    )


def blocked(
    reason: Reason,
    *,
    deltas: Iterable[int] = (),
    missing: Iterable[int] = (),
    unproven: Iterable[int] = (),
) -> Told:
    return Told(
        action=Action.BLOCKED,
        reason=reason,
        deltas=tuple(deltas),
        missing=tuple(missing),
        unproven=tuple(unproven),
    )


WEEK = range(-6, 1)  # seven deltas, today's among them
WEEK_BEFORE_TODAYS = range(-7, 0)  # seven deltas, today's not out yet


# --- the daily run -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stands_at", "deltas", "expected"),
    [
        pytest.param(0, WEEK, nothing(), id="every delta is applied"),
        pytest.param(-1, WEEK, some(0), id="yesterday's run was the last"),
        pytest.param(-3, WEEK, some(-2, -1, 0), id="three days without a run"),
        pytest.param(-7, WEEK, some(*WEEK), id="seven days: the last day that deltas can close"),
        pytest.param(-8, WEEK_BEFORE_TODAYS, some(*WEEK_BEFORE_TODAYS), id="seven behind yesterday's"),
        pytest.param(-1, WEEK_BEFORE_TODAYS, nothing(), id="today's delta is not out yet"),
        pytest.param(-4, (), nothing(), id="an empty repository proves nothing but lateness"),
        pytest.param(-30, (), nothing(), id="a repository long empty proves nothing either"),
        pytest.param(-3, range(-9, -2), nothing(), id="the repository has stood still for three days"),
        pytest.param(0, range(-9, -2), nothing(), id="the mirror is ahead of the repository"),
        pytest.param(3, range(-2, 6), some(4, 5), id="this clock is slow: the chain is proof enough"),
    ],
)
def test_a_healthy_mirror_follows_the_deltas(stands_at: int, deltas: Iterable[int], expected: Told) -> None:
    position = at(stands_at, full=stands_at - 3)
    assert told(decide(on_offer(deltas=deltas), position)) == expected


@pytest.mark.parametrize("full", [-1, 0, 1])
def test_a_newer_full_is_no_reason_to_download_it(full: int) -> None:
    position = at(-2, full=-8)
    assert told(decide(on_offer(fulls=[full], deltas=WEEK), position)) == some(-1, 0)
    assert told(decide(on_offer(fulls=[full], deltas=range(-6, -1)), position)) == nothing()


# --- a gap: the next delta has left the window --------------------------------------------------


@pytest.mark.parametrize(
    ("stands_at", "offer", "expected"),
    [
        pytest.param(
            -8,
            on_offer(fulls=[-3], deltas=WEEK),
            anew(Reason.GAP_BEYOND_WINDOW, -3, overlap=[-5, -4], deltas=[-3, -2, -1, 0]),
            id="eight days: the next delta went when today's came",
        ),
        pytest.param(
            -9,
            on_offer(fulls=[-3], deltas=WEEK_BEFORE_TODAYS),
            anew(Reason.GAP_BEYOND_WINDOW, -3, overlap=[-5, -4], deltas=[-3, -2, -1]),
            id="the same on a day before its delta is out",
        ),
        pytest.param(
            -400,
            on_offer(fulls=[-9, -2], deltas=WEEK),
            anew(Reason.GAP_BEYOND_WINDOW, -2, overlap=[-4, -3], deltas=[-2, -1, 0]),
            id="a year without a run",
        ),
        pytest.param(
            -9,
            on_offer(fulls=[-3]),
            anew(Reason.GAP_BEYOND_WINDOW, -3, unproven=[-5, -4, -3]),
            id="no delta at all, but a full proves that the repository went on",
        ),
        pytest.param(
            -8,
            on_offer(fulls=[-3]),
            nothing(),
            id="no delta at all, and the next would not have left the window yet",
        ),
        pytest.param(
            -9,
            on_offer(fulls=[-3], deltas=range(-15, -8)),
            anew(Reason.GAP_BEYOND_WINDOW, -3, unproven=[-5, -4, -3]),
            id="an archive has earlier deltas: the next has left the window all the same",
        ),
        pytest.param(
            -20,
            on_offer(deltas=WEEK),
            blocked(Reason.NO_FULL_AVAILABLE, missing=range(-19, -6)),
            id="no full on offer",
        ),
        pytest.param(
            -15,
            on_offer(fulls=[-20], deltas=WEEK),
            blocked(Reason.NO_FULL_AVAILABLE, missing=range(-14, -6)),
            id="the full on offer is older than the one that the mirror has used",
        ),
        pytest.param(
            -15,
            on_offer(fulls=[-15], deltas=WEEK),
            blocked(Reason.FULL_TOO_OLD, missing=range(-14, -6)),
            id="the full on offer is the day of the position",
        ),
        pytest.param(
            -15,
            on_offer(fulls=[-9], deltas=WEEK),
            anew(Reason.GAP_BEYOND_WINDOW, -9, deltas=WEEK, unproven=range(-11, -6)),
            id="the deltas do not reach back to the newer full: from the first one available",
        ),
    ],
)
def test_a_gap_that_deltas_cannot_close_takes_a_full(
    stands_at: int, offer: Catalogue, expected: Told
) -> None:
    assert told(decide(offer, at(stands_at, full=stands_at - 3))) == expected


def test_the_window_is_the_operators_to_set() -> None:
    offer = on_offer(fulls=[-1], deltas=range(-2, 1))
    assert decide(offer, at(-4, full=-5), policy=Policy(window_days=3)).reason is Reason.GAP_BEYOND_WINDOW
    assert decide(offer, at(-4, full=-5), policy=Policy(window_days=4)).reason is Reason.HOLE_IN_DELTAS


# --- a hole: a delta inside the window is missing ------------------------------------------------


@pytest.mark.parametrize(
    ("stands_at", "offer", "expected"),
    [
        pytest.param(
            -3,
            on_offer(deltas=[-6, -5, -4, -3, -2, 0]),
            blocked(Reason.HOLE_IN_DELTAS, deltas=[-2], missing=[-1]),
            id="one day is missing: what lies before it is still applied",
        ),
        pytest.param(
            -3,
            on_offer(deltas=[-1, 0]),
            blocked(Reason.HOLE_IN_DELTAS, missing=[-2]),
            id="the very next day is missing",
        ),
        pytest.param(
            -6,
            on_offer(fulls=[-5], deltas=[-5, -4, -2, 0]),
            blocked(Reason.HOLE_IN_DELTAS, deltas=[-5, -4], missing=[-3, -1]),
            id="two holes, and a full that covers neither",
        ),
        pytest.param(
            -3,
            on_offer(fulls=[-1], deltas=[-6, -5, -4, -3, -2, 0]),
            blocked(Reason.HOLE_IN_DELTAS, deltas=[-2], missing=[-1]),
            id="a full of the missing day does not cover it: it leads to the day before",
        ),
        pytest.param(
            -4,
            on_offer(fulls=[-1], deltas=[-3, -1, 0]),
            anew(Reason.HOLE_IN_DELTAS, -1, overlap=[-3], deltas=[-1, 0], unproven=[-2]),
            id="a full of a later day covers it",
        ),
        pytest.param(
            -6,
            on_offer(fulls=[-3], deltas=[-5, -3, -2, 0]),
            anew(Reason.HOLE_IN_DELTAS, -3, overlap=[-5], deltas=[-3, -2], missing=[-1], unproven=[-4]),
            id="a full covers the first hole and leads to the second",
        ),
    ],
)
def test_a_hole_takes_a_full_that_covers_it_or_stops_there(
    stands_at: int, offer: Catalogue, expected: Told
) -> None:
    assert told(decide(offer, at(stands_at, full=stands_at - 3))) == expected


def test_a_full_taken_over_a_hole_is_not_taken_again_for_the_hole_after_it() -> None:
    offer = on_offer(fulls=[-3], deltas=[-5, -3, -2, 0])
    after = at(-2, full=-3, overlap=[-5, -3])
    assert told(decide(offer, after)) == blocked(Reason.HOLE_IN_DELTAS, missing=[-1], unproven=[-4])


# --- starting anew -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (MirrorState.ABSENT, Reason.NO_MIRROR),
        (MirrorState.HEALTHY, Reason.NO_MIRROR),  # a mirror without a position is still empty
        (MirrorState.DAMAGED, Reason.MIRROR_DAMAGED),
        (MirrorState.OLDER_SCHEMA, Reason.SCHEMA_CHANGED),
        (MirrorState.NEWER_SCHEMA, Reason.SCHEMA_CHANGED),
    ],
)
def test_a_mirror_that_cannot_go_on_starts_from_the_newest_full(state: MirrorState, reason: Reason) -> None:
    made = decide(on_offer(fulls=[-10, -3], deltas=WEEK), state=state)
    assert told(made) == anew(reason, -3, overlap=[-5, -4], deltas=[-3, -2, -1, 0])


@pytest.mark.parametrize("state", [MirrorState.ABSENT, MirrorState.DAMAGED, MirrorState.OLDER_SCHEMA])
def test_the_position_of_a_mirror_that_is_lost_does_not_count(state: MirrorState) -> None:
    made = decide(on_offer(fulls=[-3]), at(0, full=-9), state=state)
    assert told(made) == anew(made.reason, -3, unproven=[-5, -4, -3])
    assert decide(on_offer(deltas=[-1, 0]), at(-3), state=state).missing == ()


@pytest.mark.parametrize("state", [MirrorState.ABSENT, MirrorState.DAMAGED, MirrorState.OLDER_SCHEMA])
def test_a_lost_mirror_outranks_a_request(state: MirrorState) -> None:
    made = decide(on_offer(fulls=[0]), state=state, requested=True)
    assert made.action is Action.FULL
    assert made.reason is not Reason.REQUESTED


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        pytest.param(on_offer(), blocked(Reason.NO_FULL_AVAILABLE), id="an empty repository"),
        pytest.param(on_offer(deltas=WEEK), blocked(Reason.NO_FULL_AVAILABLE), id="only deltas"),
        pytest.param(
            on_offer(fulls=[-30, -2]),
            anew(Reason.NO_MIRROR, -2, unproven=[-4, -3, -2]),
            id="only fulls: the newest",
        ),
        pytest.param(
            on_offer(fulls=[-7], deltas=WEEK),
            anew(Reason.NO_MIRROR, -7, deltas=WEEK, unproven=[-9, -8, -7]),
            id="a full of seven days ago joins the oldest delta",
        ),
        pytest.param(
            on_offer(fulls=[-8], deltas=WEEK),
            anew(Reason.NO_MIRROR, -8, deltas=WEEK, unproven=range(-10, -6)),
            id="a full of eight days ago does not, and the mirror is unproven",
        ),
        pytest.param(
            on_offer(fulls=[-8], deltas=WEEK_BEFORE_TODAYS),
            anew(Reason.NO_MIRROR, -8, deltas=WEEK_BEFORE_TODAYS, unproven=[-10, -9, -8]),
            id="a full of eight days ago does while today's delta is not out",
        ),
        pytest.param(
            on_offer(fulls=[-9], deltas=WEEK),
            anew(Reason.NO_MIRROR, -9, deltas=WEEK, unproven=range(-11, -6)),
            id="a full of nine days ago does not, and the mirror is unproven",
        ),
        pytest.param(
            on_offer(fulls=[-9], deltas=[-6, -4]),
            anew(Reason.NO_MIRROR, -9, missing=[-7, -5], unproven=[-11, -10, -9]),
            id="a hole inside the window: no later delta is applied",
        ),
        pytest.param(
            on_offer(fulls=[-9, -8]),
            anew(Reason.NO_MIRROR, -8, unproven=[-10, -9, -8]),
            id="an old full without any later delta is all there is",
        ),
        pytest.param(
            on_offer(fulls=[-5], deltas=[-6, -5, -3, -2]),
            anew(Reason.NO_MIRROR, -5, overlap=[-6], deltas=[-5], missing=[-4], unproven=[-7]),
            id="a hole right after the full",
        ),
        pytest.param(
            on_offer(fulls=[-5], deltas=[-4, -3, -1, 1]),
            anew(Reason.NO_MIRROR, -5, missing=[-5, -2, 0], unproven=[-7, -6, -5]),
            id="the delta of the full's own date is missing: no other is applied",
        ),
    ],
)
def test_a_new_mirror_takes_what_the_offer_allows(offer: Catalogue, expected: Told) -> None:
    assert told(decide(offer)) == expected


@pytest.mark.parametrize(
    ("deltas", "overlap", "unproven"),
    [
        ([-6, -5, -4], [-5, -4], []),
        ([-5, -4], [-5, -4], []),
        ([-4], [-4], [-5]),
        ([-5], [-5], [-4]),
        ([], [], [-5, -4]),
    ],
)
def test_overlap_may_have_holes_that_are_named(
    deltas: list[int], overlap: list[int], unproven: list[int]
) -> None:
    made = decide(on_offer(fulls=[-3], deltas=[*deltas, -3, -2, -1, 0]))
    assert told(made) == anew(
        Reason.NO_MIRROR, -3, overlap=overlap, deltas=[-3, -2, -1, 0], unproven=unproven
    )
    assert numbers(e.day for e in made.extracts) == [-3, *overlap, -3, -2, -1, 0]


def test_delta_of_the_fulls_own_date_is_the_next_one_without_an_overlap() -> None:
    made = decide(on_offer(fulls=[-3], deltas=WEEK), policy=Policy(full_overlap_days=0))
    assert told(made) == anew(Reason.NO_MIRROR, -3, deltas=[-3, -2, -1, 0])


def test_mirror_at_the_day_before_its_full_continues_with_the_delta_of_the_full() -> None:
    stands = at(-4, full=-3)
    assert told(decide(on_offer(fulls=[-3], deltas=WEEK), stands)) == some(-3, -2, -1, 0)
    hole = on_offer(fulls=[-3], deltas=[-5, -4, -2, -1])
    assert told(decide(hole, stands)) == blocked(Reason.HOLE_IN_DELTAS, missing=[-3], unproven=[-3])
    assert told(decide(on_offer(fulls=[-3], deltas=[-5, -4]), stands)) == replace(nothing(), unproven=(-3,))


def test_mirror_continues_with_first_delta_available_when_those_after_its_full_left() -> None:
    offer = on_offer(fulls=[-10], deltas=WEEK)
    made = decide(offer, at(-11, full=-10))
    assert told(made) == some(*WEEK, unproven=range(-10, -6))
    assert (
        decide(on_offer(fulls=[-10, -3], deltas=WEEK), at(-11, full=-10)).reason is Reason.GAP_BEYOND_WINDOW
    )


def test_full_is_taken_when_the_delta_after_the_available_ones_has_left_the_window() -> None:
    made = decide(on_offer(fulls=[0], deltas=[-3]), at(-4, full=-5), policy=Policy(window_days=1))
    assert told(made) == anew(Reason.GAP_BEYOND_WINDOW, 0, unproven=[-2, -1, 0])


def test_skipped_delta_is_applied_when_it_is_available_after_all() -> None:
    held = replace(at(0, full=-9), applied=applied(*(delta(n) for n in range(-11, 1) if n != -8)))
    made = decide(on_offer(deltas=range(-8, 1)), held)
    assert (numbers(delta.day for delta in made.overlap), made.unproven) == ([-8], ())


def test_mirror_continues_after_its_full_when_that_delta_has_left_the_window() -> None:
    stands = at(-8, full=-7)
    assert told(decide(on_offer(deltas=WEEK), stands)) == some(*WEEK, unproven=[-7])
    assert told(decide(on_offer(deltas=range(-5, 1)), at(-7, full=-6))).action is Action.BLOCKED


# --- a full that was asked for, a delta that changed ----------------------------------------------


def test_a_requested_full_is_taken_by_a_mirror_that_is_up_to_date() -> None:
    made = decide(on_offer(fulls=[-3], deltas=WEEK), at(0, full=-10), requested=True)
    assert told(made) == anew(Reason.REQUESTED, -3, overlap=range(-5, 1))


def test_a_requested_full_may_be_the_one_that_the_mirror_came_from() -> None:
    made = decide(on_offer(fulls=[-3], deltas=WEEK), at(-1, full=-3), requested=True)
    assert told(made) == anew(Reason.REQUESTED, -3, overlap=range(-5, 0), deltas=[0])


def test_requested_full_needs_no_delta_that_was_applied() -> None:
    stands = at(-1, full=-9)
    made = decide(on_offer(fulls=[-4], deltas=[-3, 0]), stands, requested=True)
    assert told(made) == anew(Reason.REQUESTED, -4, overlap=[-3], deltas=[0])


def test_deltas_are_applied_when_the_requested_full_is_missing() -> None:
    made = decide(on_offer(deltas=WEEK), at(-1, full=-9), requested=True)
    assert told(made) == blocked(Reason.NO_FULL_AVAILABLE, deltas=[0])


def changed(*days: int, full: int | None = None) -> frozenset[FileKey]:
    deltas = {(ExtractKind.DELTA, day(number)) for number in days}
    return frozenset(deltas | ({(ExtractKind.FULL, day(full))} if full is not None else set()))


def with_size(catalogue: Catalogue, number: int, size: int) -> Catalogue:
    deltas = (replace(d, size=size) if d.day == day(number) else d for d in catalogue.deltas)
    return replace(catalogue, deltas=tuple(deltas))


def test_applied_delta_with_another_size_has_changed() -> None:
    offer = with_size(on_offer(fulls=[-3], deltas=WEEK), -1, DELTA_SIZE + 1)
    made = decide(offer, at(-1, full=-3))
    assert told(made) == anew(Reason.DELTA_CHANGED, -3, overlap=range(-5, 0), deltas=[0])
    assert offer.deltas[-2] in made.overlap  # with its new bytes
    assert numbers(made.superseded) == [-1]


def test_delta_of_the_overlap_may_have_changed() -> None:
    offer = with_size(on_offer(fulls=[-3], deltas=WEEK), -4, DELTA_SIZE - 1)
    assert decide(offer, at(0, full=-3)).reason is Reason.DELTA_CHANGED


def test_statements_before_a_changed_delta_do_not_count_unless_it_is_applied_again() -> None:
    made = decide(on_offer(fulls=[-3], deltas=range(-4, 1)), at(0, full=-3), changed=changed(-4))
    assert numbers(made.superseded) == [-5, -4]
    assert told(made) == anew(Reason.DELTA_CHANGED, -3, overlap=range(-4, 1), unproven=[-5])


def test_changed_delta_after_the_full_must_be_available() -> None:
    made = decide(on_offer(fulls=[-3], deltas=[-5, -4, -3, -2, 0]), at(0, full=-3), changed=changed(-1))
    assert told(made) == blocked(Reason.FULL_TOO_OLD, missing=[-1])


def test_file_that_was_not_applied_cannot_have_changed() -> None:
    stands = at(-1, full=-3)
    offer = on_offer(fulls=[-3], deltas=WEEK)
    assert told(decide(offer, stands, changed=changed(0, -6, full=-9))) == some(0)
    assert told(decide(with_size(offer, 0, 7), stands)) == some(0)
    assert told(decide(with_size(offer, -6, 7), stands)) == some(0)


def test_full_with_other_bytes_is_merged_again() -> None:
    stands = at(-1, full=-3)
    offer = on_offer(fulls=[-3], deltas=WEEK)
    grown = replace(offer, fulls=(replace(offer.fulls[0], size=FULL_SIZE + 1),))
    for made in (decide(grown, stands), decide(offer, stands, changed=changed(full=-3))):
        assert told(made) == anew(Reason.FULL_CHANGED, -3, overlap=range(-5, 0), deltas=[0])
        assert made.superseded == ()


def test_full_and_delta_with_other_bytes_mean_another_source() -> None:
    made = decide(on_offer(fulls=[-3], deltas=WEEK), at(-1, full=-3), changed=changed(-2, full=-3))
    assert made.reason is Reason.SOURCE_CHANGED
    assert numbers(made.superseded) == [-5, -4, -3, -2, -1]


def test_other_edition_in_a_fallback_is_no_change() -> None:
    offer = with_size(on_offer(fulls=[-3], deltas=WEEK), -1, 7)
    fallback = replace(offer, deltas=tuple(replace(d, is_fallback=True) for d in offer.deltas))
    assert told(decide(fallback, at(-1, full=-3))) == some(0)


def test_letter_case_of_a_name_does_not_matter() -> None:
    offer = on_offer(fulls=[-3], deltas=WEEK)
    upper = replace(offer, deltas=tuple(replace(d, name=d.name.upper()) for d in offer.deltas))
    assert told(decide(upper, at(-1, full=-3))) == some(0)


def test_request_comes_before_a_changed_delta() -> None:
    offer = with_size(on_offer(fulls=[-3], deltas=WEEK), -1, 7)
    assert decide(offer, at(-1, full=-3), requested=True).reason is Reason.REQUESTED


def test_changed_delta_comes_before_a_gap() -> None:
    made = decide(on_offer(fulls=[-3], deltas=WEEK), at(-20, full=-30), changed=changed(-25))
    assert made.reason is Reason.DELTA_CHANGED


def test_delta_that_cannot_be_used_is_a_missing_delta() -> None:
    damaged = changed(-1)
    offer = on_offer(fulls=[0], deltas=WEEK)
    assert told(decide(offer, at(-3, full=-9), unusable=damaged)) == anew(
        Reason.DELTA_DAMAGED, 0, overlap=[-2], deltas=[0], unproven=[-1]
    )
    without = on_offer(deltas=WEEK)
    assert told(decide(without, at(-3, full=-9), unusable=damaged)) == blocked(
        Reason.HOLE_IN_DELTAS, deltas=[-2], missing=[-1]
    )


# --- late deltas of the overlap --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "deltas", "expected"),
    [
        pytest.param([-3], [-5, -4, -3], some(overlap=[-5, -4]), id="two were late"),
        pytest.param([-3], [-4, -3, -2, -1], some(-2, -1, overlap=[-4], unproven=[-5]), id="one is missing"),
        pytest.param([-5, -4, -3], [-5, -4, -3], nothing(), id="none is late"),
        pytest.param([-5, -4, -3], [-4, -3], nothing(), id="one has left the window"),
        pytest.param(
            [-4, -3], [-6, -4, -3], replace(nothing(), unproven=(-5,)), id="older deltas do not count"
        ),
    ],
)
def test_late_delta_of_the_overlap_is_merged(overlap: list[int], deltas: list[int], expected: Told) -> None:
    stands = at(-3, overlap=overlap)
    assert told(decide(on_offer(fulls=[-3], deltas=deltas), stands)) == expected


def test_late_delta_is_merged_after_later_ones() -> None:
    stands = at(-2, full=-3, overlap=[-3])
    assert told(decide(on_offer(deltas=[-5, -4, -3, -2, -1]), stands)) == some(-1, overlap=[-5, -4])


def test_late_delta_is_merged_although_a_hole_blocks_what_follows() -> None:
    made = decide(on_offer(deltas=[-4, -3, -2, 0]), at(-3, overlap=[-3]))
    assert told(made) == Told(
        action=Action.BLOCKED,
        reason=Reason.HOLE_IN_DELTAS,
        overlap=(-4,),
        deltas=(-2,),
        missing=(-1,),
        unproven=(-5,),
    )


# --- extracts dated ahead ----------------------------------------------------------------------------


def test_a_lone_full_with_a_wrong_year_is_not_taken() -> None:
    assert told(decide(on_offer(fulls=[-3, FAR]))) == anew(Reason.NO_MIRROR, -3, unproven=[-5, -4, -3])
    assert told(decide(on_offer(fulls=[2]))) == blocked(Reason.NO_FULL_AVAILABLE)
    assert told(decide(on_offer(fulls=[FAR]), at(-9))) == nothing()


def test_a_full_dated_tomorrow_is_taken() -> None:
    assert told(decide(on_offer(fulls=[1]))) == anew(Reason.NO_MIRROR, 1, unproven=[-1, 0, 1])


@pytest.mark.parametrize("number", [2, 30, FAR])
def test_full_dated_ahead_does_not_count_whatever_delta_is_near(number: int) -> None:
    made = decide(on_offer(fulls=[-3, number], deltas=[*WEEK, number - 1, number]))
    assert made.full == extract(ExtractKind.FULL, -3)


def test_a_lone_delta_with_a_wrong_year_makes_no_hole() -> None:
    week = on_offer(fulls=[-3], deltas=[*WEEK, FAR])
    assert told(decide(week, at(0, full=-3))) == nothing()
    assert told(decide(week, at(-1, full=-3))) == some(0)
    assert told(decide(week)) == anew(Reason.NO_MIRROR, -3, overlap=[-5, -4], deltas=[-3, -2, -1, 0])
    assert told(decide(on_offer(fulls=[-3], deltas=[FAR]))) == anew(
        Reason.NO_MIRROR, -3, unproven=[-5, -4, -3]
    )


def test_a_delta_dated_ahead_within_a_window_of_the_others_proves_a_hole() -> None:
    made = decide(on_offer(deltas=[*WEEK, 7]), at(0, full=-3))
    assert told(made) == blocked(Reason.HOLE_IN_DELTAS, missing=range(1, 7))


def test_a_delta_dated_ahead_is_believed_if_a_later_one_is() -> None:
    made = decide(on_offer(deltas=[*WEEK, 20, 40, 41]), at(0, full=-3))
    assert told(made) == blocked(Reason.NO_FULL_AVAILABLE, missing=[*range(1, 20), *range(21, 40)])


def test_a_lone_delta_that_follows_the_position_is_believed_whatever_the_clock_says() -> None:
    assert told(decide(on_offer(deltas=[41]), at(40, full=35))) == some(41)


def test_extracts_dated_later_than_tomorrow_are_named_in_order() -> None:
    offer = on_offer(fulls=[0, 1, 2, FAR], deltas=[0, 1, 3])
    assert numbers(e.day for e in dated_in_future(offer, TODAY)) == [2, 3, FAR]
    assert dated_in_future(on_offer(fulls=[1], deltas=[1]), TODAY) == ()


# --- helpers of the driver ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reached", "late_after", "late"),
    [(1, 1, 0), (0, 1, 0), (-1, 1, 0), (-2, 1, 1), (-10, 1, 9), (-1, 0, 1), (0, 0, 0), (-3, 3, 0)],
)
def test_late_is_what_is_older_than_the_operator_allows(reached: int, late_after: int, late: int) -> None:
    assert late_days(day(reached), Policy(late_after_days=late_after), TODAY) == late


NIGHT = datetime(2026, 11, 21, 3, tzinfo=UTC)
MORNING = datetime(2026, 11, 21, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("then", "now", "size", "suspected"),
    [
        pytest.param(NIGHT, MORNING, DELTA_SIZE, True, id="another time, the same size"),
        pytest.param(MORNING, NIGHT, DELTA_SIZE, True, id="an earlier time is another time"),
        pytest.param(NIGHT, NIGHT, DELTA_SIZE, False, id="the same time"),
        pytest.param(NIGHT, MORNING, DELTA_SIZE + 1, False, id="another size: it has changed for certain"),
        pytest.param(None, MORNING, DELTA_SIZE, False, id="the time was not known then"),
        pytest.param(NIGHT, None, DELTA_SIZE, False, id="the time is not known now"),
    ],
)
def test_a_delta_is_suspect_whose_time_alone_has_changed(
    then: datetime | None, now: datetime | None, size: int, *, suspected: bool
) -> None:
    position = Position(day=day(-1), full=day(-2), applied=applied(replace(delta(-1), modified=then)))
    offered = replace(delta(-1), modified=now, size=size)
    found = suspect_files(position, Catalogue(deltas=(offered,)))
    assert found == ((offered,) if suspected else ())


def test_only_applied_files_are_suspect() -> None:
    full = extract(ExtractKind.FULL, -2)
    position = Position(day=day(-3), full=day(-2), applied=applied(replace(full, modified=NIGHT)))
    offered = replace(full, modified=MORNING)
    later = Catalogue(fulls=(offered,), deltas=(replace(delta(-1), modified=MORNING),))
    assert suspect_files(position, later) == (offered,)
    fallback = replace(later, fulls=(replace(offered, is_fallback=True),))
    assert suspect_files(position, fallback) == ()


# --- what holds of every plan ---------------------------------------------------------------------------

thoroughly = settings(max_examples=300, deadline=None)
DAYS = st.integers(-16, 12)
OFFERS = st.builds(
    on_offer,
    fulls=st.sets(DAYS, max_size=3).map(sorted),
    deltas=st.one_of(
        st.sets(DAYS, max_size=9).map(sorted),
        st.builds(lambda first, hole: [n for n in range(first, first + 7) if n != hole], DAYS, DAYS),
    ),
)
POSITIONS = st.builds(
    lambda full, since, overlap: at(
        full + since, full=full, overlap=[full + n for n in overlap if n <= since]
    ),
    DAYS,
    st.integers(-1, 9),
    st.sets(st.integers(-2, 0)),
)
POLICIES = st.builds(Policy, window_days=st.integers(1, 9), full_overlap_days=st.integers(0, 3))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Catalogue, Position | None, Policy, bool]:
    position = draw(st.none() | POSITIONS)
    return draw(OFFERS), position, draw(POLICIES), draw(st.booleans())


def newest(catalogue: Catalogue) -> date:
    return max((d.day for d in catalogue.deltas), default=date.min)


@thoroughly
@given(cases())
def test_deltas_that_move_the_position_have_no_gap(
    case: tuple[Catalogue, Position | None, Policy, bool],
) -> None:
    offer, position, policy, requested = case
    made = decide(offer, position, policy=policy, requested=requested)
    days = [delta.day for delta in made.deltas]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))] if days else True
    if days:
        start = reached(made, position)
        full = made.full.day if made.full else position.full if position else None
        skipped = (days[0] - start).days - 1
        assert skipped == 0 or full == start + timedelta(days=1)
    assert len(set(made.extracts)) == len(made.extracts)
    assert set(made.extracts) <= {*offer.fulls, *offer.deltas}


def reached(made: Plan, position: Position | None) -> date:
    """The position after the full of a plan."""
    day_before = made.full.day - timedelta(days=1) if made.full else date.min
    return max(day_before, position.day if position else date.min)


@thoroughly
@given(cases())
def test_overlap_deltas_do_not_move_the_position(
    case: tuple[Catalogue, Position | None, Policy, bool],
) -> None:
    offer, position, policy, requested = case
    made = decide(offer, position, policy=policy, requested=requested)
    assert all(delta.day <= reached(made, position) for delta in made.overlap)
    full = made.full.day if made.full else position.full if position else None
    days = policy.full_overlap_days if made.full else 2
    assert all(full and delta.day >= full - timedelta(days=days) for delta in made.overlap)


@thoroughly
@given(cases())
def test_plan_tells_the_truth_about_missing_deltas(
    case: tuple[Catalogue, Position | None, Policy, bool],
) -> None:
    offer, position, policy, requested = case
    made = decide(offer, position, policy=policy, requested=requested)
    days = {d.day for d in offer.deltas}
    assert not days & set(made.missing)
    assert list(made.missing) == sorted(set(made.missing))
    proof = max(newest(offer), position.day if position else date.min)
    assert all(missing <= proof for missing in made.missing)
    assert not {d.day for d in made.extracts if d.kind is ExtractKind.DELTA} & set(made.unproven)
    if made.deltas and made.missing:
        assert made.deltas[-1].day < made.missing[0]


@thoroughly
@given(cases())
def test_nothing_is_done_only_if_no_delta_leads_on(
    case: tuple[Catalogue, Position | None, Policy, bool],
) -> None:
    offer, position, policy, requested = case
    made = decide(offer, position, policy=policy, requested=requested)
    if made.action is Action.NONE:
        assert position is not None
        assert not requested
        doubtful = dated_in_future(offer, TODAY)
        assert all(d.day <= position.day or d in doubtful for d in offer.deltas)
        assert made.reason is Reason.UP_TO_DATE
        assert not made.extracts
    if made.action is Action.DELTAS:
        assert made.deltas or made.overlap
        assert not made.missing
    assert (made.action is Action.FULL) == (made.full is not None)


@thoroughly
@given(cases())
def test_older_full_is_never_taken(case: tuple[Catalogue, Position | None, Policy, bool]) -> None:
    offer, position, policy, requested = case
    made = decide(offer, position, policy=policy, requested=requested)
    if position and made.full:
        assert made.full.day >= position.full
    if made.full:
        assert made.full.day <= TODAY + timedelta(days=1)


@thoroughly
@given(cases())
def test_nothing_is_left_to_do_after_a_plan(case: tuple[Catalogue, Position | None, Policy, bool]) -> None:
    offer, position, policy, _ = case
    policy = replace(policy, full_overlap_days=2)
    after = carried_out(decide(offer, position, policy=policy), position)
    if after:
        again = decide(offer, after, policy=policy)
        assert not again.extracts
        assert again.action is (Action.BLOCKED if again.missing else Action.NONE)


def carried_out(made: Plan, position: Position | None) -> Position | None:
    """The position after the files of a plan were applied."""
    if not made.full and not position:
        return None
    known = {
        file.extract.key: file for file in (*(position.applied if position else ()), *applied(*made.extracts))
    }
    full = made.full.day if made.full else position.full if position else date.min
    files = [
        file
        for (kind, date_), file in known.items()
        if (kind is ExtractKind.FULL and date_ == full)
        or (kind is ExtractKind.DELTA and date_ >= full - timedelta(days=2))
    ]
    days = [delta.day for delta in made.deltas]
    return Position(day=max([reached(made, position), *days]), full=full, applied=tuple(files))


@thoroughly
@given(st.data(), cases())
def test_the_same_offer_in_any_order_makes_the_same_plan(
    data: st.DataObject, case: tuple[Catalogue, Position | None, Policy, bool]
) -> None:
    offer, position, policy, requested = case
    shuffled = Catalogue(
        fulls=tuple(data.draw(st.permutations(offer.fulls))),
        deltas=tuple(data.draw(st.permutations(offer.deltas))),
    )
    made = decide(offer, position, policy=policy, requested=requested)
    assert decide(shuffled, position, policy=policy, requested=requested) == made


def test_a_full_is_asked_for_only_where_somebody_asks_for_it() -> None:
    made = plan(
        state=MirrorState.HEALTHY,
        position=at(0, full=-3),
        catalogue=on_offer(fulls=[-3], deltas=range(-6, 1)),
        policy=Policy(),
        today=TODAY,
    )
    assert (made.action, made.reason) == (Action.NONE, Reason.UP_TO_DATE)


def test_delta_of_tomorrow_counts_when_no_other_file_is_near() -> None:
    made = decide(on_offer(fulls=[-9], deltas=[1]))
    assert (numbers(made.missing), made.deltas) == (list(range(-5, 1)), ())
