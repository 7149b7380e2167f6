"""The program in a process of its own in which something happens at the n-th moment that it touches the disk.

For: killing, stopping, and taking the disk away at every commit point there is, and not only at random
instants. A moment is

* ``file``: a file or directory in the mirror directory is opened for writing, made, linked, renamed or
  removed, or a process is started (audit events of the interpreter);
* ``sql``: a statement that begins, commits, creates, attaches or sets something, or moves the position;
* ``disk``: SQLite writes a piece of a file, cuts, flushes or removes one (a VFS between it and the disk);
  what happens at a write happens when half of it is on the disk;
* ``event``: the run tells of something, every 2 KiB of a download among it.

Refuses: to judge. The process is forked from one with the modules loaded already (:mod:`support.cli`).
"""

import os
import signal
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import F_SETPIPE_SZ, fcntl
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

from support.cli import PATIENCE_SECONDS, WARM, wait_until

from resilience.kill.watch import Act, Clock, watch
from smki_sync.cli import main
from smki_sync.sources import directory
from smki_sync.sync import reader_process

KINDS: Final = frozenset({"file", "sql", "disk", "event"})
PYTHON: Final = KINDS - {"disk"}
"""Moments at which Python's own code runs, so that the handler of a signal may."""

_PIPE_BYTES: Final = 1 << 20  # all that a command says must fit: it is read after the end
_CHUNK: Final = 2_048  # octets of a download between two moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """``act`` happens at moment ``at`` (from 1; 0 is never) of those of ``kinds``.

    It is a function of a module, or a partial of one, because it travels. ``apart``: even a small full
    is read by a helper process.
    """

    at: int = 0
    act: Act = os.abort
    kinds: Collection[str] = KINDS
    apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One command, in the parent of the mirror directory ``root``."""

    words: tuple[str, ...]
    root: Path
    variables: Mapping[str, str]
    order: Order = field(default_factory=Order)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """``code`` as ``multiprocessing`` has it, -9 where killed. ``moments``: their names, if it lived."""

    code: int
    out: str
    err: str
    moments: tuple[str, ...]


class Begun:
    """A command that was started; a context manager that never leaves it behind."""

    def __init__(self, task: Task) -> None:
        pipes = [Pipe(duplex=False) for _ in range(3)]
        for mine, _ in pipes:
            fcntl(mine.fileno(), F_SETPIPE_SZ, _PIPE_BYTES)
        self._ends = [mine for mine, _ in pipes]
        theirs = [their for _, their in pipes]
        self._process = WARM.Process(target=_perform, args=(task, *theirs))
        self._process.start()
        for end in theirs:
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        for end in self._ends:
            end.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def tell(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait_until_it_stands_still(self) -> None:
        """Until :func:`stand_still` has taken effect."""
        wait_until(lambda: self._state() in "TZ")
        assert self.stands_still, "it has ended"

    @property
    def stands_still(self) -> bool:
        return self._state() == "T"

    def _state(self) -> str:
        """One letter, as ``ps`` has it."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "Z"

    def ending(self) -> Ended:
        """Wait for its end, and for that of whatever it has started: their streams are the same."""
        self._process.join(PATIENCE_SECONDS)
        assert self._process.exitcode is not None, "it goes on and on"
        out, err, told = (_all_of(end) for end in self._ends)
        return Ended(code=self._process.exitcode, out=out, err=err, moments=tuple(told.splitlines()))


def run(task: Task) -> Ended:
    """Run one command to its end, whatever kind of end."""
    with Begun(task) as begun:
        return begun.ending()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_all() -> None:
    """The whole process group, the helper that reads a full among it."""
    os.killpg(0, signal.SIGKILL)


def stand_still() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _all_of(end: Connection) -> str:
    said = bytearray()
    while chunk := os.read(end.fileno(), 1 << 16):
        said += chunk
    return said.decode()


def _perform(task: Task, out: Connection, err: Connection, told: Connection) -> None:
    """Make this process the command's."""
    os.setsid()
    os.chdir(os.sep)
    os.environ.clear()
    os.environ.update(task.variables)
    sys.argv = ["smki-sync", *task.words]
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    vars(directory)["CHUNK_BYTES"] = _CHUNK
    if task.order.apart:
        vars(reader_process)["APART_BYTES"] = 0
    clock = Clock(kinds=task.order.kinds, at=task.order.at, act=task.order.act)
    kept = watch(clock, str(task.root))
    try:
        main(task.words)
    finally:
        os.write(told.fileno(), "\n".join(clock.names).encode())
        del kept
