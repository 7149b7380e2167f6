"""What is left to do by hand, as commands: what needs root, or somebody's decision.

For: the last lines of ``schedule`` and ``init``. Refuses: to run them.
"""

import os
import pwd
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import assert_never

from smki_sync.cli.scheduling.files import Scheduler
from smki_sync.cli.scheduling.jobs import Job
from smki_sync.cli.scheduling.place import Place
from smki_sync.cli.scheduling.units import state_name


def steps(scheduler: Scheduler, place: Place, jobs: Sequence[Job], files: Sequence[Path]) -> tuple[str, ...]:
    """Give the commands, in order; each is one line for a shell. ``files``: where they were put."""
    words = (*_rights(scheduler, place), *_enabling(scheduler, jobs, files))
    return tuple(map(shlex.join, words))


def _rights(scheduler: Scheduler, place: Place) -> Iterator[list[str]]:
    owner = _number_of(place.user)
    if owner is None:
        home = str(place.own[0])
        yield ["useradd", "--system", "--home-dir", home, "--shell", "/usr/sbin/nologin", place.user]
    secret = [str(path) for path in (place.config, *place.read) if _is_closed_to(path, owner)]
    if secret:
        yield ["chown", f"{place.user}:", *secret]
    for path in place.own:
        yield from _ownership(scheduler, path, place.user, owner)


def _enabling(scheduler: Scheduler, jobs: Sequence[Job], files: Sequence[Path]) -> Iterator[list[str]]:
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
