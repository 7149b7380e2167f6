"""The program as its users meet it: a process of its own, with nothing of the tester's surroundings.

For: tests of the command line. A :class:`Shell` runs one command to its end, starts one that a test wants
to disturb (:class:`Running`), or gives one a terminal. Refuses: to look inside.

Most commands are run to their end in a process that is forked from one with the modules loaded
already, ten times as fast as ``python -m smki_sync``; what a test starts, watches on a terminal or runs
``cold`` is exactly that.
"""

import json
import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from smki_sync.cli import main
from smki_sync.cli.commands import COMMANDS

PATIENCE_SECONDS = 30.0
"""After so long a test gives a process up; no test's verdict depends on it otherwise."""

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(
    ["support.cli", *(one.module for one in COMMANDS.values()), "smki_sync.sources.sftp"]
)

_LEFT_OUT = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", "LANGUAGE", "LC_ALL", "LANG")

Json = dict[str, Any]  # a test asserts on what is in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended. ``raw``: the octets of stdout."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def document(self) -> Json:
        """The one JSON document that stdout holds, and nothing beside it."""
        made = json.loads(self.out)
        assert isinstance(made, dict)
        assert self.out.endswith("}\n")
        return made

    @property
    def error(self) -> Json:
        """The ``error`` of a document that tells of a failure with this exit code."""
        made = self.document
        assert made["outcome"] == "failed"
        assert made["error"]["exit"] == self.code
        error: Json = made["error"]
        return error


def surroundings(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment without settings, colours, a terminal or a home with files in it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _LEFT_OUT and not name.startswith(("SMKI_SYNC_", "XDG_"))
    }
    return {**kept, "HOME": str(home), **(extra or {})}


def command_line(*words: object) -> list[str]:
    return [sys.executable, "-m", "smki_sync", *map(str, words)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Somebody at a prompt: in a directory, on a day, with variables set.

    ``today``: the day of the rehearsal, ``None`` for the calendar's.
    """

    place: Path
    today: date | None = None
    variables: Mapping[str, str] | None = None

    def __call__(self, *words: object, **variables: str) -> Ran:
        """Run one command to its end."""
        with TemporaryDirectory() as aside:
            out, err = Path(aside, "out"), Path(aside, "err")
            said = [str(word) for word in words]
            process = WARM.Process(
                target=_run_here, args=(said, self.place, self.environment(variables), out, err)
            )
            process.start()
            process.join(PATIENCE_SECONDS)
            process.kill()
            process.join()
            assert process.exitcode is not None
            return Ran(code=process.exitcode, raw=out.read_bytes(), err=err.read_text())

    def cold(self, *words: object, **variables: str) -> Ran:
        """Run one command to its end in an interpreter that has loaded nothing yet."""
        with self.start(*words, **variables) as running:
            return running.ending()

    def start(self, *words: object, **variables: str) -> "Running":
        """Start one command, and leave it running."""
        process = subprocess.Popen(
            command_line(*words),
            cwd=self.place,
            env=self.environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return Running(process)

    def on_a_terminal(self, *words: object, typed: str = "", **variables: str) -> Ran:
        """Run one command with a terminal of 80 columns for all that it says; it stands in ``raw``.

        ``typed``: what somebody types there; without it nobody sits at it.
        """
        master, slave = pty.openpty()
        variables = {"TERM": "xterm-256color", "COLUMNS": "80", **variables}
        process = subprocess.Popen(
            command_line(*words),
            cwd=self.place,
            env=self.environment(variables),
            stdin=slave if typed else subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        os.write(master, typed.encode())
        try:
            shown = _all_of(master)
            code = process.wait(PATIENCE_SECONDS)
        finally:
            os.close(master)
            process.kill()
        return Ran(code=code, raw=shown, err="")

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """The variables of a command. They name a configuration file in the directory, if there is one."""
        day = {"SMKI_SYNC_TODAY": self.today.isoformat()} if self.today else {}
        file = self.place / "smki-sync.toml"
        named = {"SMKI_SYNC_CONFIG": str(file)} if file.exists() else {}
        return surroundings(self.place, {**day, **named, **(self.variables or {}), **extra})


def _run_here(words: list[str], place: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    """Make this process the command's."""
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((Path(os.devnull), out, err)):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    main(words)


def _all_of(terminal: int) -> bytes:
    shown = bytearray()
    with suppress(OSError):  # EIO: the other side is closed
        while chunk := os.read(terminal, 1 << 16):
            shown += chunk
    return bytes(shown)


class Running:
    """A command that runs; a context manager that never leaves it behind."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def line(self) -> str:
        """Wait for one line on stderr."""
        assert self._process.stderr is not None
        return self._process.stderr.readline().decode()

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ending(self) -> Ran:
        """Wait for its end."""
        out, err = self._process.communicate(timeout=PATIENCE_SECONDS)
        return Ran(code=self._process.returncode, raw=out, err=err.decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that another process does; a test fails where it never comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
