"""Progress bars and lines for people."""

import os
from datetime import UTC, datetime, timedelta
from typing import Final, TextIO, assert_never

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from smki_sync.cli.event_log import (
    Clock,
    EventReporter,
    JsonReporter,
    LineRateLimiter,
    Progress,
    Speed,
    Stopwatch,
    Verbosity,
)
from smki_sync.cli.run_report import counts_text, files_text
from smki_sync.config.settings import LogFormat
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
    Troubled,
    Verifying,
    Waiting,
)
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import AppliedExtract, Notice
from smki_sync.text import bytes_text, duration_text, visible

Said = Listing | Planned | Troubled | Building | Checking | Committed | Logged | Detail
"""Events that are said once, as a line."""


def doing(event: Progress) -> str:
    """Say what is done to which file."""
    match event:
        case Downloading():
            return f"fetching {visible(event.file)}"
        case Reading():
            return f"reading {visible(event.file)}"
        case Verifying():
            return f"verifying {visible(event.file)}"
        case _:
            assert_never(event)


def amount_text(event: Progress) -> str:
    """Say how much there is: of bytes to fetch in all, of records read so far."""
    match event:
        case Downloading():
            return f"of {bytes_text(event.size)}"
        case Reading():
            return f"{event.records:,} records"
        case Verifying():
            return f"of {event.size:,} certificates"
        case _:
            assert_never(event)


def rate_text(event: Progress, speed: Speed) -> str:
    """Say how fast it goes, in bytes or in records a second."""
    match event:
        case Downloading():
            return f"{bytes_text(speed.octets)}/s"
        case Reading():
            return f"{speed.records:,.0f} records/s"
        case Verifying():
            return f"{speed.octets:,.0f} certificates/s"
        case _:
            assert_never(event)


def progress_text(event: Progress, speed: Speed) -> str:
    """Say in one line how far a phase is: file, share, amount, rate, time left."""
    share = f"{100 * event.done / event.size:.0f} % " if event.size else ""
    left = f", {duration_text(speed.left)} left" if speed.left is not None else ""
    return f"{doing(event)}: {share}{amount_text(event)}, {rate_text(event, speed)}{left}"


def event_text(event: Said) -> str:
    """Say one event in one line; text from outside is made visible."""
    match event:
        case Listing():
            text = f"asking {event.source} what it offers"
        case Planned():
            text = _plan_text(event.plan)
        case Resumed() | Restarted() | Retrying() | Waiting():
            text = _trouble_text(event)
        case Building():
            text = f"finishing {event.file}: {event.step}"
        case Checking():
            text = f"checking {event.file}: {event.step}"
        case Committed():
            text = _applied_text(event.applied)
        case Logged():
            text = _attention_text(event.attention)
        case Detail():
            text = event.text
        case _:
            assert_never(event)
    return visible(text)


def _trouble_text(event: Troubled) -> str:
    match event:
        case Resumed():
            return f"going on with {event.file} at {bytes_text(event.done)} of {bytes_text(event.size)}"
        case Restarted():
            return f"fetching {event.file} from its beginning: {event.why}"
        case Retrying():
            tries = f"attempt {event.failed} of {event.attempts}"
            return f"{event.message} ({event.code}, {tries}); trying again in {duration_text(event.pause)}"
        case Waiting():
            return f"{event.message}; looking again in {duration_text(event.pause)}"
        case _:
            assert_never(event)


def _plan_text(plan: Plan) -> str:
    files = files_text(plan.extracts)
    return f"{_ACTIONS[plan.action]}: {plan.reason.words} ({plan.reason}){'; ' if files else ''}{files}"


_ACTIONS = {
    Action.NONE: "nothing to do",
    Action.DELTAS: "to apply",
    Action.FULL: "to build anew",
    Action.BLOCKED: "blocked",
}


def _applied_text(applied: AppliedExtract) -> str:
    lasted = f", in {duration_text(applied.seconds)}" if applied.seconds >= 1 else ""
    return f"applied {applied.file}: {counts_text((applied,))}{lasted}"


def _attention_text(attention: Notice) -> str:
    mark = "note" if attention.code.is_note else "ATTENTION"
    hint = f" - {attention.hint}" if attention.hint else ""
    return f"{mark} {attention.code}: {attention.message}{hint}"


REDRAW: Final = timedelta(seconds=0.1)
"""Time between two drawings of the bars: smooth to the eye, and nothing beside the work."""


class ConsoleReporter(EventReporter):
    """Talk for people: bars on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO, *, volume: Verbosity, clock: Clock) -> None:
        """Look at the stream: bars need a terminal that can move its cursor."""
        super().__init__(stream, volume=volume)
        movable = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bars = Bars(stream, clock) if movable else None
        self._pace = LineRateLimiter(clock)
        self._last: Event | None = None

    def _say(self, event: Event) -> None:
        if isinstance(event, Downloading | Reading | Verifying):
            self._progress(event)
        elif event != self._last:  # a step that is announced again is no news
            self._last = event
            self._line(event)

    def _progress(self, event: Progress) -> None:
        if self._bars:
            self._bars.show(event)
        elif speed := self._pace.take(event):
            self._write(progress_text(event, speed))

    def _line(self, event: Said) -> None:
        if self._bars is None:
            self._write(event_text(event))
            return
        if isinstance(event, Committed):
            self._bars.clear()
        self._bars.print(event_text(event), style="bold yellow" if isinstance(event, Logged) else "")

    def _close(self) -> None:
        if self._bars:
            self._bars.stop()


class _Console(Console):
    """A console that falls silent when nobody reads it; rich's own would end the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Bars:
    """Progress bars at the bottom of a terminal, one for each phase of the file in hand.

    They are drawn by whoever speaks and not by a thread, which would fail where nobody can catch it.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        """Draw on ``stream``, which is a terminal."""
        self._clock = clock
        self._drawn = clock()
        self._watch = Stopwatch(clock)
        self._console = _Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._progress = rich.progress.Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} % {task.fields[amount]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,  # stdout belongs to data, and must not end up on stderr
            redirect_stderr=False,
            get_time=lambda: clock().timestamp(),
        )
        self._tasks: dict[tuple[type, str], TaskID] = {}

    def show(self, event: Progress) -> None:
        """Move the bar of the event's phase."""
        self._progress.start()
        rate = rate_text(event, self._watch.speed(event))
        self._progress.update(
            self._task_of(event),
            completed=event.done,
            total=event.size or None,
            amount=amount_text(event),
            rate=rate,
        )
        if abs(self._clock() - self._drawn) >= REDRAW:
            self._drawn = self._clock()
            self._progress.refresh()

    def _task_of(self, event: Progress) -> TaskID:
        phase = type(event), event.file
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(
                doing(event), completed=event.done, amount="", rate=""
            )
        return self._tasks[phase]

    def print(self, line: str, *, style: str) -> None:
        """Say a line above the bars."""
        self._console.print(Text(line, style=style, overflow="fold"))

    def clear(self) -> None:
        """Forget the bars: their file is done."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()

    def stop(self) -> None:
        """Take the bars away and show the cursor."""
        self._progress.stop()


def event_reporter_on(
    stream: TextIO, *, form: LogFormat, volume: Verbosity, clock: Clock | None = None
) -> EventReporter:
    """Choose how to talk on a stream; ``clock`` is the system's unless given."""
    clock = clock or _utc_now
    match form:
        case LogFormat.TEXT:
            return ConsoleReporter(stream, volume=volume, clock=clock)
        case LogFormat.JSON:
            return JsonReporter(stream, volume=volume, clock=clock)
        case _:
            assert_never(form)


def _utc_now() -> datetime:
    return datetime.now(UTC)
