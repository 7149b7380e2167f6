"""The cliff: when the next delta that the mirror needs may be taken off the Repository.

For: one number that an operator understands, days left, and the days of the window one by one.
Beyond it only a full restores certainty (MP147). Refuses: to know what is on offer now; what it knows
is the last listing that a run has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from smki_sync.mirror.history import Offer
from smki_sync.model.extract import ExtractKind
from smki_sync.status import days_left, leaves_on

_DAY = timedelta(days=1)


class Seen(StrEnum):
    """Whether the last listing had the delta of a day."""

    YES = "on offer"
    NO = "not on offer"
    NOT_LOOKED = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDay:
    """One day's delta. ``leaves``: from when on it may be gone."""

    day: date
    applied: bool
    seen: Seen
    leaves: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Cliff:
    """``next_day``: of the next delta that the mirror needs; ``left``: whole days until it may be gone."""

    next_day: date
    leaves: date
    left: int
    window: int
    days: tuple[WindowDay, ...]


def cliff_of(position: date, *, offer: Offer | None, window: int, today: date) -> Cliff:
    """Work it out. ``window``: days that a delta stays on offer (MP147: seven)."""
    next_day = position + _DAY
    leaves = leaves_on(next_day, window)
    listed = {x.day: x.name for x in offer.extracts if x.kind is ExtractKind.DELTA} if offer else {}
    looked = date.fromisoformat(offer.at[:10]) if offer else None
    days = (today - back * _DAY for back in range(window, -1, -1))
    return Cliff(
        next_day=next_day,
        leaves=leaves,
        left=days_left(position, window, today),
        window=window,
        days=tuple(
            WindowDay(
                day=day,
                applied=day <= position,
                seen=_seen(day, listed, looked),
                leaves=leaves_on(day, window),
            )
            for day in days
        ),
    )


def _seen(day: date, listed: Mapping[date, str], looked: date | None) -> Seen:
    if day in listed:
        return Seen.YES
    return Seen.NOT_LOOKED if looked is None or looked < day else Seen.NO
