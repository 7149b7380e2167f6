"""State of a mirror, offline: age, counts, last runs, trust, and days left before a full resync."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from smki_sync.errors import MirrorError, ResourceError
from smki_sync.mirror.directory import MirrorDirectory, find_holder
from smki_sync.mirror.history import History, Run, StoredListing
from smki_sync.mirror.inspection import read_ledger
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror, read_counts, read_position
from smki_sync.mirror.signature_cache import LastVerification, last_verification
from smki_sync.model.extract import ExtractKind
from smki_sync.model.report import CertificateCounts, Outcome
from smki_sync.planner import CLOCK_TOLERANCE

_DAY: Final = timedelta(days=1)


class StatusState(StrEnum):
    """What a monitor asks for."""

    EMPTY = "empty"
    CURRENT = "current"
    UNPROVEN = "unproven"
    STALE = "stale"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorStatus:
    """State of a mirror. ``age_hours``: since the start of the position's date, UTC; ``bytes``: its size.

    ``message``, ``hint``: why it cannot be read, and what to do.
    """

    state: StatusState
    position: date | None = None
    age_hours: float | None = None
    last_full: date | None = None
    last_run: Run | None = None
    last_success: Run | None = None
    counts: CertificateCounts | None = None
    bytes: int = 0
    message: str = ""
    hint: str = ""


def mirror_status(directory: MirrorDirectory, *, now: datetime, max_age: float) -> MirrorStatus:
    """Return the state of a mirror; it is stale if it is older than ``max_age`` hours.

    Raises :class:`ResourceError` if this user may not read the mirror: that is not damage.
    """
    last, success = _last_runs(History(directory.history), now)
    try:
        generation = directory.current()
        if generation is None:
            message, hint = _why_empty(directory)
            return MirrorStatus(
                state=StatusState.EMPTY, last_run=last, last_success=success, message=message, hint=hint
            )
        with open_mirror(directory.link) as db:
            position, counts = read_position(db), read_counts(db)
    except ResourceError:
        raise
    except MirrorError as error:
        return MirrorStatus(
            state=StatusState.DAMAGED,
            last_run=last,
            last_success=success,
            message=error.message,
            hint=error.hint,
        )
    began = datetime.combine(position.day, time(), tzinfo=UTC)
    age = max((now - began).total_seconds() / 3600, 0.0)
    proven = StatusState.UNPROVEN if counts.unproven else StatusState.CURRENT
    is_ahead = position.day > now.date() + CLOCK_TOLERANCE
    return MirrorStatus(
        state=StatusState.STALE if age > max_age or is_ahead else proven,
        message=f"The position {position.day} is ahead of the clock, {now.date()}." if is_ahead else "",
        hint="Check the clock of this machine, then run `smki-sync sync`." if is_ahead else "",
        position=position.day,
        age_hours=round(age, 1),
        last_full=position.full,
        last_run=last,
        last_success=success,
        counts=counts,
        bytes=_size(generation),
    )


def _why_empty(directory: MirrorDirectory) -> tuple[str, str]:
    """Return message and hint; the first run, which may take hours, may be active."""
    with suppress(MirrorError, OSError):
        if holder := find_holder(directory.lock):
            return f"A run is active: {holder}.", "Wait until it has ended."
    return "", "Run `smki-sync sync`."


def _last_runs(history: History, now: datetime) -> tuple[Run | None, Run | None]:
    """Return the last run and the last success; both unknown if the history cannot be read.

    Times from the future were recorded while the clock was wrong. They do not count.
    """
    with suppress(MirrorError):
        until = utc(now + CLOCK_TOLERANCE)
        return history.last(until=until), history.last(outcome=Outcome.CURRENT, until=until)
    return None, None


def _size(generation: Path) -> int:
    files = (generation.with_name(generation.name + suffix) for suffix in ("", "-wal"))
    return sum(path.stat().st_size for path in files if path.exists())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStatus:
    """``anchors``: number of configured trust anchors. ``last``: the last full verification.

    ``replaced``: another generation has replaced the verified one.
    """

    anchors: int
    last: LastVerification | None
    replaced: bool = False


def trust_status(directory: MirrorDirectory, *, anchors: int) -> TrustStatus:
    """Return what is known about the last full verification."""
    last = last_verification(directory.signature_cache)
    return TrustStatus(anchors=anchors, last=last, replaced=_is_replaced(last, directory))


def _is_replaced(last: LastVerification | None, directory: MirrorDirectory) -> bool:
    if last is None or not last.generation:
        return False
    with suppress(MirrorError):  # a damaged link is reported by mirror_status
        linked = directory.linked()
        return linked is not None and linked.name != last.generation
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How much time is left before a full extract is needed, and how long that would take.

    ``looked``: when the Repository was last listed, UTC ISO 8601. ``next_delta``: the next delta needed.
    ``leaves``: date from which it may be removed. ``days_left``: days until then; 0 if it may be removed
    already. ``full_bytes``: size of the newest known full extract. ``full_seconds``: expected duration at the
    rates of the last downloads and the last full extract; ``None`` if not measured.
    """

    looked: str | None = None
    next_delta: date | None = None
    leaves: date | None = None
    days_left: int | None = None
    full_bytes: int | None = None
    full_seconds: float | None = None


def removed_on(delta: date, window_days: int) -> date:
    """Return the date from which a delta may be removed (MP147: seven days after its date)."""
    return delta + window_days * _DAY


def days_left(position: date, window_days: int, today: date) -> int:
    """Return whole days until the delta after ``position`` may be removed; 0 if it may be removed already."""
    return max((removed_on(position + _DAY, window_days) - today).days, 0)


def freshness_of(
    directory: MirrorDirectory, *, position: date | None, window_days: int, today: date
) -> Freshness:
    """Return the freshness; a mirror or history that cannot be read leaves its values unknown."""
    offer, rate = _last_listing(History(directory.history), today)
    full, taken = _newest_full(directory, offer) if position else (None, None)
    return Freshness(
        looked=offer.at if offer else None,
        next_delta=position + _DAY if position else None,
        leaves=removed_on(position + _DAY, window_days) if position else None,
        days_left=days_left(position, window_days, today) if position else None,
        full_bytes=full,
        full_seconds=round(full * (taken + (1 / rate if rate else 0.0)), 3) if full and taken else None,
    )


def _last_listing(history: History, today: date) -> tuple[StoredListing | None, float | None]:
    with suppress(MirrorError):
        listing = history.offer()
        if listing and date.fromisoformat(listing.at[:10]) > today + CLOCK_TOLERANCE:
            listing = None  # stored while the clock was wrong
        return listing, history.fetch_rate()
    return None, None


def _newest_full(directory: MirrorDirectory, offer: StoredListing | None) -> tuple[int | None, float | None]:
    """Return the size of the newest known full extract, and the seconds per byte of the last one applied."""
    with suppress(MirrorError), open_mirror(directory.link) as db:
        applied = [file for file in read_ledger(db) if file.kind is ExtractKind.FULL and file.size]
        offered = [x.size for x in offer.extracts if x.kind is ExtractKind.FULL] if offer else []
        last = applied[-1] if applied else None
        size = offered[-1] if offered else last.size if last else None
        return size, last.seconds / last.size if last else None
    return None, None


class DeltaAvailability(StrEnum):
    """Whether the last listing contained the delta of a day."""

    LISTED = "listed"
    NOT_LISTED = "not listed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDay:
    """The delta of one day. ``leaves``: date from which it may be removed."""

    day: date
    applied: bool
    seen: DeltaAvailability
    leaves: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ResyncDeadline:
    """``next_day``: date of the next delta needed. ``left``: whole days until it may be removed."""

    next_day: date
    leaves: date
    left: int
    window: int
    days: tuple[WindowDay, ...]


def resync_deadline(
    position: date, *, offer: StoredListing | None, window: int, today: date
) -> ResyncDeadline:
    """Return the deadline. ``window``: days that a delta remains in the Repository (MP147: seven)."""
    next_day = position + _DAY
    leaves = removed_on(next_day, window)
    listed = {x.day: x.name for x in offer.extracts if x.kind is ExtractKind.DELTA} if offer else {}
    looked = date.fromisoformat(offer.at[:10]) if offer else None
    days = (today - back * _DAY for back in range(window, -1, -1))
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


def _seen(day: date, listed: Mapping[date, str], looked: date | None) -> DeltaAvailability:
    if day in listed:
        return DeltaAvailability.LISTED
    return DeltaAvailability.UNKNOWN if looked is None or looked < day else DeltaAvailability.NOT_LISTED
