"""Progress events, and the protocol of their listeners.

An activity emits events and does not know what becomes of them. A listener prints, logs or drops them.
"""

from dataclasses import dataclass
from typing import Protocol

from smki_sync.model.plan import Plan
from smki_sync.model.report import AppliedExtract, Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The Repository is being listed."""

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
    """A download continues where an earlier one stopped, after ``done`` of ``size`` bytes."""

    file: str
    done: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A partial download cannot be used, for the reason ``why``. The file is downloaded from the start."""

    file: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """The Repository failed to answer, for the ``failed``-th time in a row of ``attempts``.

    The next attempt is after ``pause`` seconds. ``code`` and ``message``: of the error.
    """

    code: str
    message: str
    failed: int
    attempts: int
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A file is changing in the Repository. It is checked again after ``pause`` seconds."""

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
    """A generation is checked; ``step`` says what is checked."""

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
    """A file was applied, durably."""

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
"""Events of a download besides its progress."""

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
    """Receives events. It must not raise, and must return quickly."""

    def emit(self, event: Event) -> None:
        """Take one event."""


class NullListener:
    """A listener that drops everything."""

    def emit(self, event: Event) -> None:
        """Drop it."""
