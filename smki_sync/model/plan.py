"""Position, plan and reason; the policies that an operator sets."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from smki_sync.model.defaults import OVERLAP_DAYS
from smki_sync.model.extract import Extract, ExtractKind


class Action(StrEnum):
    """What a plan does. ``BLOCKED``: the available files cannot bring the mirror up to date."""

    NONE = "none"
    DELTAS = "deltas"
    FULL = "full"
    BLOCKED = "blocked"


class Reason(StrEnum):
    """Why a plan was made. Used in logs, metrics, documentation and tests: extend, never rename."""

    UP_TO_DATE = "up-to-date"
    DELTAS_AVAILABLE = "deltas-available"
    NO_MIRROR = "no-mirror"
    GAP_BEYOND_WINDOW = "gap-beyond-window"
    HOLE_IN_DELTAS = "hole-in-deltas"
    DELTA_DAMAGED = "delta-damaged"
    DELTA_CHANGED = "delta-changed"
    FULL_CHANGED = "full-changed"
    SOURCE_CHANGED = "source-changed"
    MIRROR_DAMAGED = "mirror-damaged"
    SCHEMA_CHANGED = "schema-changed"
    REQUESTED = "requested"
    NO_FULL_AVAILABLE = "no-full-available"
    FULL_TOO_OLD = "full-too-old"
    WAITING_FOR_AGREED_DAY = "waiting-for-agreed-day"

    @property
    def words(self) -> str:
        """The reason as a sentence for people."""
        return REASON_WORDS[self]


REASON_WORDS = {
    Reason.UP_TO_DATE: "every available delta is applied",
    Reason.DELTAS_AVAILABLE: "the next deltas are available",
    Reason.NO_MIRROR: "there is no mirror yet",
    Reason.GAP_BEYOND_WINDOW: "the next delta has already left the seven-day window",
    Reason.HOLE_IN_DELTAS: "a delta inside the window is missing, but later ones are available",
    Reason.DELTA_DAMAGED: "a delta cannot be used",
    Reason.DELTA_CHANGED: "an applied delta has other bytes now",
    Reason.FULL_CHANGED: "the full that the mirror is based on has other bytes now",
    Reason.SOURCE_CHANGED: "the source has other files under the names of applied ones",
    Reason.MIRROR_DAMAGED: "the mirror is damaged",
    Reason.SCHEMA_CHANGED: "the mirror was written by another version of this program",
    Reason.REQUESTED: "a full was requested",
    Reason.NO_FULL_AVAILABLE: "a full is needed, but none is available",
    Reason.FULL_TOO_OLD: "deltas between the newest full and the available deltas are missing",
    Reason.WAITING_FOR_AGREED_DAY: "a full is needed, and today is not the agreed day",
}


class MirrorState(StrEnum):
    """What was found in the mirror directory."""

    ABSENT = "absent"
    HEALTHY = "healthy"
    DAMAGED = "damaged"
    OLDER_SCHEMA = "older-schema"
    NEWER_SCHEMA = "newer-schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedFile:
    """A file that was applied. ``size`` in bytes; ``sha256``: 64 hex digits of the file as served.

    ``proves``: whether each of its statements is stored, also those that changed nothing.
    """

    extract: Extract
    size: int
    sha256: str
    proves: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """Why nothing proves that the mirror agrees with its newest full.

    ``since``: date of the full, or of an upgrade, since which this is so. ``missing``: dates of overlap
    deltas that were never applied; empty if only the next full can tell.
    """

    since: date
    missing: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far the mirror is: what was applied, never what was planned.

    ``day``: date of the last delta, or the day before the full if no delta followed. ``full``: date of the
    newest full that was used. ``applied``: that full, and every delta whose statements outrank it, in order
    of date. ``overlap_days``: how far before the full these begin.
    """

    day: date
    full: date
    applied: tuple[AppliedFile, ...] = ()
    unproven: Unproven | None = None
    overlap_days: int = OVERLAP_DAYS

    @property
    def applied_deltas(self) -> frozenset[date]:
        """Dates of the applied deltas whose statements are all stored."""
        return frozenset(
            file.extract.day
            for file in self.applied
            if file.extract.kind is ExtractKind.DELTA and file.proves
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules that the operator sets, in whole days.

    ``window_days``: how long the Repository keeps a delta (MP147: seven days). ``full_overlap_days``: deltas
    dated this many days before a full, or later, win over it (MP147). ``late_after_days``: the Repository is
    late if its newest extract is older than this.
    """

    window_days: int = 7
    full_overlap_days: int = OVERLAP_DAYS
    late_after_days: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in order, and why.

    ``overlap``: deltas to merge that do not move the position. ``deltas``: deltas that move it, in order of
    date. ``missing``: dates of deltas that must exist, because later ones are available, and are missing.
    ``unproven``: dates of overlap deltas that will still be missing afterwards. ``superseded``: dates of
    applied deltas whose statements do not count any more, because other bytes were found.
    """

    action: Action
    reason: Reason
    full: Extract | None = None
    overlap: tuple[Extract, ...] = ()
    deltas: tuple[Extract, ...] = ()
    missing: tuple[date, ...] = ()
    unproven: tuple[date, ...] = ()
    superseded: tuple[date, ...] = ()

    @property
    def extracts(self) -> tuple[Extract, ...]:
        """Every file that this plan reads, in order."""
        return (*((self.full,) if self.full else ()), *self.overlap, *self.deltas)


class VerifyPolicy(StrEnum):
    """Checks on new certificates.

    ``NEW``: the issuer must have signed each. ``ALL``: also verify the mirror.
    """

    OFF = "off"
    NEW = "new"
    ALL = "all"


class ReconcilePolicy(StrEnum):
    """When a run compares the mirror with a new full. ``WHEN_NEEDED``: while the mirror is unproven.

    ``REPORT``: with each new full. ``REPAIR``: the same, and repair the differences.
    """

    NEVER = "never"
    WHEN_NEEDED = "when-needed"
    REPORT = "report"
    REPAIR = "repair"
