"""Days and weeks: what happened in each.

For: charts that stay readable, ten days or a year. Up to a quarter is shown by day, more by week.
Refuses: to read anything; ledger and runs come in as values.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Final

from smki_sync.mirror.history import Run
from smki_sync.mirror.inspection import LedgerFile
from smki_sync.model.report import Outcome

BY_DAY: Final = 92
"""Most days that are shown one by one: a quarter; more bars than that are thinner than a finger's width."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A day, or a week from Monday as far as it lies in the time shown."""

    first: date
    last: date

    @property
    def words(self) -> str:
        """How it is named."""
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What happened, period by period; every list is as long as ``periods``.

    ``lag``: days that the mirror was behind the calendar, the largest of the period; 0 before there was
    a mirror. ``runs``: number of runs by outcome.
    """

    periods: tuple[Period, ...]
    new: tuple[int, ...]
    changed: tuple[int, ...]
    withdrawn: tuple[int, ...]
    lag: tuple[int, ...]
    runs: dict[Outcome, tuple[int, ...]]

    @property
    def by_week(self) -> bool:
        """Whether a period is a week."""
        return any(period.first != period.last for period in self.periods)


def timeline(first: date, today: date, *, ledger: Sequence[LedgerFile], runs: Sequence[Run]) -> Timeline:
    """Sort ledger and runs into periods from ``first`` to ``today``.

    Changes count on the date of their extract, runs on the day on which they began, in UTC. What a resync has
    read again brought nothing: a file counts as it was first applied.
    """
    periods = _periods(first, today)
    where = {day: n for n, period in enumerate(periods) for day in _days(period)}
    first_time = {f.name: f for f in reversed(ledger)}.values()
    files = [(where[f.day], f) for f in first_time if f.day in where and not f.ground]
    lags = lag_by_day(first, today, ledger=ledger, runs=runs)
    return Timeline(
        periods=periods,
        new=_sum(len(periods), ((n, f.inserted) for n, f in files)),
        changed=_sum(len(periods), ((n, f.updated) for n, f in files)),
        withdrawn=_sum(len(periods), ((n, f.withdrawn) for n, f in files)),
        lag=tuple(max(lags[day] for day in _days(period)) for period in periods),
        runs={o: _sum(len(periods), _runs_in(where, runs, o)) for o in Outcome},
    )


def lag_by_day(
    first: date, today: date, *, ledger: Iterable[LedgerFile], runs: Iterable[Run]
) -> dict[date, int]:
    """For each day, how many days the position lay behind it when it ended; 0 before the first position."""
    reached = sorted(
        [(f.committed, f.day) for f in ledger]
        + [(datetime.fromisoformat(r.at), date.fromisoformat(r.position)) for r in runs if r.position]
    )
    lags, position, n = {}, None, 0
    for day in _days(Period(first=first, last=today)):
        ends = datetime.combine(day + _DAY, time(), UTC)
        while n < len(reached) and reached[n][0] < ends:
            position = max(reached[n][1], position or date.min)
            n += 1
        lags[day] = max((day - position).days, 0) if position else 0
    return lags


def _periods(first: date, today: date) -> tuple[Period, ...]:
    days = _days(Period(first=first, last=today))
    if len(days) <= BY_DAY:
        return tuple(Period(first=day, last=day) for day in days)
    weeks = [tuple(week) for _, week in groupby(days, key=lambda day: day - day.weekday() * _DAY)]
    return tuple(Period(first=week[0], last=week[-1]) for week in weeks)


def _days(period: Period) -> list[date]:
    return [period.first + n * _DAY for n in range((period.last - period.first).days + 1)]


def _sum(length: int, amounts: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    sums = [0] * length
    for n, amount in amounts:
        sums[n] += amount
    return tuple(sums)


def _runs_in(where: dict[date, int], runs: Iterable[Run], outcome: Outcome) -> Iterable[tuple[int, int]]:
    for run in runs:
        day = date.fromisoformat(run.at[:10])
        if run.outcome == outcome and day in where:
            yield where[day], 1
