"""The files that make a scheduler run it: their names, and what stands in them.

For: :func:`files`. Refuses: to write them.
"""

import os
import pwd
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files as resources
from pathlib import Path
from string import Template
from typing import Final, assert_never

import platformdirs

from smki_sync.cli.scheduler_units import Place
from smki_sync.cli.scheduling.jobs import Job
from smki_sync.cli.scheduling.quoting import cron_command
from smki_sync.cli.scheduling.units import Scope, service_facts

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


def files(scheduler: Scheduler, place: Place, jobs: Sequence[Job]) -> tuple[File, ...]:
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


def _units(scope: Scope, place: Place, jobs: Sequence[Job]) -> Iterator[File]:
    for job in jobs:
        words = (*place.program, job.command, "--config", str(place.config), "--log-format", "json")
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


def _line(place: Place, job: Job) -> str:
    words = (*place.program, job.command, "--quiet", "--config", str(place.config))
    return f"{minute_of(place)} {job.cron} {place.user} {job.unless}{cron_command(words)}"


def minute_of(place: Place) -> int:
    """A minute that stays the same for a mirror, and is not everybody's."""
    return zlib.crc32(f"{place.user} {place.own[0]}".encode()) % 60


def template(name: str) -> str:
    """The text of one template, without the newline at its end."""
    path = resources("smki_sync.cli.scheduling") / "templates" / name
    return path.read_text(encoding="utf-8").rstrip("\n")


def filled(name: str, **facts: str) -> str:
    """One template with every place in it filled."""
    return Template(template(name)).substitute(facts) + "\n"
