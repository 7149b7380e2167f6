"""Position, Plan, Reason, policies the operator sets."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from smki_sync.model.extract import Extract


class Action(StrEnum):
    """What a plan does. ``BLOCKED``: the mirror cannot be made current from what is on offer."""

    NONE = "none"
    DELTAS = "deltas"
    FULL = "full"
    BLOCKED = "blocked"


class Reason(StrEnum):
    """Why: one vocabulary in plans, logs, metrics, docs and tests. A promise: extend, never rename."""

    UP_TO_DATE = "up-to-date"
    DELTAS_AVAILABLE = "deltas-available"
    NO_MIRROR = "no-mirror"
    GAP_BEYOND_WINDOW = "gap-beyond-window"
    HOLE_IN_DELTAS = "hole-in-deltas"
    DELTA_CHANGED = "delta-changed"
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
    Reason.UP_TO_DATE: "every delta on offer is applied",
    Reason.DELTAS_AVAILABLE: "the next deltas are on offer, in order",
    Reason.NO_MIRROR: "there is no mirror yet",
    Reason.GAP_BEYOND_WINDOW: "the next delta has already left the seven-day window",
    Reason.HOLE_IN_DELTAS: "a delta inside the window is missing while later ones are on offer",
    Reason.DELTA_CHANGED: "a delta that was applied now has other bytes",
    Reason.MIRROR_DAMAGED: "the mirror is damaged",
    Reason.SCHEMA_CHANGED: "the mirror was written by another version of this program",
    Reason.REQUESTED: "a full was asked for",
    Reason.NO_FULL_AVAILABLE: "a full is needed and none is on offer",
    Reason.FULL_TOO_OLD: "the newest full and the deltas on offer do not join",
    Reason.WAITING_FOR_AGREED_DAY: "a full is needed and today is not the agreed day",
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
    """What the ledger remembers of a file that was applied since the last full, that full included.

    ``size`` in bytes, ``sha256`` 64 hex digits of the file as it was served.
    """

    extract: Extract
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far the mirror is: what was applied, never what was planned.

    ``day``: of the last delta applied, or of the full where none followed.
    ``chain``: the full and all deltas since, in the order they were applied.
    """

    day: date
    full: date
    chain: tuple[AppliedFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decides. Days are whole days.

    ``window_days``: deltas that the Repository keeps on offer (MP147: seven).
    ``full_overlap_days``: deltas dated up to so many days before a full are replayed onto it, because
    a full takes more than 24 hours to produce (MP147).
    ``late_after_days``: a repository whose newest extract is older than this is late.
    """

    window_days: int = 7
    full_overlap_days: int = 2
    late_after_days: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in order, and why.

    ``overlap``: deltas dated up to the full, replayed onto it before it is published (or, with no
    full in the plan, onto the mirror that still stands at its full).
    ``deltas``: deltas that move the position, in order of date.
    ``missing``: dates of deltas that later ones prove to exist and that are not on offer.
    ``uncovered``: overlap dates of the full that no delta on offer covers.
    """

    action: Action
    reason: Reason
    full: Extract | None = None
    overlap: tuple[Extract, ...] = ()
    deltas: tuple[Extract, ...] = ()
    missing: tuple[date, ...] = ()
    uncovered: tuple[date, ...] = ()

    @property
    def extracts(self) -> tuple[Extract, ...]:
        """Every file that this plan reads, in order."""
        return (*((self.full,) if self.full else ()), *self.overlap, *self.deltas)


class VerifyPolicy(StrEnum):
    """``OFF``: nothing. ``NEW``: a certificate that is new has to be signed by whom it names.

    ``ALL``: the same, and after each run the whole mirror is verified.
    """

    OFF = "off"
    NEW = "new"
    ALL = "all"


class ReconcilePolicy(StrEnum):
    """``NEVER``: only `reconcile` compares. ``REPORT``: each new full is held against the mirror once.

    ``REPAIR``: the same, and what differs is made good.
    """

    NEVER = "never"
    REPORT = "report"
    REPAIR = "repair"
