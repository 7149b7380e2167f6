"""Reporters of events: verbosity, rate limiting, and the JSON log."""

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
from smki_sync.cli.run_report import applied_document, notice_document, plan_document
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
"""Returns the time, in UTC."""


class Verbosity(Enum):
    """How much is reported: only warnings; the usual events; every detail."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"

    def admits(self, event: Event) -> bool:
        """Return whether an event is reported at this verbosity."""
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
    """A listener that writes events to a stream; a context manager that restores the terminal."""

    def __init__(self, stream: TextIO, *, volume: Verbosity) -> None:
        """Write to ``stream`` the events that ``volume`` admits."""
        self._stream = stream
        self._volume = volume

    def emit(self, event: Event) -> None:
        """Report one event. A full disk or a closed stream stops the output, not the run."""
        if self._volume.admits(event):
            with suppress(OSError, ValueError):
                self._report(event)

    @abstractmethod
    def _report(self, event: Event) -> None: ...

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def _close(self) -> None:  # noqa: B027 - not abstract: most reporters have nothing to restore
        """Restore the terminal if it was changed."""

    def __enter__(self) -> Self:
        """Start; nothing is reported yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close, also after an error."""
        with suppress(OSError, ValueError):
            self._close()


ProgressEvent = Downloading | Reading | Verifying
"""Events about the progress of a phase; a phase is one activity on one file."""

PROGRESS_SECONDS: Final = 30.0
"""Time between two lines of progress if there is no terminal, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Rates of a phase per second. ``left``: seconds until its end, ``None`` if unknown.

    ``amount``: of what the phase counts in ``done``: bytes, or certificates.
    """

    amount: float
    records: float
    left: float | None


class Stopwatch:
    """Measures each phase from its first event, so that a resumed download does not look fast."""

    def __init__(self, clock: Clock) -> None:
        """Measure by ``clock``."""
        self._clock = clock
        self._began: dict[tuple[type, str], tuple[datetime, ProgressEvent]] = {}

    def speed(self, event: ProgressEvent) -> Speed:
        """Return the rates of the phase of this event so far."""
        now = self._clock()
        began, first = self._began.setdefault((type(event), event.file), (now, event))
        seconds = (now - began).total_seconds()
        amount = (event.done - first.done) / seconds if seconds > 0 else 0.0
        records = (_records(event) - _records(first)) / seconds if seconds > 0 else 0.0
        left = (event.size - event.done) / amount if amount > 0 and event.size > event.done else None
        return Speed(amount=amount, records=records, left=left)


def _records(event: ProgressEvent) -> int:
    return event.records if isinstance(event, Reading) else 0


class LineRateLimiter:
    """Lets one progress event through every 30 seconds, the first after 30 seconds."""

    def __init__(self, clock: Clock) -> None:
        """Start the clock."""
        self._clock = clock
        self._reported = clock()
        self._watch = Stopwatch(clock)

    def take(self, event: ProgressEvent) -> Speed | None:
        """Return the rates of the phase, or ``None`` if it is too early to report."""
        speed, now = self._watch.speed(event), self._clock()
        if 0 <= (now - self._reported).total_seconds() < PROGRESS_SECONDS:  # below 0: the clock was set back
            return None
        self._reported = now
        return speed


class JsonReporter(EventReporter):
    """Reports for a log collector: one JSON object per line, with time, level, event and its fields."""

    def __init__(self, stream: TextIO, *, volume: Verbosity, clock: Clock) -> None:
        """Use ``clock`` for the times. Progress is reported at most every 30 seconds."""
        super().__init__(stream, volume=volume)
        self._clock = clock
        self._limiter = LineRateLimiter(clock)

    def _report(self, event: Event) -> None:
        if isinstance(event, Downloading | Reading | Verifying) and not self._limiter.take(event):
            return
        stamp = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": stamp, "level": _level_of(event), "event": _name_of(event)}
        self._write(json.dumps(head | _fields_of(event)))


_EVENT_NAMES: Final = {Downloading: "fetching", Logged: "noted"}
"""Names in the log that are not the name of the class; they are a promise to scripts."""


def _name_of(event: Event) -> str:
    return _EVENT_NAMES.get(type(event), type(event).__name__.lower())


def _level_of(event: Event) -> str:
    match event:
        case Detail():
            return "debug"
        case Logged(attention=notice) if not notice.code.is_note:
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
            notice = notice_document(event.attention)
            return {name: notice[name] for name in ("code", "message", "hint")}
        case Listing() | Downloading() | Reading() | Building() | Checking() | Verifying() | Detail():
            return asdict(event)
        case Resumed() | Restarted() | Retrying() | Waiting():
            return asdict(event)
        case _:
            assert_never(event)
