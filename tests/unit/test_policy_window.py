"""What was agreed on fulls: which days and hours hold, and what a plan becomes outside them."""

from datetime import UTC, date, datetime

import pytest

from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import Action, Plan, Reason
from smki_sync.policy import DownloadWindow, OutsideWindow, TimeRange, Weekday, is_outside, postponed_fulls

SUNDAY = datetime(2026, 11, 15, 12, tzinfo=UTC)
FULL = Plan(action=Action.FULL, reason=Reason.GAP_BEYOND_WINDOW)
DELTA = Extract(kind=ExtractKind.DELTA, day=date(2026, 11, 14), name="delta", size=1)
STOPPED = Plan(
    action=Action.BLOCKED, reason=Reason.HOLE_IN_DELTAS, deltas=(DELTA,), missing=(date(2026, 11, 15),)
)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("08-20", (8, 19), (7, 20)),
        ("20-06", (20, 23, 0, 5), (6, 19)),
        ("00-24", (0, 23), ()),
        ("22-00", (22, 23), (0, 21)),
    ],
)
def test_hours_hold_from_the_first_to_the_last(
    hours: str, inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    read = TimeRange.parse(hours)
    assert all(read.hold(hour) for hour in inside)
    assert not any(read.hold(hour) for hour in outside)


@pytest.mark.parametrize("text", ["", "8-20", "24-06", "08-25", "08-08", "08:00-20:00"])
def test_other_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HH-HH"):
        TimeRange.parse(text)


def test_without_an_agreement_every_time_holds() -> None:
    assert DownloadWindow().holds(SUNDAY)
    assert DownloadWindow().words == ""


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    night = DownloadWindow(day=Weekday.SATURDAY, hours=TimeRange.parse("20-06"))
    assert night.words == "saturday, 20-06 UTC"
    assert night.holds(SUNDAY.replace(hour=3))
    assert night.holds(SUNDAY.replace(day=14, hour=21))
    assert not night.holds(SUNDAY.replace(day=14, hour=3))
    assert not night.holds(SUNDAY)


def test_only_a_full_can_be_outside() -> None:
    monday = DownloadWindow(day=Weekday.MONDAY)
    assert is_outside(FULL, monday, SUNDAY)
    assert not is_outside(STOPPED, monday, SUNDAY)
    assert not is_outside(FULL, DownloadWindow(day=Weekday.SUNDAY), SUNDAY)


def test_a_full_that_waits_leaves_the_deltas_before_the_obstacle() -> None:
    waits = DownloadWindow(day=Weekday.MONDAY, outside=OutsideWindow.WAIT)
    plan = postponed_fulls(FULL, STOPPED, waits, SUNDAY, requested=False)
    assert (plan.action, plan.reason) == (Action.BLOCKED, Reason.WAITING_FOR_AGREED_DAY)
    assert plan.deltas == (DELTA,)
    assert plan.missing == STOPPED.missing


def test_a_full_goes_ahead_where_it_may_or_was_asked_for() -> None:
    waits = DownloadWindow(day=Weekday.MONDAY, outside=OutsideWindow.WAIT)
    assert postponed_fulls(FULL, STOPPED, waits, SUNDAY, requested=True) is FULL
    assert postponed_fulls(FULL, STOPPED, DownloadWindow(day=Weekday.MONDAY), SUNDAY, requested=False) is FULL
    assert postponed_fulls(FULL, STOPPED, waits, SUNDAY.replace(day=16), requested=False) is FULL
