"""Progress as values, and the protocol of whoever listens.

For: deeds that say what they are doing without knowing who is told. Refuses: to print, to log, to
decide how often; a listener may drop what it likes.
"""

from dataclasses import dataclass
from typing import Protocol

from smki_sync.model.plan import Plan
from smki_sync.model.report import AppliedExtract, Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The repository is being asked what it offers."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The planner has decided."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloading:
    """``done`` of ``size`` bytes of a file have arrived."""

    file: str
    done: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A file is gone on with where an earlier run stopped: ``done`` of ``size`` bytes are here and proven."""

    file: str
    done: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """What an earlier run fetched of a file is of no use, for the reason ``why``; it is fetched anew."""

    file: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """The repository dropped out, for the ``failed``-th time in a row of ``attempts``.

    It is tried again after ``pause`` seconds. ``code`` and ``message``: of the error.
    """

    code: str
    message: str
    failed: int
    attempts: int
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A file on offer is changing; it is looked at again after ``pause`` seconds."""

    file: str
    message: str
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """``records`` of a file have been read, from ``done`` of its ``size`` bytes."""

    file: str
    records: int
    done: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """A new generation has all its records and is being finished; ``step`` says how."""

    file: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """A generation is held against itself; ``step`` says what of it."""

    file: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifying:
    """``done`` of ``size`` certificates of a generation have been verified."""

    file: str
    done: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A file is in the mirror, durably."""

    applied: AppliedExtract


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """Something that the operator should know."""

    attention: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A fact for the verbose log: what was negotiated, resumed, retried, removed."""

    text: str


Troubled = Resumed | Restarted | Retrying | Waiting
"""What a download tells of besides its progress."""

Event = (
    Listing
    | Planned
    | Downloading
    | Troubled
    | Reading
    | Building
    | Checking
    | Verifying
    | Committed
    | Logged
    | Detail
)


class EventListener(Protocol):
    """Whoever is told; must not raise, must return quickly."""

    def hear(self, event: Event) -> None:
        """Take one event."""


class NullListener:
    """A listener that drops everything."""

    def hear(self, event: Event) -> None:
        """Drop it."""
