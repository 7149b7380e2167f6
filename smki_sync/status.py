"""MirrorStatus: state, age, days left before a full is needed, expected duration of a full."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History, StoredListing
from smki_sync.mirror.inspection import read_ledger
from smki_sync.mirror.queries import open_mirror
from smki_sync.model.extract import ExtractKind

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """``looked``: when the Repository was last listed, UTC ISO 8601. ``next_delta``: the next that is needed.

    ``leaves``: from this date on it may be gone, and then a full is needed. ``days_left``: until then, 0
    when it may be gone already. ``full_bytes``: of the newest full that is known. ``full_seconds``: how long
    taking it would take, at the rates of the last downloads and the last full; ``None``: not measured.
    """

    looked: str | None = None
    next_delta: date | None = None
    leaves: date | None = None
    days_left: int | None = None
    full_bytes: int | None = None
    full_seconds: float | None = None


def removed_on(delta: date, window_days: int) -> date:
    """From when on a delta may be gone (MP147: it stays on offer for seven days)."""
    return delta + window_days * _DAY


def days_left(position: date, window_days: int, today: date) -> int:
    """Whole days until the delta after ``position`` may be gone; 0 when it may be."""
    return max((removed_on(position + _DAY, window_days) - today).days, 0)


def freshness_of(
    directory: MirrorDirectory, *, position: date | None, window_days: int, today: date
) -> Freshness:
    """Gather it from mirror and history; what cannot be read says nothing."""
    offer, rate = _remembered(History(directory.history))
    full, taken = _fulls(directory, offer) if position else (None, None)
    return Freshness(
        looked=offer.at if offer else None,
        next_delta=position + _DAY if position else None,
        leaves=removed_on(position + _DAY, window_days) if position else None,
        days_left=days_left(position, window_days, today) if position else None,
        full_bytes=full,
        full_seconds=round(full * (taken + (1 / rate if rate else 0.0)), 3) if full and taken else None,
    )


def _remembered(history: History) -> tuple[StoredListing | None, float | None]:
    with suppress(MirrorError):
        return history.offer(), history.fetch_rate()
    return None, None


def _fulls(directory: MirrorDirectory, offer: StoredListing | None) -> tuple[int | None, float | None]:
    """Size of the newest full that is known, and seconds that applying one has taken for each byte."""
    with suppress(MirrorError), open_mirror(directory.link) as db:
        applied = [file for file in read_ledger(db) if file.kind is ExtractKind.FULL and file.size]
        offered = [x.size for x in offer.extracts if x.kind is ExtractKind.FULL] if offer else []
        last = applied[-1] if applied else None
        size = offered[-1] if offered else last.size if last else None
        return size, last.seconds / last.size if last else None
    return None, None


_DAY_CLIFF = timedelta(days=1)


class AvailableFiles(StrEnum):
    """Whether the last listing had the delta of a day."""

    YES = "on offer"
    NO = "not on offer"
    NOT_LOOKED = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDay:
    """One day's delta. ``leaves``: from when on it may be gone."""

    day: date
    applied: bool
    seen: AvailableFiles
    leaves: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ResyncDeadline:
    """``next_day``: of the next delta that the mirror needs; ``left``: whole days until it may be gone."""

    next_day: date
    leaves: date
    left: int
    window: int
    days: tuple[WindowDay, ...]


def resync_deadline(
    position: date, *, offer: StoredListing | None, window: int, today: date
) -> ResyncDeadline:
    """Work it out. ``window``: days that a delta stays on offer (MP147: seven)."""
    next_day = position + _DAY_CLIFF
    leaves = removed_on(next_day, window)
    listed = {x.day: x.name for x in offer.extracts if x.kind is ExtractKind.DELTA} if offer else {}
    looked = date.fromisoformat(offer.at[:10]) if offer else None
    days = (today - back * _DAY_CLIFF for back in range(window, -1, -1))
    return ResyncDeadline(
        next_day=next_day,
        leaves=leaves,
        left=days_left(position, window, today),
        window=window,
        days=tuple(
            WindowDay(
                day=day,
                applied=day <= position,
                seen=_seen(day, listed, looked),
                leaves=removed_on(day, window),
            )
            for day in days
        ),
    )


def _seen(day: date, listed: Mapping[date, str], looked: date | None) -> AvailableFiles:
    if day in listed:
        return AvailableFiles.YES
    return AvailableFiles.NOT_LOOKED if looked is None or looked < day else AvailableFiles.NO
