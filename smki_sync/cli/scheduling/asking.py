"""What somebody at a terminal is asked about running it by itself.

For: ``init`` and ``schedule``. Refuses: to ask where nobody can answer; nothing is then made or replaced.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import typer

from smki_sync.cli.scheduler_units import place_at
from smki_sync.cli.scheduling.files import Scheduler
from smki_sync.cli.scheduling.jobs import SYNC
from smki_sync.cli.scheduling.writing import Schedule, prepare, schedule_of
from smki_sync.sources.address import DirectoryAddress, parse_address
from smki_sync.text import visible


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
    place = place_at(
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
