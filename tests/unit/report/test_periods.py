"""Days, weeks and lag: what a chart is drawn from."""

from datetime import UTC, date, datetime, timedelta

from smki_sync.mirror.history import Run, StoredListing
from smki_sync.mirror.inspection import LedgerFile
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.report import Outcome
from smki_sync.report.charts import MAX_DAYS_SHOWN, lag_by_day, timeline
from smki_sync.status import DeltaAvailability, resync_deadline

FIRST = date(2026, 11, 2)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def applied(n: int, *, on: int | None = None, ground: bool = False, new: int = 0) -> LedgerFile:
    committed = datetime(2026, 11, 2, 5, tzinfo=UTC) + timedelta(days=n if on is None else on)
    return LedgerFile(
        name=f"{day(n)}",
        kind=ExtractKind.DELTA,
        day=day(n),
        committed=committed,
        size=1,
        seconds=0.1,
        records=new,
        inserted=new,
        updated=0,
        withdrawn=0,
        quarantined=0,
        ground=ground,
    )


def run(n: int, outcome: str, position: int | None) -> Run:
    return Run(
        at=f"{day(n)}T06:00:00Z",
        command="sync",
        outcome=outcome,
        exit=0,
        reason="",
        position=None if position is None else str(day(position)),
        seconds=1.0,
    )


def test_lag_grows_by_a_day_a_day_until_a_run_catches_up() -> None:
    lags = lag_by_day(day(0), day(5), ledger=[applied(0), applied(1), applied(4, on=5)], runs=[])
    assert list(lags.values()) == [0, 0, 1, 2, 3, 1]


def test_before_the_first_position_there_is_no_lag() -> None:
    assert list(lag_by_day(day(0), day(3), ledger=[applied(2)], runs=[]).values()) == [0, 0, 0, 1]


def test_what_a_resync_has_read_again_is_counted_once() -> None:
    ledger = [
        applied(0, new=5, ground=True),
        applied(1, new=3),
        applied(0, on=2, new=5),
        applied(1, on=2, new=8),
    ]
    assert timeline(day(0), day(2), ledger=ledger, runs=[]).new == (0, 3, 0)


def test_runs_alone_tell_the_lag_where_the_ledger_began_anew() -> None:
    lags = lag_by_day(day(0), day(3), ledger=[], runs=[run(0, "current", 0), run(2, "failed", None)])
    assert list(lags.values()) == [0, 1, 2, 3]


def test_a_late_overlap_does_not_take_the_position_back() -> None:
    lags = lag_by_day(day(3), day(4), ledger=[applied(3), applied(1, on=4), applied(4)], runs=[])
    assert list(lags.values()) == [0, 0]


def test_a_quarter_is_shown_by_day_and_more_by_week() -> None:
    quarter = timeline(day(0), day(MAX_DAYS_SHOWN - 1), ledger=[], runs=[])
    more = timeline(day(0), day(MAX_DAYS_SHOWN), ledger=[], runs=[])
    assert (len(quarter.periods), quarter.by_week) == (92, False)
    assert (len(more.periods), more.by_week) == (14, True)
    assert [p.first.weekday() for p in more.periods] == [0] * 14
    assert more.periods[-1].last == day(MAX_DAYS_SHOWN)


def test_a_weeks_bar_is_the_sum_of_its_changes_and_the_worst_of_its_lag() -> None:
    ledger = [applied(n, new=10) for n in range(100) if n not in (8, 9)]
    shown = timeline(day(0), day(99), ledger=ledger, runs=[run(n, "behind", None) for n in range(3)])
    assert shown.new[:3] == (70, 50, 70)
    assert shown.lag[:3] == (0, 2, 0)
    assert shown.runs[Outcome.BEHIND][:2] == (3, 0)
    assert sum(shown.runs[Outcome.CURRENT]) == 0


def test_the_first_full_is_the_ground_and_no_change() -> None:
    shown = timeline(day(0), day(1), ledger=[applied(0, ground=True, new=1000), applied(1, new=3)], runs=[])
    assert shown.new == (0, 3)


def test_the_next_delta_may_be_gone_seven_days_after_its_date() -> None:
    cliff = resync_deadline(day(10), offer=None, window=7, today=day(10))
    assert (cliff.next_day, cliff.leaves, cliff.left) == (day(11), day(18), 8)
    assert resync_deadline(day(10), offer=None, window=7, today=day(17)).left == 1
    assert resync_deadline(day(10), offer=None, window=7, today=day(30)).left == 0


def test_what_nobody_looked_for_is_not_known_and_what_was_not_listed_is_not_on_offer() -> None:
    listed = Extract(kind=ExtractKind.DELTA, day=day(9), name="d", size=1)
    full = Extract(kind=ExtractKind.FULL, day=day(8), name="f", size=1)
    offer = StoredListing(at=f"{day(10)}T06:00:00Z", extracts=(full, listed))
    seen = {d.day: d.seen for d in resync_deadline(day(9), offer=offer, window=7, today=day(11)).days}
    assert (seen[day(8)], seen[day(9)], seen[day(10)], seen[day(11)]) == (
        DeltaAvailability.NOT_LISTED,
        DeltaAvailability.LISTED,
        DeltaAvailability.NOT_LISTED,
        DeltaAvailability.UNKNOWN,
    )
