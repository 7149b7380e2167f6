"""What can befall a disk in the middle of a run, done from inside the run; and how it is mended.

For: acts of :class:`kill.moments.Order`. Each is the real thing, not a fault that is made up: a limit on the
size of files, a small file system that is filled, rights that are taken away, a directory that is moved.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, setrlimit

import pytest

NOBODY = 65_534
_PAGE = 4_096


def allow_no_octet_more() -> None:
    """No file takes another octet: what a quota does, and near enough what a full disk does."""
    setrlimit(RLIMIT_FSIZE, (0, RLIM_INFINITY))


def fill(disk: Path) -> None:
    """Leave not one page free."""
    with ballast(disk).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(_PAGE))
        except OSError:
            return


def ballast(disk: Path) -> Path:
    return disk / "ballast"


def deny(mirror: Path) -> None:
    """The directories may not be written any more, and not by root either."""
    for path in _directories(mirror):
        path.chmod(0o500)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def permit(mirror: Path) -> None:
    for path in _directories(mirror):
        path.chmod(0o750)


def _directories(mirror: Path) -> list[Path]:
    return [mirror, mirror / "generations", mirror / "downloads"]


def move_away(mirror: Path) -> None:
    """As where a disk is unmounted by force."""
    mirror.rename(elsewhere(mirror))


def elsewhere(mirror: Path) -> Path:
    return mirror.with_name("elsewhere")


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own; only root may mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    with tempfile.TemporaryDirectory() as path:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let root mount a tmpfs")
        try:
            yield Path(path)
        finally:
            subprocess.run(["umount", path], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)
