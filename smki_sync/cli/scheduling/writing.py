"""Putting the files where a scheduler looks for them, each whole, and none over another without a yes.

For: :func:`prepare`, which asks and refuses, and then :func:`write`. Refuses: to replace a link that leads
nowhere (a unit that is masked), or what somebody did not agree to.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from smki_sync.cli.scheduler_units import Place
from smki_sync.cli.scheduling.files import Scheduler, files
from smki_sync.cli.scheduling.jobs import Job
from smki_sync.cli.scheduling.steps import hindrances, steps
from smki_sync.errors import UsageError
from smki_sync.files import whole_file

Agree = Callable[[Path], bool]
"""Asked whether a file that differs may be replaced."""


class State(StrEnum):
    """What is the matter with a file: not there, there word for word, or there and different."""

    NEW = "new"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One file, and where it belongs."""

    path: Path
    text: str
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What runs the jobs: the files, and what they were made from."""

    scheduler: Scheduler
    place: Place
    jobs: tuple[Job, ...]
    made: tuple[Made, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The commands that are left to do, as the machine is now."""
        return steps(self.scheduler, self.place, self.jobs, [one.path for one in self.made])

    @property
    def hindrances(self) -> tuple[str, ...]:
        """What would keep it from starting, as the machine is now."""
        return tuple(hindrances(self.place))


def schedule_of(scheduler: Scheduler, place: Place, jobs: Sequence[Job], *, into: Path | None) -> Schedule:
    """Make the files for ``into``, or for where the scheduler looks; nothing is written yet."""
    directory = (into or scheduler.directory).absolute()
    texts = {directory / file.name: file.text for file in files(scheduler, place, jobs)}
    made = (Made(path=path, text=text, state=_state(path, text)) for path, text in texts.items())
    return Schedule(scheduler=scheduler, place=place, jobs=tuple(jobs), made=tuple(made))


def prepare(schedule: Schedule, *, agree: Agree) -> None:
    """Refuse now what would fail later; raises ``UsageError``: ``output-exists``, ``output-not-writable``."""
    for one in schedule.made:
        if one.state is State.REPLACED and not (one.path.is_file() and agree(one.path)):
            raise UsageError(
                f"{one.path} exists, differs, and is left as it is",
                hint="Give --force to `smki-sync schedule`, or --into another directory.",
                code="output-exists",
            )
    directory = schedule.made[0].path.parent
    if schedule.scheduler is Scheduler.SYSTEMD_USER:
        with suppress(OSError):  # said below
            directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK | os.X_OK):
        fault = "may not be written by you" if directory.is_dir() else "is no directory"
        raise UsageError(
            f"{directory} {fault}",
            hint="Run `smki-sync schedule` as root, or give --into DIR and copy the files from there.",
            code="output-not-writable",
        )


def write(schedule: Schedule) -> None:
    """Write what is not there as it should be; raises ``UsageError``: ``output-not-writable``."""
    for one in schedule.made:
        if one.state is not State.UNCHANGED:
            with whole_file(one.path, force=one.state is State.REPLACED) as file:
                file.write(one.text)


def _state(path: Path, text: str) -> State:
    if not os.path.lexists(path):
        return State.NEW
    with suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return State.UNCHANGED
    return State.REPLACED
