"""The second half of a large file, fetched by another process while this one fetches the first.

For: lines and servers on which one session does not use what there is; off unless asked for, because a
server may count sessions. Where the other process cannot go on, this one fetches its half after its own.
Refuses: to leave a process behind.
"""

import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from smki_sync.fetch.errand import WHOLE, Errand

STOP_SECONDS: Final = 10.0
"""How long the other process may take to make durable what it has, before it is killed."""

_READ: Final = 1 << 16


class Beside:
    """The other process. A context manager: leaving ends it.

    ``done``: bytes of its lane that are there. ``why``: what kept it from fetching all of it.
    """

    def __init__(self, errand: Errand) -> None:
        """Start it."""
        command = [sys.executable, "-P", "-m", "smki_sync.fetch.second"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._said = b""
        self.done = 0
        self.whole = False
        self.why = "it ended without a word"
        octets = pickle.dumps(errand)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead already, which shows below
            self._process.stdin.write(len(octets).to_bytes(8) + octets)
            self._process.stdin.flush()

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End it, with what it has made durable."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def glance(self) -> int:
        """How many bytes it has by now, without waiting."""
        self._hear(waiting=False)
        return self.done

    def follow(self) -> bool:
        """Wait until it has said more; whether it goes on."""
        return self._hear(waiting=True)

    def _hear(self, *, waiting: bool) -> bool:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        os.set_blocking(pipe, waiting)
        try:
            heard = os.read(pipe, _READ)
        except BlockingIOError:
            return True
        *lines, self._said = (self._said + heard).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(heard)

    def _take(self, word: object) -> None:
        match word:
            case int():
                self.done = word
            case str():
                self.whole = word == WHOLE
            case {"failed": str(why)}:
                self.why = why
            case _:
                raise AssertionError(f"no such word: {word!r}")
