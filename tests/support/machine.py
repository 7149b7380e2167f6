"""A machine of its own: systemd as the first process, in namespaces, over this machine's files.

For: units that are really started. Whatever is written there goes to memory, and is gone afterwards; where
namespaces, an overlay or a cgroup are not to be had, the test is skipped. Refuses: to touch this machine.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import pytest

from support.cli import wait_until
from support.needs import need

SYSTEMD: Final = Path("/lib/systemd/systemd")

LAYERS: Final = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
"""
"""This machine's files, with a layer of memory over them, and the file systems that systemd wants."""

BOOT: Final = f"""{LAYERS}
rm -rf lib/systemd/system/*.wants etc/systemd/system/*.wants
printf '[Unit]\\nDefaultDependencies=no\\n' > etc/systemd/system/bare.target
mkdir old
pivot_root . old
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin {SYSTEMD} --system --unit=bare.target \\
  --default-standard-output=null --show-status=false --log-level=crit
"""
"""Nothing is started but systemd itself; a unit that is asked for brings what it needs."""

APART: Final = ("unshare", "-C", "-m", "-p", "-n", "-u", "-i", "--kill-child", "--propagation", "private")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """It runs. ``first``: its first process, as this machine counts."""

    first: int

    def __call__(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run one command there, as root."""
        inside = ["nsenter", "-t", str(self.first), "-m", "-p", "-n", "-u", "-i", "-C"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", *map(str, words)]
        return subprocess.run([*inside, *clean], capture_output=True, text=True, check=False)

    def shell(self, script: str) -> str:
        """Run lines of a shell, each of which has to succeed; what they print."""
        ran = self("sh", "-ec", script)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@contextmanager
def machine(place: Path) -> Iterator[Machine]:
    """Boot it; ``place``: an empty directory to mount on. Skips the test where that cannot be done."""
    if os.geteuid():
        pytest.skip("only root can start a machine of its own")
    for program in ("systemd", "unshare", "nsenter", "useradd"):
        need(program)
    with _cgroup() as group:
        tried = subprocess.run(_started(group, LAYERS, place), capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"no machine of its own can be made here: {tried.stderr.strip()}")
        said = place.with_suffix(".log")
        with said.open("w") as log, _popen(_started(group, BOOT, place), log) as process:
            try:
                yield _booted(process, said)
            finally:
                process.kill()


def _started(group: Path, script: str, place: Path) -> list[str]:
    join = f'echo $$ > "{group}/cgroup.procs"; exec "$@"'
    return ["sh", "-c", join, "sh", *APART, "sh", "-c", script, "sh", str(place)]


@contextmanager
def _cgroup() -> Iterator[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    tops = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"]
    group = next(iter(tops), Path("/sys/fs/cgroup")) / f"smki-sync-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as exc:
        pytest.skip(f"no cgroup can be made here: {exc.strerror}")
    try:
        yield group
    finally:
        wait_until(lambda: _is_gone(group))


def _is_gone(group: Path) -> bool:
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):  # a process in it has yet to end
            Path(path).rmdir()
    return not group.exists()


def _popen(words: list[str], log: TextIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _booted(process: subprocess.Popen[bytes], said: Path) -> Machine:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def first() -> int | None:
        if process.poll() is not None:
            pytest.skip(f"no machine of its own comes up here: {said.read_text().strip()}")
        return next(map(int, children.read_text().split()), None)

    def is_up() -> bool:
        number = first()
        asked = Machine(first=number)("systemctl", "is-system-running") if number else None
        return asked is not None and asked.stdout.strip() in {"running", "degraded"}

    wait_until(is_up)
    made = Machine(first=first() or 0)
    _open_the_way_to(made, Path(sys.executable), Path(sys.executable).resolve(), Path(__file__))
    return made


def _open_the_way_to(there: Machine, *paths: Path) -> None:
    """Let every user reach what a tester may have in a directory of their own."""
    for directory in sorted({parent for path in paths for parent in path.parents}):
        there.shell(f"chmod o+x '{directory}'")
