"""What a run says while it goes on, on stderr: for people at a terminal, for a log, for a collector.

For: the listener of every deed::

    with talk_on(sys.stderr, form=config.log.format, volume=Volume.NORMAL) as talk:
        sync.run(..., hear=talk)

On a terminal there are progress bars. Elsewhere there is a line for each decision, each step, each
file and each thing to know, and one line of progress at most every 30 seconds. ``NO_COLOR`` is honoured.
Refuses: stdout, which belongs to data; to stop a run because nobody reads what it says; to pass text
from outside to a terminal as it is.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import TracebackType
from typing import Self, TextIO, assert_never

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from smki_sync.cli.render import Json, applied_document, attention_document, plan_document
from smki_sync.cli.summary import counts_text, files_text
from smki_sync.cli.words import in_bytes, in_time, visible
from smki_sync.config import LogFormat
from smki_sync.events import (
    Building,
    Committed,
    Detail,
    Event,
    Fetching,
    Listing,
    Noted,
    Planned,
    Reading,
)
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import Applied, Attention

Clock = Callable[[], datetime]
"""Gives the time, in UTC."""

PROGRESS_SECONDS = 30.0
"""Time between two lines of progress where there is no terminal, in seconds (contract, Output)."""


REDRAW = timedelta(seconds=0.1)
"""Time between two drawings of the bars: smooth to the eye, and nothing beside the work."""


class Volume(Enum):
    """How much is said: only what keeps the mirror from being current; the usual; every detail."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"

    def admits(self, event: Event) -> bool:
        """Tell whether an event is said at this volume."""
        match self:
            case Volume.QUIET:
                return isinstance(event, Noted) and not event.attention.code.is_note
            case Volume.NORMAL:
                return not isinstance(event, Detail)
            case Volume.VERBOSE:
                return True
            case _:
                assert_never(self)


def talk_on(stream: TextIO, *, form: LogFormat, volume: Volume, clock: Clock | None = None) -> "Talk":
    """Choose how to talk on a stream; ``clock`` is the system's unless given."""
    clock = clock or _utc_now
    match form:
        case LogFormat.TEXT:
            return ConsoleTalk(stream, volume=volume, clock=clock)
        case LogFormat.JSON:
            return JsonTalk(stream, volume=volume, clock=clock)
        case _:
            assert_never(form)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Talk(ABC):
    """A listener that says what it hears; a context manager that leaves the terminal in order."""

    def __init__(self, stream: TextIO, *, volume: Volume) -> None:
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


class ConsoleTalk(Talk):
    """Talk for people: bars on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO, *, volume: Volume, clock: Clock) -> None:
        """Look at the stream: bars need a terminal that can move its cursor."""
        super().__init__(stream, volume=volume)
        movable = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bars = _Bars(stream, clock) if movable else None
        self._pace = Pace(clock)
        self._last: Event | None = None

    def _say(self, event: Event) -> None:
        if isinstance(event, Fetching | Reading):
            self._progress(event)
        elif event != self._last:  # a step that is announced again is no news
            self._last = event
            self._line(event)

    def _progress(self, event: Fetching | Reading) -> None:
        if self._bars:
            self._bars.show(event)
        elif speed := self._pace.take(event):
            self._write(progress_text(event, speed))

    def _line(self, event: Listing | Planned | Building | Committed | Noted | Detail) -> None:
        if self._bars is None:
            self._write(event_text(event))
            return
        if isinstance(event, Committed):
            self._bars.clear()
        self._bars.print(event_text(event), style="bold yellow" if isinstance(event, Noted) else "")

    def _close(self) -> None:
        if self._bars:
            self._bars.stop()


class JsonTalk(Talk):
    """Talk for a collector: one JSON object a line, with time, level, event and its fields."""

    def __init__(self, stream: TextIO, *, volume: Volume, clock: Clock) -> None:
        """Stamp lines with ``clock``; progress comes at most every 30 seconds here too."""
        super().__init__(stream, volume=volume)
        self._clock = clock
        self._pace = Pace(clock)

    def _say(self, event: Event) -> None:
        if isinstance(event, Fetching | Reading) and not self._pace.take(event):
            return
        stamp = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": stamp, "level": _level_of(event), "event": type(event).__name__.lower()}
        self._write(json.dumps(head | _fields_of(event)))


def _level_of(event: Event) -> str:
    match event:
        case Detail():
            return "debug"
        case Noted(attention=attention) if not attention.code.is_note:
            return "warning"
        case _:
            return "info"


def _fields_of(event: Event) -> Json:
    match event:
        case Planned():
            return plan_document(event.plan)
        case Committed():
            return applied_document(event.applied)
        case Noted():
            about = attention_document(event.attention)
            return {name: about[name] for name in ("code", "message", "hint")}
        case Listing() | Fetching() | Reading() | Building() | Detail():
            return asdict(event)
        case _:
            assert_never(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a phase goes. ``rate`` in bytes a second; ``left`` in seconds, ``None`` if unknown."""

    rate: float
    left: float | None


class Pace:
    """Lets progress through once in 30 seconds, the first time 30 seconds after the start."""

    def __init__(self, clock: Clock) -> None:
        """Start to count now."""
        self._clock = clock
        self._said = clock()
        self._began: dict[tuple[type, str], tuple[datetime, int]] = {}

    def take(self, event: Fetching | Reading) -> Speed | None:
        """Give the speed of the event's phase, or ``None`` while it is too early to say anything.

        A phase begins where it was first heard of: a download that is resumed is not fast.
        """
        now = self._clock()
        began, done = self._began.setdefault((type(event), event.file), (now, event.done))
        if 0 <= (now - self._said).total_seconds() < PROGRESS_SECONDS:  # below 0: the clock was set back
            return None
        self._said = now
        seconds = (now - began).total_seconds()
        rate = (event.done - done) / seconds if seconds > 0 else 0.0
        left = (event.size - event.done) / rate if rate > 0 and event.size > event.done else None
        return Speed(rate=rate, left=left)


class _Console(Console):
    """A console that falls silent when nobody reads it; rich's own would end the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class _Bars:
    """Progress bars at the bottom of a terminal, one for each phase of the file in hand.

    They are drawn by whoever speaks and not by a thread, which would fail where nobody can catch it.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._clock = clock
        self._drawn = clock()
        self._console = _Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} % {task.fields[amount]}", markup=False),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,  # stdout belongs to data, and must not end up on stderr
            redirect_stderr=False,
            get_time=lambda: clock().timestamp(),
        )
        self._tasks: dict[tuple[type, str], TaskID] = {}

    def show(self, event: Fetching | Reading) -> None:
        self._progress.start()
        phase = type(event), event.file
        if phase not in self._tasks:
            label = f"{_VERBS[type(event)]} {visible(event.file)}"
            self._tasks[phase] = self._progress.add_task(label, completed=event.done, amount="")
        self._progress.update(
            self._tasks[phase], completed=event.done, total=event.size or None, amount=_amount(event)
        )
        if abs(self._clock() - self._drawn) >= REDRAW:
            self._drawn = self._clock()
            self._progress.refresh()

    def print(self, line: str, *, style: str) -> None:
        self._console.print(Text(line, style=style, overflow="fold"))

    def clear(self) -> None:
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()

    def stop(self) -> None:
        self._progress.stop()


_VERBS: dict[type, str] = {Fetching: "fetching", Reading: "reading"}


def _amount(event: Fetching | Reading) -> str:
    return f"{event.records:,} records" if isinstance(event, Reading) else f"of {in_bytes(event.size)}"


def progress_text(event: Fetching | Reading, speed: Speed) -> str:
    """Say in one line how far a phase is: file, share, amount, rate, time left."""
    share = f"{100 * event.done / event.size:.0f} % " if event.size else ""
    left = f", {in_time(speed.left)} left" if speed.left is not None else ""
    what = f"{_VERBS[type(event)]} {visible(event.file)}"
    return f"{what}: {share}{_amount(event)}, {in_bytes(speed.rate)}/s{left}"


def event_text(event: Listing | Planned | Building | Committed | Noted | Detail) -> str:
    """Say one event in one line; text from outside is made visible."""
    match event:
        case Listing():
            text = f"asking {event.source} what it offers"
        case Planned():
            text = _plan_text(event.plan)
        case Building():
            text = f"finishing {event.file}: {event.step}"
        case Committed():
            text = _applied_text(event.applied)
        case Noted():
            text = _attention_text(event.attention)
        case Detail():
            text = event.text
        case _:
            assert_never(event)
    return visible(text)


def _plan_text(plan: Plan) -> str:
    files = files_text(plan.extracts)
    return f"{_ACTIONS[plan.action]}: {plan.reason.words} ({plan.reason}){'; ' if files else ''}{files}"


_ACTIONS = {
    Action.NONE: "nothing to do",
    Action.DELTAS: "to apply",
    Action.FULL: "to build anew",
    Action.BLOCKED: "blocked",
}


def _applied_text(applied: Applied) -> str:
    lasted = f", in {in_time(applied.seconds)}" if applied.seconds >= 1 else ""
    return f"applied {applied.file}: {counts_text((applied,))}{lasted}"


def _attention_text(attention: Attention) -> str:
    mark = "note" if attention.code.is_note else "ATTENTION"
    hint = f" - {attention.hint}" if attention.hint else ""
    return f"{mark} {attention.code}: {attention.message}{hint}"
