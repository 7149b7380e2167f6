"""Reports for people: progress bars on a terminal, lines elsewhere."""

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
    ProgressEvent,
    Speed,
    Stopwatch,
    Verbosity,
)
from smki_sync.cli.run_report import counts_text, files_text, level_text
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

LineEvent = Listing | Planned | Troubled | Building | Checking | Committed | Logged | Detail
"""Events that are reported once, as a line."""


def activity_text(event: ProgressEvent) -> str:
    """Return the activity and the file."""
    match event:
        case Downloading():
            return f"Downloading {visible(event.file)}"
        case Reading():
            return f"Reading {visible(event.file)}"
        case Verifying():
            return f"Verifying {visible(event.file)}"
        case _:
            assert_never(event)


def amount_text(event: ProgressEvent) -> str:
    """Return the amount: bytes or certificates in total, or records read so far."""
    match event:
        case Downloading():
            return f"of {bytes_text(event.size)}"
        case Reading():
            return f"{event.records:,} records"
        case Verifying():
            return f"of {event.size:,} certificates"
        case _:
            assert_never(event)


def rate_text(event: ProgressEvent, speed: Speed) -> str:
    """Return the rate, in bytes, records or certificates per second."""
    match event:
        case Downloading():
            return f"{bytes_text(speed.amount)}/s"
        case Reading():
            return f"{speed.records:,.0f} records/s"
        case Verifying():
            return f"{speed.amount:,.0f} certificates/s"
        case _:
            assert_never(event)


def progress_text(event: ProgressEvent, speed: Speed) -> str:
    """Return the progress of a phase in one line: file, percentage, amount, rate, time left."""
    share = f"{100 * event.done / event.size:.0f} % " if event.size else ""
    left = f", {duration_text(speed.left)} left" if speed.left is not None else ""
    return f"{activity_text(event)}: {share}{amount_text(event)}, {rate_text(event, speed)}{left}"


def event_text(event: LineEvent) -> str:
    """Return one event as one line; control characters are escaped."""
    match event:
        case Listing():
            text = f"Listing {event.source}"
        case Planned():
            text = _plan_text(event.plan)
        case Resumed() | Restarted() | Retrying() | Waiting():
            text = _download_event_text(event)
        case Building():
            text = f"{event.file}: {event.step}"
        case Checking():
            text = f"Checking {event.file}: {event.step}"
        case Committed():
            text = _applied_text(event.applied)
        case Logged():
            text = _notice_text(event.attention)
        case Detail():
            text = event.text
        case _:
            assert_never(event)
    return visible(text)


def _download_event_text(event: Troubled) -> str:
    match event:
        case Resumed():
            return f"Resuming {event.file} at {bytes_text(event.done)} of {bytes_text(event.size)}"
        case Restarted():
            return f"Restarting the download of {event.file}: {event.why}"
        case Retrying():
            attempt = f"attempt {event.failed} of {event.attempts}"
            return f"{event.message} ({event.code}, {attempt}). Next attempt in {duration_text(event.pause)}."
        case Waiting():
            return f"{event.message}. Next check in {duration_text(event.pause)}."
        case _:
            assert_never(event)


def _plan_text(plan: Plan) -> str:
    files = files_text(plan.extracts)
    return f"{_ACTIONS[plan.action]}: {plan.reason.words} ({plan.reason}){'; ' if files else ''}{files}"


_ACTIONS = {
    Action.NONE: "Nothing to do",
    Action.DELTAS: "Applying deltas",
    Action.FULL: "Full resync",
    Action.BLOCKED: "Blocked",
}


def _applied_text(applied: AppliedExtract) -> str:
    duration = f", in {duration_text(applied.seconds)}" if applied.seconds >= 1 else ""
    return f"Applied {applied.file}: {counts_text((applied,))}{duration}"


def _notice_text(notice: Notice) -> str:
    hint = f" {notice.hint}" if notice.hint else ""
    return f"{level_text(notice)} {notice.code}: {notice.message}{hint}"


REDRAW: Final = timedelta(seconds=0.1)
"""Minimum time between two updates of the bars."""


class ConsoleReporter(EventReporter):
    """Reports for people: progress bars on a terminal, lines elsewhere."""

    def __init__(self, stream: TextIO, *, volume: Verbosity, clock: Clock) -> None:
        """Use bars if the stream is a terminal that can move its cursor."""
        super().__init__(stream, volume=volume)
        movable = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bars = ProgressBars(stream, clock) if movable else None
        self._limiter = LineRateLimiter(clock)
        self._last: Event | None = None

    def _report(self, event: Event) -> None:
        if isinstance(event, Downloading | Reading | Verifying):
            self._progress(event)
        elif event != self._last:  # a repeated step is not reported again
            self._last = event
            self._line(event)

    def _progress(self, event: ProgressEvent) -> None:
        if self._bars:
            self._bars.show(event)
        elif speed := self._limiter.take(event):
            self._write(progress_text(event, speed))

    def _line(self, event: LineEvent) -> None:
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
    """A console that stops writing if its pipe is closed; the one of rich would end the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class ProgressBars:
    """Progress bars at the bottom of a terminal, one for each phase of the current file.

    They are drawn by the caller and not by a thread, whose errors could not be caught.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        """Draw on ``stream``, a terminal."""
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
            redirect_stdout=False,  # stdout is for data
            redirect_stderr=False,
            get_time=lambda: clock().timestamp(),
        )
        self._tasks: dict[tuple[type, str], TaskID] = {}

    def show(self, event: ProgressEvent) -> None:
        """Update the bar of the phase of this event."""
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

    def _task_of(self, event: ProgressEvent) -> TaskID:
        phase = type(event), event.file
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(
                activity_text(event), completed=event.done, amount="", rate=""
            )
        return self._tasks[phase]

    def print(self, line: str, *, style: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(line, style=style, overflow="fold"))

    def clear(self) -> None:
        """Remove the bars of a file that is done."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()

    def stop(self) -> None:
        """Remove the bars and show the cursor."""
        self._progress.stop()


def event_reporter_on(
    stream: TextIO, *, form: LogFormat, volume: Verbosity, clock: Clock | None = None
) -> EventReporter:
    """Return the reporter for a stream; ``clock`` is the system clock by default."""
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
