"""schedule: write, and what is left to do by hand."""

import os
import pwd
import shlex
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import add_command
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import Json, print_json, print_text, schema_of
from smki_sync.cli.scheduler_units import (
    DRILL,
    SYNC,
    InstallationPaths,
    ScheduledJob,
    Scheduler,
    files,
    installation_paths,
    installation_paths_at,
    state_name,
)
from smki_sync.config.file import FILE_VARIABLE, user_config_directory
from smki_sync.config.loader import Config, load
from smki_sync.errors import OutputError, UsageError
from smki_sync.files import atomic_file
from smki_sync.sources.base import DirectoryAddress, parse_address
from smki_sync.text import visible, wrapped


def steps(
    scheduler: Scheduler, place: InstallationPaths, jobs: Sequence[ScheduledJob], files: Sequence[Path]
) -> tuple[str, ...]:
    """Give the commands, in order; each is one line for a shell. ``files``: where they were put."""
    words = (*_rights(scheduler, place), *_enabling(scheduler, jobs, files))
    return tuple(map(shlex.join, words))


def _rights(scheduler: Scheduler, place: InstallationPaths) -> Iterator[list[str]]:
    owner = _number_of(place.user)
    if owner is None:
        home = str(place.own[0])
        yield ["useradd", "--system", "--home-dir", home, "--shell", "/usr/sbin/nologin", place.user]
    secret = [str(path) for path in (place.config, *place.read) if _is_closed_to(path, owner)]
    if secret:
        yield ["chown", f"{place.user}:", *secret]
    for path in place.own:
        yield from _ownership(scheduler, path, place.user, owner)


def _enabling(
    scheduler: Scheduler, jobs: Sequence[ScheduledJob], files: Sequence[Path]
) -> Iterator[list[str]]:
    elsewhere = [str(path) for path in files if path.parent != scheduler.directory]
    if elsewhere:
        yield ["install", "-m", "0644", *elsewhere, str(scheduler.directory)]
    timers = [f"{job.name}.timer" for job in jobs]
    match scheduler:
        case Scheduler.SYSTEMD:
            yield ["systemctl", "daemon-reload"]
            yield ["systemctl", "enable", "--now", *timers]
        case Scheduler.SYSTEMD_USER:
            yield ["systemctl", "--user", "daemon-reload"]
            yield ["systemctl", "--user", "enable", "--now", *timers]
            yield ["loginctl", "enable-linger"]
        case Scheduler.CRON:
            return
        case _:
            assert_never(scheduler)


def _ownership(scheduler: Scheduler, path: Path, user: str, owner: int | None) -> Iterator[list[str]]:
    if scheduler is Scheduler.SYSTEMD and state_name(path):
        return  # systemd makes it, and gives it to the user
    if not path.exists():
        hand_over = [] if owner == os.geteuid() else ["-o", user]
        yield ["install", "-d", "-m", "0750", *hand_over, str(path)]
    elif path.stat().st_uid != owner:
        yield ["chown", "-R", f"{user}:", str(path)]


def hindrances(place: InstallationPaths) -> Iterator[str]:
    """Say what the user of the service cannot reach, and it could not start without.

    The mirror's directory counts with the one above it: the last is made by a step, or by systemd.
    """
    above = (place.config.parent, *(path.parent for path in place.own))
    said = set[Path]()
    for path in (*place.started, *above):
        closed = next((one for one in (*reversed(path.parents), path) if _keeps_out(one, place.user)), None)
        if closed and closed not in said:
            said.add(closed)
            yield f"{path} is out of reach for {place.user}, who may not enter {closed}."


def _keeps_out(path: Path, user: str) -> bool:
    """Whether a file or directory is there that ``user`` may neither enter nor run."""
    try:
        found = path.stat()
        account = pwd.getpwnam(user)
    except OSError:
        return False
    except KeyError:  # yet to be made, so it will own nothing
        return not found.st_mode & stat.S_IXOTH
    if account.pw_uid in {0, found.st_uid}:
        return account.pw_uid != 0 and not found.st_mode & stat.S_IXUSR
    groups = os.getgrouplist(user, account.pw_gid)
    return not found.st_mode & (stat.S_IXGRP if found.st_gid in groups else stat.S_IXOTH)


def _number_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _is_closed_to(path: Path, owner: int | None) -> bool:
    """Whether a file is there, and readable by somebody else alone."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid != owner and not found.st_mode & stat.S_IROTH


Agree = Callable[[Path], bool]
"""Asked whether a file that differs may be replaced."""


class FileState(StrEnum):
    """What is the matter with a file: not there, there word for word, or there and different."""

    NEW = "new"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """One file, and where it belongs."""

    path: Path
    text: str
    state: FileState


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What runs the jobs: the files, and what they were made from."""

    scheduler: Scheduler
    place: InstallationPaths
    jobs: tuple[ScheduledJob, ...]
    made: tuple[WrittenFile, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The commands that are left to do, as the machine is now."""
        return steps(self.scheduler, self.place, self.jobs, [one.path for one in self.made])

    @property
    def hindrances(self) -> tuple[str, ...]:
        """What would keep it from starting, as the machine is now."""
        return tuple(hindrances(self.place))


def schedule_of(
    scheduler: Scheduler, place: InstallationPaths, jobs: Sequence[ScheduledJob], *, into: Path | None
) -> Schedule:
    """Make the files for ``into``, or for where the scheduler looks; nothing is written yet."""
    directory = (into or scheduler.directory).absolute()
    texts = {directory / file.name: file.text for file in files(scheduler, place, jobs)}
    made = (WrittenFile(path=path, text=text, state=_state(path, text)) for path, text in texts.items())
    return Schedule(scheduler=scheduler, place=place, jobs=tuple(jobs), made=tuple(made))


def prepare(schedule: Schedule, *, agree: Agree) -> None:
    """Refuse now what would fail later; raises ``UsageError``: ``output-exists``, ``output-not-writable``."""
    for one in schedule.made:
        if one.state is FileState.REPLACED and not (one.path.is_file() and agree(one.path)):
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
        kind = OutputError if directory.is_dir() else UsageError
        raise kind(
            f"{directory} {fault}",
            hint="Run `smki-sync schedule` as root, or give --into DIR and copy the files from there.",
            code="output-not-writable",
        )


def write(schedule: Schedule) -> None:
    """Write what is not there as it should be; raises ``UsageError``: ``output-not-writable``."""
    for one in schedule.made:
        if one.state is not FileState.UNCHANGED:
            with atomic_file(one.path, force=one.state is FileState.REPLACED) as file:
                file.write(one.text)


def _state(path: Path, text: str) -> FileState:
    if not os.path.lexists(path):
        return FileState.NEW
    with suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return FileState.UNCHANGED
    return FileState.REPLACED


class Scheduling(StrEnum):
    """What shall run the sync by itself: as :class:`Scheduler`, or nothing."""

    SYSTEMD = Scheduler.SYSTEMD.value
    SYSTEMD_USER = Scheduler.SYSTEMD_USER.value
    CRON = Scheduler.CRON.value
    NONE = "none"


def offered(
    given: Scheduling | None,
    into: Path | None,
    *,
    config: Path,
    source: str,
    mirror: Path,
    read: Sequence[Path | None],
) -> Schedule | None:
    """Make the files for a configuration that is yet to be written; ``None`` where they are not wanted.

    Nothing is written. Raises ``UsageError`` for what would keep them from being written.
    """
    scheduler = _chosen(given, into)
    if scheduler is None:
        return None
    address = parse_address(source)
    directory = address.path if isinstance(address, DirectoryAddress) else None
    place = installation_paths_at(
        user=scheduler.user,
        config=config,
        own=[mirror.expanduser()],
        read=[path.expanduser() for path in (*read, directory) if path],
    )
    made = schedule_of(scheduler, place, [SYNC], into=into)
    prepare(made, agree=may_replace)
    return made


def may_replace(path: Path) -> bool:
    """Ask; where nobody can be asked, it may not."""
    question = f"{visible(str(path))} exists and differs. Replace it?"
    return _can_ask() and typer.confirm(question, err=True)


def _chosen(given: Scheduling | None, into: Path | None) -> Scheduler | None:
    """What the option says; without it, what somebody says, where there is a systemd."""
    if given:
        return None if given is Scheduling.NONE else Scheduler(given.value)
    if not _can_ask() or not shutil.which("systemctl"):
        return None
    scheduler = Scheduler.SYSTEMD_USER if os.geteuid() else Scheduler.SYSTEMD
    place = visible(str(into or scheduler.directory))
    question = f"Write a timer of systemd into {place}, which runs the sync once a day?"
    return scheduler if typer.confirm(question, err=True) else None


def _can_ask() -> bool:
    return bool(sys.stdin) and sys.stdin.isatty()


Into = Annotated[
    Path | None,
    typer.Option(
        "--into", metavar="DIR", help="Where units or the cron file go, instead of their own place."
    ),
]


def register_schedule(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app, "schedule", schedule, examples=("smki-sync schedule --print", "smki-sync schedule --into units")
    )


def schedule(
    scheduler: Annotated[
        Scheduler,
        typer.Argument(
            metavar="SCHEDULER",
            help="systemd (the machine's), systemd-user (your own), or cron (/etc/cron.d).",
        ),
    ] = Scheduler.SYSTEMD,
    *,
    drill: Annotated[
        bool, typer.Option("--drill", help="Also the recovery drill, on the first Saturday of a month.")
    ] = False,
    into: Into = None,
    show: Annotated[bool, typer.Option("--print", help="Print the files; write nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that differ, without asking.")
    ] = False,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """Write systemd units or a cron line for daily runs.

    The paths are those of the configuration file and of this installation. The last lines say which
    commands are left to do; nothing is enabled.
    """
    place = installation_paths(_alone(config), user=scheduler.user)
    made = schedule_of(scheduler, place, (SYNC, DRILL) if drill else (SYNC,), into=into)
    if not show:
        prepare(made, agree=lambda path: force or may_replace(path))
        write(made)
    if as_json:
        print_json(schedule_document(made))
    else:
        print_text("\n".join(_printed(made) if show else schedule_lines(made)))
    raise typer.Exit(Exit.OK)


def _alone(config: Path | None) -> Config:
    """The configuration as what runs by itself will see it: no options, and nothing from this environment."""
    environ = {FILE_VARIABLE: os.environ.get(FILE_VARIABLE, "")}
    return load({"config": config}, environ, cwd=Path.cwd(), user_dir=user_config_directory())


def schedule_document(made: Schedule) -> Json:
    """The document of ``schedule --json``; ``state``: what was found before."""
    return {
        "schema": schema_of("schedule"),
        "scheduler": made.scheduler.value,
        "user": made.place.user,
        "files": [{"path": str(one.path), "state": one.state.value, "text": one.text} for one in made.made],
        "steps": list(made.steps),
        "hindrances": list(made.hindrances),
    }


def schedule_lines(made: Schedule) -> Iterator[str]:
    """What was done, and what is left to do, for people."""
    for one in made.made:
        word = "There:  " if one.state is FileState.UNCHANGED else "Written:"
        yield f"{word} {visible(str(one.path))}"
    for number, step in enumerate(made.steps):
        yield f"{'' if number else 'Then:':<8} {step}"
    for hindrance in made.hindrances:
        yield from wrapped(f"LOOK:    {hindrance}", hanging=9)


def _printed(made: Schedule) -> Iterator[str]:
    for one in made.made:
        yield from (f"# {visible(str(one.path))}", one.text)
