"""The command `schedule`: files for systemd or cron, and the commands that remain to be run."""

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
from smki_sync.config.file import FILE_VARIABLE, current_directory, user_config_directory
from smki_sync.config.loader import Config, load
from smki_sync.errors import OutputError, UsageError
from smki_sync.files import atomic_file
from smki_sync.sources.base import DirectoryAddress, parse_address
from smki_sync.text import visible, wrapped


def steps(
    scheduler: Scheduler, paths: InstallationPaths, jobs: Sequence[ScheduledJob], files: Sequence[Path]
) -> tuple[str, ...]:
    """Return the remaining shell commands, in order. ``files``: where the written files are."""
    commands = (*_access_steps(scheduler, paths), *_enable_steps(scheduler, jobs, files))
    return tuple(map(shlex.join, commands))


def _access_steps(scheduler: Scheduler, paths: InstallationPaths) -> Iterator[list[str]]:
    """Return the commands that create the user and give it access to files and directories."""
    owner = _user_number(paths.user)
    if owner is None:
        home = str(paths.own[0])
        yield ["useradd", "--system", "--home-dir", home, "--shell", "/usr/sbin/nologin", paths.user]
    if _is_unreadable(paths.config, owner):  # it stays root's, so that other commands accept it
        yield ["chgrp", paths.user, str(paths.config)]
        yield ["chmod", "0640", str(paths.config)]
    secret = [str(path) for path in paths.read if _is_unreadable(path, owner)]
    if secret:
        yield ["chown", f"{paths.user}:", *secret]
    for path in paths.own:
        yield from _directory_steps(scheduler, path, paths.user, owner)


def _enable_steps(
    scheduler: Scheduler, jobs: Sequence[ScheduledJob], files: Sequence[Path]
) -> Iterator[list[str]]:
    """Return the commands that install the files and enable the timers."""
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


def _directory_steps(scheduler: Scheduler, path: Path, user: str, owner: int | None) -> Iterator[list[str]]:
    if scheduler is Scheduler.SYSTEMD and state_name(path):
        return  # systemd creates it for the user
    if not path.exists():
        options = [] if owner == os.geteuid() else ["-o", user]
        yield ["install", "-d", "-m", "0750", *options, str(path)]
    elif path.stat().st_uid != owner:
        yield ["chown", "-R", f"{user}:", str(path)]


def hindrances(paths: InstallationPaths) -> Iterator[str]:
    """Describe the paths that the service needs to start but its user cannot reach.

    For the mirror, the directory above is enough: a step, or systemd, creates the mirror directory.
    """
    above = (paths.config.parent, *(path.parent for path in paths.own))
    reported = set[Path]()
    for path in (*paths.required, *above):
        closed = next((p for p in (*reversed(path.parents), path) if _is_closed(p, paths.user)), None)
        if closed and closed not in reported:
            reported.add(closed)
            yield f"User {paths.user} cannot reach {path}: {closed} is closed to it."


def _is_closed(path: Path, user: str) -> bool:
    """Whether a file or directory exists that ``user`` cannot enter or execute."""
    try:
        found = path.stat()
        account = pwd.getpwnam(user)
    except OSError:
        return False
    except KeyError:  # the user does not exist yet, so it owns nothing
        return not found.st_mode & stat.S_IXOTH
    if account.pw_uid in {0, found.st_uid}:
        return account.pw_uid != 0 and not found.st_mode & stat.S_IXUSR
    groups = os.getgrouplist(user, account.pw_gid)
    return not found.st_mode & (stat.S_IXGRP if found.st_gid in groups else stat.S_IXOTH)


def _user_number(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _is_unreadable(path: Path, owner: int | None) -> bool:
    """Whether a file exists that belongs to another user and that others cannot read."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid != owner and not found.st_mode & stat.S_IROTH


ConfirmReplace = Callable[[Path], bool]
"""Returns whether a file with other content may be replaced."""


class FileState(StrEnum):
    """What was found at the path of a file: nothing, the same content, or other content."""

    NEW = "new"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """One file, its content and what was found there."""

    path: Path
    text: str
    state: FileState


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The files of a scheduler, and what they were generated from."""

    scheduler: Scheduler
    paths: InstallationPaths
    jobs: tuple[ScheduledJob, ...]
    files: tuple[WrittenFile, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The remaining commands, for the present state of this machine."""
        return steps(self.scheduler, self.paths, self.jobs, [file.path for file in self.files])

    @property
    def hindrances(self) -> tuple[str, ...]:
        """What would stop the service from starting, in the present state of this machine."""
        return tuple(hindrances(self.paths))


def schedule_of(
    scheduler: Scheduler, paths: InstallationPaths, jobs: Sequence[ScheduledJob], *, into: Path | None
) -> Schedule:
    """Generate the files for the directory ``into``, or for that of the scheduler. Writes nothing."""
    directory = (into or scheduler.directory).absolute()
    texts = {directory / file.name: file.text for file in files(scheduler, paths, jobs)}
    written = (WrittenFile(path=path, text=text, state=_state(path, text)) for path, text in texts.items())
    return Schedule(scheduler=scheduler, paths=paths, jobs=tuple(jobs), files=tuple(written))


def check_writable(schedule: Schedule, *, confirm: ConfirmReplace) -> None:
    """Check that all files can be written, before the first one is.

    Raises:
        UsageError: ``output-exists``, or the directory does not exist (``output-not-writable``).
        OutputError: ``output-not-writable``.
    """
    for file in schedule.files:
        if file.state is FileState.REPLACED and not (file.path.is_file() and confirm(file.path)):
            raise UsageError(
                f"{file.path} already exists with other content, and is unchanged.",
                hint="Use --force with `smki-sync schedule`, or --into for another directory.",
                code="output-exists",
            )
    directory = schedule.files[0].path.parent
    if schedule.scheduler is Scheduler.SYSTEMD_USER:
        with suppress(OSError):  # the check below reports it
            directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK | os.X_OK):
        fault = "is not writable for you" if directory.is_dir() else "is not a directory"
        error = OutputError if directory.is_dir() else UsageError
        raise error(
            f"{directory} {fault}.",
            hint="Run `smki-sync schedule` as root, or use --into DIR and copy the files from there.",
            code="output-not-writable",
        )


def write_schedule(schedule: Schedule) -> None:
    """Write the files that do not exist with the same content.

    Raises:
        UsageError: ``output-not-writable``.
    """
    for file in schedule.files:
        if file.state is not FileState.UNCHANGED:
            with atomic_file(file.path, force=file.state is FileState.REPLACED) as stream:
                stream.write(file.text)


def _state(path: Path, text: str) -> FileState:
    if not os.path.lexists(path):
        return FileState.NEW
    with suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return FileState.UNCHANGED
    return FileState.REPLACED


class Scheduling(StrEnum):
    """The scheduler that `init` sets up: one of :class:`Scheduler`, or none."""

    SYSTEMD = Scheduler.SYSTEMD.value
    SYSTEMD_USER = Scheduler.SYSTEMD_USER.value
    CRON = Scheduler.CRON.value
    NONE = "none"


def schedule_for_init(
    option: Scheduling | None,
    into: Path | None,
    *,
    config: Path,
    source: str,
    mirror: Path,
    read: Sequence[Path | None],
) -> Schedule | None:
    """Generate the files for a configuration that is not yet written, or return ``None`` if not wanted.

    Writes nothing.

    Raises:
        UsageError: The files could not be written.
    """
    scheduler = _choose_scheduler(option, into)
    if scheduler is None:
        return None
    address = parse_address(source)
    directory = address.path if isinstance(address, DirectoryAddress) else None
    paths = installation_paths_at(
        user=scheduler.user,
        config=config,
        own=[mirror.expanduser()],
        read=[path.expanduser() for path in (*read, directory) if path],
    )
    schedule = schedule_of(scheduler, paths, [SYNC], into=into)
    check_writable(schedule, confirm=confirm_replace)
    return schedule


def confirm_replace(path: Path) -> bool:
    """Ask whether a file may be replaced. Without a terminal the answer is no."""
    question = f"{visible(str(path))} already exists with other content. Replace it?"
    return _is_interactive() and typer.confirm(question, err=True)


def _choose_scheduler(option: Scheduling | None, into: Path | None) -> Scheduler | None:
    """Return the scheduler of the option, or ask on a terminal of a machine with systemd."""
    if option:
        return None if option is Scheduling.NONE else Scheduler(option.value)
    if not _is_interactive() or not shutil.which("systemctl"):
        return None
    scheduler = Scheduler.SYSTEMD_USER if os.geteuid() else Scheduler.SYSTEMD
    directory = visible(str(into or scheduler.directory))
    question = f"Write a systemd timer for a daily sync to {directory}?"
    return scheduler if typer.confirm(question, err=True) else None


def _is_interactive() -> bool:
    return bool(sys.stdin) and sys.stdin.isatty()


Into = Annotated[
    Path | None,
    typer.Option(
        "--into",
        metavar="DIR",
        help="Directory for the units or the cron file (default: that of the scheduler).",
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
            help="systemd (for the machine), systemd-user (for your user) or cron (/etc/cron.d)"
            " (default: systemd).",
        ),
    ] = Scheduler.SYSTEMD,
    *,
    drill: Annotated[
        bool,
        typer.Option("--drill", help="Also schedule the recovery drill, on the first Saturday of a month."),
    ] = False,
    into: Into = None,
    show: Annotated[bool, typer.Option("--print", help="Print the files and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files without asking.")] = False,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """Write systemd units or a cron line for daily runs.

    Uses the paths of the configuration file and of this installation. Enables nothing: the last lines of the
    output are the commands that remain to be run.
    """
    paths = installation_paths(_load_file_only(config), user=scheduler.user)
    generated = schedule_of(scheduler, paths, (SYNC, DRILL) if drill else (SYNC,), into=into)
    if not show:
        check_writable(generated, confirm=lambda path: force or confirm_replace(path))
        write_schedule(generated)
    if as_json:
        print_json(schedule_document(generated))
    else:
        print_text("\n".join(_contents(generated) if show else schedule_lines(generated)))
    raise typer.Exit(Exit.OK)


def _load_file_only(config: Path | None) -> Config:
    """Load the configuration as the service will: without options and environment."""
    environ = {FILE_VARIABLE: os.environ.get(FILE_VARIABLE, "")}
    return load({"config": config}, environ, cwd=current_directory(), user_dir=user_config_directory())


def schedule_document(schedule: Schedule) -> Json:
    """Return the document of ``schedule --json``. ``state``: what was found before."""
    return {
        "schema": schema_of("schedule"),
        "scheduler": schedule.scheduler.value,
        "user": schedule.paths.user,
        "files": [
            {"path": str(file.path), "state": file.state.value, "text": file.text} for file in schedule.files
        ],
        "steps": list(schedule.steps),
        "hindrances": list(schedule.hindrances),
    }


def schedule_lines(schedule: Schedule) -> Iterator[str]:
    """Return the output for people: what was written, and what remains to be done."""
    for file in schedule.files:
        label = "Exists: " if file.state is FileState.UNCHANGED else "Written:"
        yield f"{label} {visible(str(file.path))}"
    for number, step in enumerate(schedule.steps):
        yield f"{'' if number else 'Run:':<8} {step}"
    for hindrance in schedule.hindrances:
        yield from wrapped(f"LOOK:    {hindrance}", hanging=9)


def _contents(schedule: Schedule) -> Iterator[str]:
    for file in schedule.files:
        yield from (f"# {visible(str(file.path))}", file.text)
