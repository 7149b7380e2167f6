"""Second session for the second half."""

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NoReturn, Self

from smki_sync.download.partial_file import ByteRange, RangeWriter
from smki_sync.download.retry import (
    DownloadOptions,
    RateLimiter,
    ReconnectingSource,
    RetryPolicy,
    SourceConfig,
)
from smki_sync.download.transfer import DifferentFileError, RangeTransfer
from smki_sync.errors import SmkiSyncError
from smki_sync.events import Downloading, Event
from smki_sync.mirror.connection import disk_errors
from smki_sync.model.extract import Extract

WHOLE: Final = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelRequest:
    """What to fetch, where to, and on which terms."""

    opening: SourceConfig
    extract: Extract
    part: Path
    journal: Path
    stretch: ByteRange
    mark_bytes: int
    bandwidth: int
    retry: RetryPolicy


class ParentPipe:
    """The pipe from whoever started us: its end means that nobody waits for us any more."""

    def __init__(self, pipe: BinaryIO) -> None:
        """Hold on to it."""
        self._pipe = pipe

    def sleep(self, seconds: float) -> None:
        """Wait, but not after the end."""
        readable, _, _ = select.select([self._pipe], [], [], seconds)
        if readable:
            raise SystemExit(1)

    def seconds(self) -> float:
        """A clock that looks at the leash: whoever asks for the time is about to write."""
        self.sleep(0)
        return time.monotonic()


class ProgressWriter:
    """Says how many bytes of the lane are there, one number a line."""

    def __init__(self, out: BinaryIO) -> None:
        """Say it on ``out``."""
        self._out = out

    def hear(self, event: Event) -> None:
        """Pass progress on."""
        if isinstance(event, Downloading):
            self.say(event.done)

    def say(self, word: object) -> None:
        """Write one line of JSON."""
        self._out.write(json.dumps(word).encode() + b"\n")
        self._out.flush()


def run(errand: ParallelRequest, leash: ParentPipe, teller: ProgressWriter) -> None:
    """Fetch the lane; the last line says ``whole``, or why not."""
    try:
        _fetch(errand, leash, teller)
    except SmkiSyncError as error:
        teller.say({"failed": error.message})
    except DifferentFileError:
        teller.say({"failed": "the file on offer is another one"})
    else:
        teller.say(WHOLE)


def _fetch(errand: ParallelRequest, leash: ParentPipe, teller: ProgressWriter) -> None:
    terms = DownloadOptions(retry=errand.retry, sleep=leash.sleep, seconds=leash.seconds)
    with disk_errors(errand.part):
        handle = os.open(errand.part, os.O_RDWR | os.O_CLOEXEC)
        try:
            lane = RangeWriter(handle, errand.journal, errand.stretch, every=errand.mark_bytes)
            lane.take_up()
            pace = RateLimiter(errand.bandwidth, seconds=leash.seconds, sleep=leash.sleep)
            haul = RangeTransfer(extract=errand.extract, lane=lane, terms=terms, hear=teller, pace=pace)
            try:
                with ReconnectingSource(errand.opening, terms=terms, hear=teller) as source:
                    haul.run(source)
            finally:
                lane.mark()
        finally:
            os.close(handle)


def _stop(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; who started us decides
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as does a terminal that is closed
    signal.signal(signal.SIGTERM, _stop)
    stdin = os.fdopen(0, "rb", buffering=0, closefd=False)
    length = int.from_bytes(stdin.read(8))
    octets = b""
    while len(octets) < length:
        octets += stdin.read(length - len(octets))
    given = pickle.loads(octets)  # noqa: S301 - written a moment ago by the process that started this one
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe:
        run(given, ParentPipe(stdin), ProgressWriter(pipe))


STOP_SECONDS: Final = 10.0
"""How long the other process may take to make durable what it has, before it is killed."""

_READ: Final = 1 << 16


class ParallelDownload:
    """The other process. A context manager: leaving ends it.

    ``done``: bytes of its lane that are there. ``why``: what kept it from fetching all of it.
    """

    def __init__(self, errand: ParallelRequest) -> None:
        """Start it."""
        command = [sys.executable, "-P", "-m", "smki_sync.download.parallel"]
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
