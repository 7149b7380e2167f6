"""systemd units and cron lines for this machine."""

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
    """Where things are; every path is absolute.

    ``program``: the words that start it. ``user``: as whom it runs. ``own``: directories that are the
    program's alone, the mirror first. ``shared``: directories of others in which it leaves a file.
    ``read``: what it only reads. ``interpreter``: where the Python is that runs it.
    """

    program: tuple[str, ...]
    user: str
    config: Path
    own: tuple[Path, ...]
    shared: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    interpreter: tuple[Path, ...] = ()

    @property
    def started(self) -> tuple[Path, ...]:
        """Every path without which it does not even start."""
        words = tuple(Path(word) for word in self.program if word.startswith("/"))
        return (*words, *(word.resolve() for word in words), *self.interpreter)

    @property
    def everything(self) -> tuple[Path, ...]:
        """Every path that has to be in sight: as it is written, and where its links lead."""
        written = (self.config, *self.own, *self.shared, *self.read)
        return (*written, *(path.resolve() for path in written), *self.started)


def installation_paths(config: Config, *, user: str) -> InstallationPaths:
    """Read the paths off a configuration that came from a file alone.

    Raises ``ConfigError`` where no file was read, it names no mirror, or as :func:`installation_paths_at`.
    """
    if config.file is None:
        raise ConfigError(
            "no configuration file was found, and what runs by itself needs one",
            hint="Write one with `smki-sync init`, or name it with --config.",
        )
    return installation_paths_at(
        user=user,
        config=config.file,
        own=[path for path in (config.need_mirror(), config.archive.path) if path],
        shared=[config.metrics.textfile.parent] if config.metrics.textfile else [],
        read=[*_named_in(config), *_directories_of(config)],
    )


def installation_paths_at(
    *,
    user: str,
    config: Path,
    own: Sequence[Path],
    shared: Sequence[Path] = (),
    read: Sequence[Path] = (),
) -> InstallationPaths:
    """Put a place together for this very installation, each path absolute and once.

    Raises ``ConfigError`` where a path holds what does not print: no unit and no crontab could name it.
    """
    written = {_plain(path) for path in own}
    place = InstallationPaths(
        program=_program(),
        interpreter=(Path(sys.executable).resolve(), Path(sys.base_prefix)),
        user=user,
        config=_plain(config),
        own=tuple(dict.fromkeys(map(_plain, own))),
        shared=tuple(map(_plain, shared)),
        read=tuple(path for path in map(_plain, read) if path not in written),
    )
    for path in place.everything:
        if not str(path).isprintable():
            raise ConfigError(f"{str(path)!r} cannot stand in a unit", hint="Give it a name that prints.")
    return place


def _named_in(config: Config) -> Iterator[Path]:
    """Every path that a key holds."""
    for name in KEYS:
        section, _, key = name.partition(".")
        value = getattr(getattr(config, section), key)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Path):
                yield one


def _directories_of(config: Config) -> Iterator[Path]:
    for url in (config.repository.url, *config.repository.fallbacks):
        address = parse_address(url) if url else None
        if isinstance(address, DirectoryAddress):
            yield address.path


def _plain(path: Path) -> Path:
    """Without ``..``, which systemd refuses."""
    return Path(os.path.normpath(path.absolute()))


def _program() -> tuple[str, ...]:
    """The words that start it from anywhere: its script, or its interpreter."""
    script = Path(sysconfig.get_path("scripts"), "smki-sync")
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "smki_sync")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJob:
    """A command that runs by itself.

    ``name``: of its units. ``ending``: what its exit codes mean to systemd. ``calendar``: as systemd writes
    times; ``cron``: as crontab(5) does, without the minute; ``unless``: a shell's test that comes first.
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
    timing="Once a day, at a time drawn once for this machine; what was missed while it was off is made up"
    " for.",
    description="Bring the mirror of the SMKI Repository up to date",
    often="daily",
    calendar="*-*-* 06:00:00 UTC",
    cron="6 * * *",
    ending="# 3: the mirror can be used and is behind; the report says why. A monitor reads the exit code"
    " from the metrics.\nSuccessExitStatus=3\n",
)
DRILL: Final = ScheduledJob(
    name="smki-sync-drill",
    command="restore --rehearse",
    about="The recovery drill: a restore that touches nothing, with a report.",
    timing="Once a month, on its first Saturday, well away from the daily sync.",
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
    """One word of a unit's value (systemd.syntax): quoted where it must be, no specifier in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if _PLAIN.fullmatch(escaped) else f'"{escaped}"'


def unit_command(words: Iterable[str]) -> str:
    """A command line of a unit (systemd.service): no variable is put in for what looks like one."""
    program, *rest = words
    return " ".join((unit_word(program), *(unit_word(word.replace("$", "$$")) for word in rest)))


def cron_command(words: Iterable[str]) -> str:
    """A command of a crontab (crontab(5)): for the shell, and ``%`` is no line end."""
    return shlex.join(words).replace("%", "\\%")


_STATE: Final = Path("/var/lib")
_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ``ProtectHome=`` hides (systemd.exec)."""
_TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - nothing is written there
"""What ``PrivateTmp=`` hides (systemd.exec)."""
_STATE_NAME: Final = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_AFTER: Final = """\
Wants=network-online.target
After=network-online.target nss-lookup.target time-sync.target
"""


class Scope(Enum):
    """Whose service manager runs it: the machine's, or a user's own."""

    SYSTEM = auto()
    USER = auto()


def service_facts(scope: Scope, place: InstallationPaths, words: Sequence[str]) -> dict[str, str]:
    """What the template of a service is filled with that depends on the machine."""
    system = scope is Scope.SYSTEM
    return {
        "after": _AFTER if system else "",
        "command": unit_command(words),
        "user": f"User={unit_word(place.user)}\n" if system else "",
        "writable": "\n".join(_writable(scope, place)),
        "homes": "read-only" if _any_below(place, _HOMES) else "yes",
        "temporary": "no" if _any_below(place, _TEMPORARY) else "yes",
    }


def _writable(scope: Scope, place: InstallationPaths) -> Iterator[str]:
    """Say what may be written; what systemd can make and hand over by itself is left to it."""
    states = [name for path in place.own if (name := state_name(path))] if scope is Scope.SYSTEM else []
    for name in states:
        yield f"StateDirectory={name}"
    if states:
        yield "StateDirectoryMode=0750"
    for path in (*place.own, *place.shared):
        if not (path in place.own and state_name(path) in states):
            yield f"ReadWritePaths={unit_word(str(path))}"


def state_name(path: Path) -> str | None:
    """Give the name by which systemd makes and owns a directory below ``/var/lib``, if it can."""
    if not path.is_relative_to(_STATE) or path == _STATE:
        return None
    name = str(path.relative_to(_STATE))
    return name if _STATE_NAME.fullmatch(name) else None


def _any_below(place: InstallationPaths, tops: Sequence[Path]) -> bool:
    every = {*tops, *(top.resolve() for top in tops)}  # /home is a link on some machines
    return any(path.is_relative_to(top) for path in place.everything for top in every)


SERVICE_USER: Final = "smki-sync"
"""A user who has nothing else."""


class Scheduler(StrEnum):
    """What can run it once a day."""

    SYSTEMD = "systemd"
    SYSTEMD_USER = "systemd-user"
    CRON = "cron"

    @property
    def directory(self) -> Path:
        """Where it looks for what it runs."""
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
        """As whom it runs: whoever sets it up; a user of its own where root does that for the machine."""
        number = os.geteuid()
        alone = number == 0 and self is not Scheduler.SYSTEMD_USER
        if alone:
            return SERVICE_USER
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:  # as in a container; systemd takes a number too
            return str(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file for a scheduler: its name, and its text."""

    name: str
    text: str


def files(scheduler: Scheduler, place: InstallationPaths, jobs: Sequence[ScheduledJob]) -> tuple[File, ...]:
    """Make what ``scheduler`` needs in order to run ``jobs``."""
    match scheduler:
        case Scheduler.SYSTEMD:
            return tuple(_units(Scope.SYSTEM, place, jobs))
        case Scheduler.SYSTEMD_USER:
            return tuple(_units(Scope.USER, place, jobs))
        case Scheduler.CRON:
            lines = "\n".join(_line(place, job) for job in jobs)
            return (File(name="smki-sync", text=filled("cron", lines=lines)),)
        case _:
            assert_never(scheduler)


def _units(scope: Scope, place: InstallationPaths, jobs: Sequence[ScheduledJob]) -> Iterator[File]:
    for job in jobs:
        words = (*place.program, *job.command.split(), "--config", str(place.config), "--log-format", "json")
        text = filled(
            "service",
            about=job.about,
            description=job.description,
            ending=job.ending,
            closed=template("closed"),
            **service_facts(scope, place, words),
        )
        yield File(name=f"{job.name}.service", text=text)
        text = filled(
            "timer", about=job.timing, description=job.description, often=job.often, calendar=job.calendar
        )
        yield File(name=f"{job.name}.timer", text=text)


def _line(place: InstallationPaths, job: ScheduledJob) -> str:
    words = (*place.program, *job.command.split(), "--quiet", "--config", str(place.config))
    return f"{minute_of(place)} {job.cron} {place.user} {job.unless}{cron_command(words)}"


def minute_of(place: InstallationPaths) -> int:
    """A minute that stays the same for a mirror, and is not everybody's."""
    return zlib.crc32(f"{place.user} {place.own[0]}".encode()) % 60


def template(name: str) -> str:
    """The text of one template, without the newline at its end."""
    path = resources("smki_sync.cli") / "templates" / name
    return path.read_text(encoding="utf-8").rstrip("\n")


def filled(name: str, **facts: str) -> str:
    """One template with every place in it filled."""
    return Template(template(name)).substitute(facts) + "\n"
