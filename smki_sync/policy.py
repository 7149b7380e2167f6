"""What was agreed with the DCC: when a full may be downloaded (Code of Connection).

For: :func:`hold_back`, which puts a full off to the agreed day where the operator wants that. Refuses: to
hold back a delta, a restore, or what somebody asked for by hand.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

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


class Outside(StrEnum):
    """What becomes of a full that is needed at another time: taken, and told; or put off."""

    GO_AHEAD = "go-ahead"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
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
class Agreement:
    """When fulls may be taken; ``None``: at any time."""

    day: Weekday | None = None
    hours: Hours | None = None
    outside: Outside = Outside.GO_AHEAD

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


def is_outside(plan: Plan, agreement: Agreement, now: datetime) -> bool:
    """Whether a plan takes a full at a time that was not agreed."""
    return plan.action is Action.FULL and not agreement.holds(now)


def hold_back(
    plan: Plan, without_full: Plan, agreement: Agreement, now: datetime, *, requested: bool
) -> Plan:
    """Give the plan that the agreement allows.

    ``without_full``: what the planner would do were no full on offer: the deltas before the obstacle are as
    true as ever. ``requested``: the operator asked for a full now, and knows what was agreed.
    """
    if requested or agreement.outside is Outside.GO_AHEAD or not is_outside(plan, agreement, now):
        return plan
    return Plan(
        action=Action.BLOCKED,
        reason=Reason.WAITING_FOR_AGREED_DAY,
        overlap=without_full.overlap,
        deltas=without_full.deltas,
        missing=without_full.missing,
        uncovered=without_full.uncovered,
    )
