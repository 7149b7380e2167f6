"""The text of systemd units and cron files for this machine."""

import os
import pwd
import re
import shlex
import sys
import sysconfig
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from importlib.resources import files as resources
from pathlib import Path
from string import Template
from typing import Final, assert_never

import platformdirs

from smki_sync.config.loader import Config
from smki_sync.config.schema import KEYS
from smki_sync.errors import ConfigError
from smki_sync.sources.base import DirectoryAddress, parse_address


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationPaths:
    """The paths that a scheduled job uses. All are absolute.

    Args:
        program: The command that starts the program, as words.
        user: The user that runs it.
        config: The configuration file.
        own: Directories that belong to the program; the mirror is the first.
        shared: Directories of others in which the program writes a file.
        read: Files and directories that it only reads.
        interpreter: Where Python is.
    """

    program: tuple[str, ...]
    user: str
    config: Path
    own: tuple[Path, ...]
    shared: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    interpreter: tuple[Path, ...] = ()

    @property
    def required(self) -> tuple[Path, ...]:
        """Paths without which the program cannot start."""
        words = tuple(Path(word) for word in self.program if word.startswith("/"))
        return (*words, *(word.resolve() for word in words), *self.interpreter)

    @property
    def all(self) -> tuple[Path, ...]:
        """All paths, as configured and with links resolved."""
        configured = (self.config, *self.own, *self.shared, *self.read)
        return (*configured, *(path.resolve() for path in configured), *self.required)


def installation_paths(config: Config, *, user: str) -> InstallationPaths:
    """Return the paths in a configuration that was loaded from a file only.

    Raises:
        ConfigError: There is no file or no mirror, or as :func:`installation_paths_at`.
    """
    if config.file is None:
        raise ConfigError(
            "No configuration file was found. A scheduled job needs one.",
            hint="Run `smki-sync init` to create one, or name one with --config.",
        )
    return installation_paths_at(
        user=user,
        config=config.file,
        own=[path for path in (config.need_mirror(), config.archive.path) if path],
        shared=[config.metrics.textfile.parent] if config.metrics.textfile else [],
        read=[*_paths_in(config), *_source_directories(config)],
    )


def installation_paths_at(
    *,
    user: str,
    config: Path,
    own: Sequence[Path],
    shared: Sequence[Path] = (),
    read: Sequence[Path] = (),
) -> InstallationPaths:
    """Return the paths for this installation, absolute and without duplicates.

    Raises:
        ConfigError: A path contains characters that units and cron files do not allow.
    """
    written = {_normalised(path) for path in own}
    paths = InstallationPaths(
        program=_program(),
        interpreter=(Path(sys.executable).resolve(), Path(sys.base_prefix)),
        user=user,
        config=_normalised(config),
        own=tuple(dict.fromkeys(map(_normalised, own))),
        shared=tuple(map(_normalised, shared)),
        read=tuple(path for path in map(_normalised, read) if path not in written),
    )
    for path in paths.all:
        if not str(path).isprintable():
            raise ConfigError(
                f"{str(path)!r} contains characters that systemd units and cron files do not allow.",
                hint="Use a path with printable characters.",
            )
    return paths


def _paths_in(config: Config) -> Iterator[Path]:
    """Return every path in the configuration."""
    for name in KEYS:
        section, _, key = name.partition(".")
        value = getattr(getattr(config, section), key)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Path):
                yield item


def _source_directories(config: Config) -> Iterator[Path]:
    for url in (config.repository.url, *config.repository.fallbacks):
        address = parse_address(url) if url else None
        if isinstance(address, DirectoryAddress):
            yield address.path


def _normalised(path: Path) -> Path:
    """Return an absolute path without ``..``, which systemd does not accept."""
    return Path(os.path.normpath(path.absolute()))


def _program() -> tuple[str, ...]:
    """Return the command that starts the program: its script, or Python with the module."""
    script = Path(sysconfig.get_path("scripts"), "smki-sync")
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "smki_sync")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJob:
    """A command that a scheduler runs.

    Args:
        name: Name of its units.
        command: The subcommand.
        about: First comment of the service.
        timing: First comment of the timer.
        description: ``Description=`` of the units.
        often: End of the description of the timer.
        calendar: ``OnCalendar=`` of the timer.
        cron: The fields of crontab(5) after the minute.
        unless: A shell test before the command in a cron file.
        ending: Lines of the service about its exit codes.
    """

    name: str
    command: str
    about: str
    timing: str
    description: str
    often: str
    calendar: str
    cron: str
    unless: str = ""
    ending: str = ""


SYNC: Final = ScheduledJob(
    name="smki-sync",
    command="sync",
    about="The daily sync.",
    timing="Once a day, at a random time that stays the same for this machine. A run that was missed while"
    " the machine was off starts later.",
    description="Bring the mirror of the SMKI Repository up to date",
    often="daily",
    calendar="*-*-* 06:00:00 UTC",
    cron="6 * * *",
    ending="# 3: the mirror is usable but not up to date. The report says why, and the metrics contain the"
    " exit code.\nSuccessExitStatus=3\n",
)
DRILL: Final = ScheduledJob(
    name="smki-sync-drill",
    command="restore --rehearse",
    about="The recovery drill: a restore into a temporary directory, with a report.",
    timing="Once a month, on its first Saturday, at another time than the daily sync.",
    description="Rehearse the recovery of the mirror of the SMKI Repository",
    often="monthly",
    calendar="Sat *-*-01..07 12:00:00 UTC",
    cron="12 1-7 * *",
    unless='[ "$(date +\\%u)" = 6 ] && ',
    ending="# It downloads a full unless --source names an archive: agree the day with the DCC"
    " (Appendix P).\n",
)


_PLAIN: Final = re.compile(r"[\w./:@+,=-]+", re.ASCII)


def unit_word(text: str) -> str:
    """Return a word for a value in a unit (systemd.syntax): quoted if necessary, without specifiers."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if _PLAIN.fullmatch(escaped) else f'"{escaped}"'


def unit_command(words: Iterable[str]) -> str:
    """Return a command line for a unit (systemd.service). Nothing in it is expanded as a variable."""
    program, *rest = words
    return " ".join((unit_word(program), *(unit_word(word.replace("$", "$$")) for word in rest)))


def cron_command(words: Iterable[str]) -> str:
    """Return a command for a crontab (crontab(5)), quoted for the shell, with ``%`` escaped."""
    return shlex.join(words).replace("%", "\\%")


_STATE: Final = Path("/var/lib")
_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
"""Directories that ``ProtectHome=`` hides (systemd.exec)."""
_TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - nothing is written there
"""Directories that ``PrivateTmp=`` hides (systemd.exec)."""
_STATE_NAME: Final = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_AFTER: Final = """\
Wants=network-online.target
After=network-online.target nss-lookup.target time-sync.target
"""


class Scope(Enum):
    """The service manager that runs a unit: that of the machine or of a user."""

    SYSTEM = auto()
    USER = auto()


def service_fields(scope: Scope, paths: InstallationPaths, words: Sequence[str]) -> dict[str, str]:
    """Return the fields of the service template that depend on the machine."""
    system = scope is Scope.SYSTEM
    return {
        "after": _AFTER if system else "",
        "command": unit_command(words),
        "user": f"User={unit_word(paths.user)}\n" if system else "",
        "writable": "\n".join(_writable(scope, paths)),
        "homes": "read-only" if _any_below(paths, _HOMES) else "yes",
        "temporary": "no" if _any_below(paths, _TEMPORARY) else "yes",
    }


def _writable(scope: Scope, paths: InstallationPaths) -> Iterator[str]:
    """Return the lines that allow writing. systemd creates directories below ``/var/lib`` itself."""
    states = [name for path in paths.own if (name := state_name(path))] if scope is Scope.SYSTEM else []
    for name in states:
        yield f"StateDirectory={name}"
    if states:
        yield "StateDirectoryMode=0750"
    for path in (*paths.own, *paths.shared):
        if not (path in paths.own and state_name(path) in states):
            yield f"ReadWritePaths={unit_word(str(path))}"


def state_name(path: Path) -> str | None:
    """Return the name for ``StateDirectory=``, or ``None`` if the path is not below ``/var/lib``."""
    if not path.is_relative_to(_STATE) or path == _STATE:
        return None
    name = str(path.relative_to(_STATE))
    return name if _STATE_NAME.fullmatch(name) else None


def _any_below(paths: InstallationPaths, tops: Sequence[Path]) -> bool:
    resolved = {*tops, *(top.resolve() for top in tops)}  # /home is a link on some machines
    return any(path.is_relative_to(top) for path in paths.all for top in resolved)


SERVICE_USER: Final = "smki-sync"
"""A user that has no other purpose."""


class Scheduler(StrEnum):
    """A program that runs a job once a day."""

    SYSTEMD = "systemd"
    SYSTEMD_USER = "systemd-user"
    CRON = "cron"

    @property
    def directory(self) -> Path:
        """The directory of its files."""
        match self:
            case Scheduler.SYSTEMD:
                return Path("/etc/systemd/system")
            case Scheduler.SYSTEMD_USER:
                return platformdirs.user_config_path("systemd") / "user"
            case Scheduler.CRON:
                return Path("/etc/cron.d")
            case _:
                assert_never(self)

    @property
    def user(self) -> str:
        """The user that runs the job: the present one, or a separate user if root sets it up."""
        number = os.geteuid()
        if number == 0 and self is not Scheduler.SYSTEMD_USER:
            return SERVICE_USER
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:  # as in a container; systemd takes a number too
            return str(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file for a scheduler: its name and its content."""

    name: str
    text: str


def files(scheduler: Scheduler, paths: InstallationPaths, jobs: Sequence[ScheduledJob]) -> tuple[File, ...]:
    """Return the files with which ``scheduler`` runs ``jobs``."""
    match scheduler:
        case Scheduler.SYSTEMD:
            return tuple(_units(Scope.SYSTEM, paths, jobs))
        case Scheduler.SYSTEMD_USER:
            return tuple(_units(Scope.USER, paths, jobs))
        case Scheduler.CRON:
            lines = "\n".join(_line(paths, job) for job in jobs)
            return (File(name="smki-sync", text=filled("cron", lines=lines)),)
        case _:
            assert_never(scheduler)


def _units(scope: Scope, paths: InstallationPaths, jobs: Sequence[ScheduledJob]) -> Iterator[File]:
    for job in jobs:
        words = (*paths.program, *job.command.split(), "--config", str(paths.config), "--log-format", "json")
        text = filled(
            "service",
            about=job.about,
            description=job.description,
            ending=job.ending,
            closed=template("closed"),
            **service_fields(scope, paths, words),
        )
        yield File(name=f"{job.name}.service", text=text)
        text = filled(
            "timer", about=job.timing, description=job.description, often=job.often, calendar=job.calendar
        )
        yield File(name=f"{job.name}.timer", text=text)


def _line(paths: InstallationPaths, job: ScheduledJob) -> str:
    words = (*paths.program, *job.command.split(), "--quiet", "--config", str(paths.config))
    return f"{minute_of(paths)} {job.cron} {paths.user} {job.unless}{cron_command(words)}"


def minute_of(paths: InstallationPaths) -> int:
    """Return a minute that stays the same for a mirror and differs between mirrors."""
    return zlib.crc32(f"{paths.user} {paths.own[0]}".encode()) % 60


def template(name: str) -> str:
    """Return a template without its final newline."""
    path = resources("smki_sync.cli") / "templates" / name
    return path.read_text(encoding="utf-8").rstrip("\n")


def filled(name: str, **fields: str) -> str:
    """Return a template with its fields filled in."""
    return Template(template(name)).substitute(fields) + "\n"
