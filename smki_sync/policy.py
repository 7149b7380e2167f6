"""Pure: agreed download window for fulls; limits on how much one file may change."""

import re
from dataclasses import dataclass, replace
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
    """What happens to a full that is needed at another time: take it and say so, or wait."""

    GO_AHEAD = "go-ahead"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """From the start of one hour to the start of another, UTC; past midnight if ``until`` is not later."""

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


def is_outside(plan: Plan, download_window: DownloadWindow, now: datetime) -> bool:
    """Whether a plan takes a full at a time that was not agreed."""
    return plan.action is Action.FULL and not download_window.holds(now)


def postponed_fulls(
    plan: Plan, without_full: Plan, download_window: DownloadWindow, now: datetime, *, requested: bool
) -> Plan:
    """Return the plan that the agreement allows.

    ``without_full``: the plan if no full were available; its deltas can be applied in any case.
    ``requested``: the operator asks for a full now, and knows the agreement.
    """
    if (
        requested
        or download_window.outside is OutsideWindow.GO_AHEAD
        or not is_outside(plan, download_window, now)
    ):
        return plan
    return replace(without_full, action=Action.BLOCKED, reason=Reason.WAITING_FOR_AGREED_DAY, full=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLimits:
    """How much one file may change. A file at a limit is applied; a file beyond it raises ``BadExtract``.

    ``shrink_share``: largest share of the In-Use certificates, from 0 to 1, that may leave In-Use by one
    file. Devices are replaced by the percent and their number grows; it does not fall by a tenth.
    ``shrink_allowance``: certificates that may leave In-Use in any case. ``repeat_share``: largest share of
    the In-Use certificates, from 0 to 1, that a delta may only repeat. A delta contains what has changed
    (Appendix O 2.3.3); one that repeats half of the mirror is a full. ``not_in_use_share``: largest share of
    a full's certificates, from 0 to 1, that may have another status than In-Use. A full contains what is
    In-Use (Appendix O 2.3.3). 1 disables the check, for a test environment that begins empty.
    ``not_in_use_allowance``: such certificates that a full may contain in any case. ``accept_shrink``: the
    operator accepts the loss, for this run.
    """

    shrink_share: float = 0.10
    shrink_allowance: int = 20
    repeat_share: float = 0.50
    not_in_use_share: float = 0.10
    not_in_use_allowance: int = 5
    accept_shrink: bool = False

    def check_shrink(self, name: str, *, before: int, leaving: int) -> None:
        """Raise ``BadExtract`` if too many of the ``before`` In-Use certificates leave In-Use by a file."""
        if self.accept_shrink or leaving <= max(self.shrink_allowance, self.shrink_share * before):
            return
        raise bad_extract(
            Fault.SHRINKS_MIRROR,
            name,
            f"{leaving:,} of {before:,} In-Use certificates would leave In-Use, {leaving / before:.0%};"
            f" `policy.max_shrink_share` allows {self.shrink_share:.0%}",
        )

    def check_delta(self, name: str, *, repeated: int, held: int) -> None:
        """Raise ``BadExtract`` for a full under the name of a delta.

        ``repeated``: records that say nothing new. ``held``: In-Use certificates before the file.
        """
        if repeated <= max(self.shrink_allowance, self.repeat_share * held):
            return
        raise bad_extract(
            Fault.NOT_A_DELTA,
            name,
            f"{repeated:,} of its records only repeat what the mirror of {held:,} In-Use certificates has;"
            " a delta contains what has changed",
        )

    def check_full(self, name: str, *, certificates: int, in_use: int) -> None:
        """Raise ``BadExtract`` for a delta under the name of a full, and for a full without certificates."""
        others = certificates - in_use
        few = others <= max(self.not_in_use_allowance, self.not_in_use_share * certificates)
        if (in_use and few) or self.not_in_use_share >= 1:
            return
        raise bad_extract(
            Fault.NOT_A_FULL,
            name,
            f"{in_use:,} of its {certificates:,} certificates are In-Use; a full contains those that are",
        )
