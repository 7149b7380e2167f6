"""EventReporter: verbosity, rate limiting, JSON log of events."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from types import TracebackType
from typing import Final, Self, TextIO, assert_never

from smki_sync.cli.output import Json
from smki_sync.cli.run_report import applied_document, attention_document, plan_document
from smki_sync.events import (
    Building,
    Checking,
    Committed,
    Detail,
    Downloading,
    Event,
    Listing,
    Logged,
    Planned,
    Reading,
    Restarted,
    Resumed,
    Retrying,
    Verifying,
    Waiting,
)

Clock = Callable[[], datetime]
"""Gives the time, in UTC."""


class Verbosity(Enum):
    """How much is said: only what keeps the mirror from being current; the usual; every detail."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"

    def admits(self, event: Event) -> bool:
        """Tell whether an event is said at this volume."""
        match self:
            case Verbosity.QUIET:
                return isinstance(event, Logged) and not event.attention.code.is_note
            case Verbosity.NORMAL:
                return not isinstance(event, Detail)
            case Verbosity.VERBOSE:
                return True
            case _:
                assert_never(self)


class EventReporter(ABC):
    """A listener that says what it hears; a context manager that leaves the terminal in order."""

    def __init__(self, stream: TextIO, *, volume: Verbosity) -> None:
        """Talk on ``stream``, saying what ``volume`` admits."""
        self._stream = stream
        self._volume = volume

    def hear(self, event: Event) -> None:
        """Say one event. A full disk, a closed pipe or a closed stream stops the talk, not the run."""
        if self._volume.admits(event):
            with suppress(OSError, ValueError):
                self._say(event)

    @abstractmethod
    def _say(self, event: Event) -> None: ...

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def _close(self) -> None:  # noqa: B027 - not abstract: most talk has nothing to put back in order
        """Put the terminal back in order, where it was changed."""

    def __enter__(self) -> Self:
        """Begin; nothing is said yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close, whatever happened."""
        with suppress(OSError, ValueError):
            self._close()


Progress = Downloading | Reading | Verifying
"""Events that tell how far a phase is; a phase is one verb on one file."""

PROGRESS_SECONDS: Final = 30.0
"""Time between two lines of progress where there is no terminal, in seconds (contract, Output)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a phase goes, a second. ``left`` in seconds, ``None`` if unknown.

    ``octets``: or whatever else the phase counts in ``done``.
    """

    octets: float
    records: float
    left: float | None


class Stopwatch:
    """Measures each phase from where it was first heard of: a download that is resumed is not fast."""

    def __init__(self, clock: Clock) -> None:
        """Measure by ``clock``."""
        self._clock = clock
        self._began: dict[tuple[type, str], tuple[datetime, Progress]] = {}

    def speed(self, event: Progress) -> Speed:
        """Give the speed of the event's phase so far."""
        now = self._clock()
        began, first = self._began.setdefault((type(event), event.file), (now, event))
        seconds = (now - began).total_seconds()
        octets = (event.done - first.done) / seconds if seconds > 0 else 0.0
        records = (_records(event) - _records(first)) / seconds if seconds > 0 else 0.0
        left = (event.size - event.done) / octets if octets > 0 and event.size > event.done else None
        return Speed(octets=octets, records=records, left=left)


def _records(event: Progress) -> int:
    return event.records if isinstance(event, Reading) else 0


class LineRateLimiter:
    """Lets progress through once in 30 seconds, the first time 30 seconds after the start."""

    def __init__(self, clock: Clock) -> None:
        """Start to count now."""
        self._clock = clock
        self._said = clock()
        self._watch = Stopwatch(clock)

    def take(self, event: Progress) -> Speed | None:
        """Give the speed of the event's phase, or ``None`` while it is too early to say anything."""
        speed, now = self._watch.speed(event), self._clock()
        if 0 <= (now - self._said).total_seconds() < PROGRESS_SECONDS:  # below 0: the clock was set back
            return None
        self._said = now
        return speed


class JsonReporter(EventReporter):
    """Talk for a collector: one JSON object a line, with time, level, event and its fields."""

    def __init__(self, stream: TextIO, *, volume: Verbosity, clock: Clock) -> None:
        """Stamp lines with ``clock``; progress comes at most every 30 seconds here too."""
        super().__init__(stream, volume=volume)
        self._clock = clock
        self._pace = LineRateLimiter(clock)

    def _say(self, event: Event) -> None:
        if isinstance(event, Downloading | Reading | Verifying) and not self._pace.take(event):
            return
        stamp = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": stamp, "level": _level_of(event), "event": type(event).__name__.lower()}
        self._write(json.dumps(head | _fields_of(event)))


def _level_of(event: Event) -> str:
    match event:
        case Detail():
            return "debug"
        case Logged(attention=attention) if not attention.code.is_note:
            return "warning"
        case Retrying() | Waiting() | Restarted():
            return "warning"
        case _:
            return "info"


def _fields_of(event: Event) -> Json:
    match event:
        case Planned():
            return plan_document(event.plan)
        case Committed():
            return applied_document(event.applied)
        case Logged():
            about = attention_document(event.attention)
            return {name: about[name] for name in ("code", "message", "hint")}
        case Listing() | Downloading() | Reading() | Building() | Checking() | Verifying() | Detail():
            return asdict(event)
        case Resumed() | Restarted() | Retrying() | Waiting():
            return asdict(event)
        case _:
            assert_never(event)
