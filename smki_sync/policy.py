"""Pure: agreed download window for fulls; limits on how much one file may change."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from smki_sync.errors import Fault, bad_extract
from smki_sync.model.plan import Action, Plan, Reason

_HOURS: Final = re.compile(r"(\d\d)-(\d\d)")
_DAY_HOURS: Final = 24


class Weekday(StrEnum):
    """A day of the week, in UTC."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class OutsideWindow(StrEnum):
    """What becomes of a full that is needed at another time: taken, and told; or put off."""

    GO_AHEAD = "go-ahead"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """From the beginning of one hour to that of another, UTC; over midnight where ``until`` is not later."""

    start: int
    until: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HH-HH``; raises ``ValueError``."""
        found = _HOURS.fullmatch(text)
        start, until = (int(found[1]), int(found[2])) if found else (_DAY_HOURS, 0)
        if start >= _DAY_HOURS or until > _DAY_HOURS or start == until:
            raise ValueError("wants two hours as HH-HH, such as 20-06")
        return cls(start=start, until=until)

    def hold(self, hour: int) -> bool:
        """Whether an hour lies within."""
        if self.start < self.until:
            return self.start <= hour < self.until
        return hour >= self.start or hour < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadWindow:
    """When fulls may be taken; ``None``: at any time."""

    day: Weekday | None = None
    hours: TimeRange | None = None
    outside: OutsideWindow = OutsideWindow.GO_AHEAD

    def holds(self, now: datetime) -> bool:
        """Whether a full may be taken now; ``now`` in UTC. Hours after midnight belong to the day before."""
        night = (
            self.hours is not None and self.hours.start >= self.hours.until and now.hour < self.hours.until
        )
        weekday = (now.weekday() - night) % len(Weekday)
        on_day = self.day is None or list(Weekday)[weekday] is self.day
        return on_day and (self.hours is None or self.hours.hold(now.hour))

    @property
    def words(self) -> str:
        """For people: ``sunday, 20-06 UTC``."""
        hours = f"{self.hours.start:02d}-{self.hours.until:02d} UTC" if self.hours else ""
        return ", ".join(filter(None, (self.day.value if self.day else "", hours)))


def is_outside(plan: Plan, agreement: DownloadWindow, now: datetime) -> bool:
    """Whether a plan takes a full at a time that was not agreed."""
    return plan.action is Action.FULL and not agreement.holds(now)


def postponed_fulls(
    plan: Plan, without_full: Plan, agreement: DownloadWindow, now: datetime, *, requested: bool
) -> Plan:
    """Give the plan that the agreement allows.

    ``without_full``: what the planner would do were no full on offer: the deltas before the obstacle are as
    true as ever. ``requested``: the operator asked for a full now, and knows what was agreed.
    """
    if requested or agreement.outside is OutsideWindow.GO_AHEAD or not is_outside(plan, agreement, now):
        return plan
    return Plan(
        action=Action.BLOCKED,
        reason=Reason.WAITING_FOR_AGREED_DAY,
        overlap=without_full.overlap,
        deltas=without_full.deltas,
        missing=without_full.missing,
        uncovered=without_full.uncovered,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLimits:
    """What one file may do. A file at a bound is applied; one beyond it raises ``BadExtract``.

    ``shrink_share``: of the certificates In-Use that a file may cost, from 0 to 1, those that it brings
    counted against those that it takes. Devices are replaced by the percent and their number grows; it
    does not fall by a tenth.
    ``shrink_allowance``: certificates In-Use that may go whatever their share.
    ``repeat_share``: of the certificates In-Use that a delta may name only to say what is known already,
    from 0 to 1. A delta holds what has changed (Appendix O 2.3.3); who repeats half of the mirror is a full.
    ``not_in_use_share``: of a full's certificates that may have another status than In-Use, from 0 to 1.
    A full holds what is In-Use (Appendix O 2.3.3); a tenth of others is a delta. With 1 nothing is asked,
    for a test environment that begins empty.
    ``not_in_use_allowance``: such certificates that a full may hold whatever their share.
    ``accept_shrink``: an operator has said that the loss is right, for this run.
    """

    shrink_share: float = 0.10
    shrink_allowance: int = 20
    repeat_share: float = 0.50
    not_in_use_share: float = 0.10
    not_in_use_allowance: int = 5
    accept_shrink: bool = False

    def check_shrink(self, name: str, *, before: int, after: int) -> None:
        """Raise ``BadExtract`` where a file takes too many certificates; both are numbers In-Use."""
        lost = before - after
        if self.accept_shrink or lost <= max(self.shrink_allowance, self.shrink_share * before):
            return
        raise bad_extract(
            Fault.SHRINKS_MIRROR,
            name,
            f"it would leave {after:,} certificates In-Use of {before:,}, a loss of {lost / before:.0%};"
            f" `policy.max_shrink_share` allows {self.shrink_share:.0%}",
        )

    def check_delta(self, name: str, *, repeated: int, held: int) -> None:
        """Raise ``BadExtract`` for a full under a delta's name.

        ``repeated``: records that said nothing new. ``held``: certificates In-Use before the file.
        """
        if repeated <= max(self.shrink_allowance, self.repeat_share * held):
            return
        raise bad_extract(
            Fault.NOT_A_DELTA,
            name,
            f"{repeated:,} of its records say what the mirror of {held:,} certificates In-Use holds already;"
            " a delta says what has changed",
        )

    def check_full(self, name: str, *, certificates: int, in_use: int) -> None:
        """Raise ``BadExtract`` for a delta under a full's name, and for a full without a certificate."""
        others = certificates - in_use
        few = others <= max(self.not_in_use_allowance, self.not_in_use_share * certificates)
        if (in_use and few) or self.not_in_use_share >= 1:
            return
        raise bad_extract(
            Fault.NOT_A_FULL,
            name,
            f"of its {certificates:,} certificates {in_use:,} are In-Use; a full holds those that are",
        )
