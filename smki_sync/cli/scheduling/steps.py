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

from smki_sync.cli.scheduler_units import Place
from smki_sync.cli.scheduling.files import Scheduler
from smki_sync.cli.scheduling.jobs import Job
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


def hindrances(place: Place) -> Iterator[str]:
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
