"""Talk for people: bars on a terminal, plain lines elsewhere.

For: stderr as a person reads it. Refuses: stdout, which belongs to data; a thread of its own.
"""

import os
from datetime import timedelta
from typing import Final, TextIO

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from smki_sync.cli.console import Said, amount_text, doing, event_text, progress_text, rate_text
from smki_sync.cli.talk.base import Clock, Talk, Volume
from smki_sync.cli.talk.pace import Pace, Progress, Stopwatch
from smki_sync.events import Committed, Event, Fetching, Noted, Reading, Verifying

REDRAW: Final = timedelta(seconds=0.1)
"""Time between two drawings of the bars: smooth to the eye, and nothing beside the work."""


class ConsoleTalk(Talk):
    """Talk for people: bars on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO, *, volume: Volume, clock: Clock) -> None:
        """Look at the stream: bars need a terminal that can move its cursor."""
        super().__init__(stream, volume=volume)
        movable = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bars = Bars(stream, clock) if movable else None
        self._pace = Pace(clock)
        self._last: Event | None = None

    def _say(self, event: Event) -> None:
        if isinstance(event, Fetching | Reading | Verifying):
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
        self._bars.print(event_text(event), style="bold yellow" if isinstance(event, Noted) else "")

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
