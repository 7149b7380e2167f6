"""What a catalogue is worth on a given day: which extracts count, and how they join.

For: the questions that :mod:`smki_sync.planner` asks of the listing, each with one answer. Refuses:
to know why they are asked, to read a clock.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from smki_sync.model.extract import Catalogue, Extract
from smki_sync.model.plan import Policy, Position

DAY = timedelta(days=1)
CLOCK_TOLERANCE = DAY
"""Midnight, time zones and a slow clock: an extract may be dated tomorrow without being doubted."""
PROOF_DISTANCE = DAY
"""A full that is dated ahead counts if a delta is dated this near: then the clock is wrong, not it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The extracts that count. ``full``: the newest one, if any counts."""

    deltas: Mapping[date, Extract]
    full: Extract | None
    policy: Policy
    today: date

    def run_after(self, day: date) -> tuple[Extract, ...]:
        """Give the deltas that follow ``day`` without a hole, in order."""
        return tuple(self._consecutive(day + DAY, DAY, limit=len(self.deltas)))

    def overlap(self, full: date) -> tuple[Extract, ...]:
        """Give the deltas to replay onto a full: an unbroken run that ends at its date.

        It stops at the first date that is absent, going back: an older delta without every later
        one could put back what the absent one took out.
        """
        back = self._consecutive(full, -DAY, limit=self.policy.full_overlap_days + 1)
        return tuple(back)[::-1]

    def uncovered(self, full: date) -> tuple[date, ...]:
        """Name the dates of a full's overlap that no delta of the run covers."""
        covered = {delta.day for delta in self.overlap(full)}
        wanted = (full - days * DAY for days in range(self.policy.full_overlap_days, -1, -1))
        return tuple(day for day in wanted if day not in covered)

    def absent(self, after: date, before: date) -> tuple[date, ...]:
        """Name the dates strictly between two that have no delta on offer."""
        between = (after + days * DAY for days in range(1, (before - after).days))
        return tuple(day for day in between if day not in self.deltas)

    def missing_after(self, day: date) -> tuple[date, ...]:
        """Name the dates after ``day`` whose deltas later ones prove to exist and that are absent."""
        return self.absent(day, max(self.deltas, default=day))

    def goes_on_after(self, day: date) -> bool:
        """Whether anything on offer proves that the Repository published after ``day``."""
        return any(known > day for known in self.deltas) or (self.full is not None and self.full.day > day)

    def gone(self, day: date) -> bool:
        """Whether the delta of a date has left the window, rather than not having come.

        Deltas leave in order of date (MP147: each after seven days), so nothing has gone while an
        earlier delta is on offer. Today's may not be out yet: with a window of seven, the deltas of
        today-7 to today-1 are as complete as those of today-6 to today, and today-7 has not gone
        unless today's delta is there to take its place.
        """
        window = self.policy.window_days * DAY
        earliest_of_all = all(day < known for known in self.deltas)
        pushed_out = any(day <= known - window for known in self.deltas)
        return earliest_of_all and (pushed_out or day < self.today - window)

    def _consecutive(self, day: date, step: timedelta, *, limit: int) -> Iterator[Extract]:
        for _ in range(limit):
            if day not in self.deltas:
                return
            yield self.deltas[day]
            day += step


def weigh(catalogue: Catalogue, *, position: Position | None, policy: Policy, today: date) -> Offer:
    """Keep the extracts of a catalogue that are to be believed on a day.

    Dropped are extracts dated ahead of the clock for which nothing else speaks: one file with a
    wrong year must neither become the position for ever nor make a hole of the years between.
    """
    latest = max(today + CLOCK_TOLERANCE, position.day if position else today)  # what is held has come
    dates = [e.day for e in (*catalogue.fulls, *catalogue.deltas)] + ([position.day] if position else [])
    near = policy.window_days * DAY
    believed = (d.day for d in catalogue.deltas if d.day <= latest or _in_company(d, dates, near))
    newest = max(believed, default=date.min)
    deltas = {d.day: d for d in catalogue.deltas if d.day <= newest}
    fulls = [f for f in catalogue.fulls if f.day <= latest or _is_proven(f, deltas)]
    full = max(fulls, key=lambda f: f.day, default=None)
    return Offer(deltas=deltas, full=full, policy=policy, today=today)


def ahead(catalogue: Catalogue, today: date) -> tuple[Extract, ...]:
    """Give the extracts dated later than tomorrow, in order: somebody's clock or name is wrong."""
    return tuple(
        sorted(
            (e for e in (*catalogue.fulls, *catalogue.deltas) if e.day > today + CLOCK_TOLERANCE),
            key=lambda e: (e.day, e.kind),
        )
    )


def _is_proven(full: Extract, deltas: Mapping[date, Extract]) -> bool:
    return any(abs(full.day - day) <= PROOF_DISTANCE for day in deltas)


def _in_company(delta: Extract, dates: list[date], near: timedelta) -> bool:
    """Tell a delta of a Repository whose clock is ahead of ours from a lone one with a wrong date.

    Another extract or the mirror's own position within one window makes it believed.
    """
    return sum(abs(delta.day - day) <= near for day in dates) > 1  # one of them is its own
