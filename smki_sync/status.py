"""How fresh the mirror is: days left before a full is needed, and how long a full would take."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History, StoredListing
from smki_sync.mirror.inspection import read_ledger
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror
from smki_sync.model.extract import ExtractKind

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How fresh the mirror is, and what a full resync would cost.

    Args:
        looked: When the Repository was last listed, in UTC, ISO 8601.
        next_delta: Date of the next delta that the mirror needs.
        leaves: Date from which that delta may be missing, so that a full is needed.
        days_left: Days until then; 0 if the delta may be missing already.
        full_bytes: Size of the newest known full.
        full_seconds: Expected duration of a full resync, from the rates of recent runs; ``None`` if unknown.
    """

    looked: str | None = None
    next_delta: date | None = None
    leaves: date | None = None
    days_left: int | None = None
    full_bytes: int | None = None
    full_seconds: float | None = None


def removed_on(delta: date, window_days: int) -> date:
    """Return the date from which a delta may be missing (MP147: the Repository keeps it for seven days)."""
    return delta + window_days * _DAY


def days_left(position: date, window_days: int, today: date) -> int:
    """Return the days until the delta after ``position`` may be missing; 0 if it may be missing already."""
    return max((removed_on(position + _DAY, window_days) - today).days, 0)


def freshness_of(
    directory: MirrorDirectory, *, position: date | None, window_days: int, today: date
) -> Freshness:
    """Return the freshness from the mirror and the history. A file that cannot be read gives no value."""
    listing, rate = _read_history(History(directory.history))
    full_bytes, seconds_per_byte = _read_fulls(directory, listing) if position else (None, None)
    full_seconds = None
    if full_bytes and seconds_per_byte:
        full_seconds = round(full_bytes * (seconds_per_byte + (1 / rate if rate else 0.0)), 3)
    return Freshness(
        looked=listing.at if listing else None,
        next_delta=position + _DAY if position else None,
        leaves=removed_on(position + _DAY, window_days) if position else None,
        days_left=days_left(position, window_days, today) if position else None,
        full_bytes=full_bytes,
        full_seconds=full_seconds,
    )


def _read_history(history: History) -> tuple[StoredListing | None, float | None]:
    """Return the last listing and the download rate in bytes per second.

    A listing from the future was stored while the clock was wrong. It does not count.
    """
    with suppress(MirrorError):
        listing = history.offer()
        if listing and listing.at > utc(datetime.now(UTC)):
            listing = None
        return listing, history.fetch_rate()
    return None, None


def _read_fulls(directory: MirrorDirectory, listing: StoredListing | None) -> tuple[int | None, float | None]:
    """Return the size of the newest known full, and the seconds per byte of the last one applied."""
    with suppress(MirrorError), open_mirror(directory.link) as db:
        applied = [file for file in read_ledger(db) if file.kind is ExtractKind.FULL and file.size]
        listed = [x.size for x in listing.extracts if x.kind is ExtractKind.FULL] if listing else []
        last = applied[-1] if applied else None
        size = listed[-1] if listed else last.size if last else None
        return size, last.seconds / last.size if last else None
    return None, None


class AvailableFiles(StrEnum):
    """Whether the last listing contained the delta of a day."""

    YES = "on offer"
    NO = "not on offer"
    NOT_LOOKED = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDay:
    """The delta of one day. ``leaves``: the date from which it may be missing."""

    day: date
    applied: bool
    seen: AvailableFiles
    leaves: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ResyncDeadline:
    """Until when a run must succeed, so that no full is needed.

    Args:
        next_day: Date of the next delta that the mirror needs.
        leaves: Date from which that delta may be missing.
        left: Days until then.
        window: Days that a delta stays in the Repository.
        days: The days of the window, oldest first.
    """

    next_day: date
    leaves: date
    left: int
    window: int
    days: tuple[WindowDay, ...]


def resync_deadline(
    position: date, *, offer: StoredListing | None, window: int, today: date
) -> ResyncDeadline:
    """Return the full-resync deadline.

    Args:
        position: The position of the mirror.
        offer: The last listing, or ``None``.
        window: Days that a delta stays in the Repository (MP147: seven).
        today: The current date.
    """
    next_day = position + _DAY
    listed = {x.day: x.name for x in offer.extracts if x.kind is ExtractKind.DELTA} if offer else {}
    looked = date.fromisoformat(offer.at[:10]) if offer else None
    days = (today - back * _DAY for back in range(window, -1, -1))
    return ResyncDeadline(
        next_day=next_day,
        leaves=removed_on(next_day, window),
        left=days_left(position, window, today),
        window=window,
        days=tuple(
            WindowDay(
                day=day,
                applied=day <= position,
                seen=_availability(day, listed, looked),
                leaves=removed_on(day, window),
            )
            for day in days
        ),
    )


def _availability(day: date, listed: Mapping[date, str], looked: date | None) -> AvailableFiles:
    if day in listed:
        return AvailableFiles.YES
    return AvailableFiles.NOT_LOOKED if looked is None or looked < day else AvailableFiles.NO
