"""The process that fetches the second half of a file (``python -m smki_sync.fetch.second``).

For: :mod:`.beside`, which starts it, gives it an errand on stdin and reads on stdout how far it is. It has a
session of its own and writes into the same part, at its own offsets, with a journal of its own. Refuses: to
write a byte after whoever started it has gone.
"""

import json
import os
import pickle
import select
import signal
import sys
import time
from typing import BinaryIO, NoReturn

from smki_sync.download.partial_file import Lane
from smki_sync.download.retry import PatientSource
from smki_sync.download.transfer import Haul, OtherFileError
from smki_sync.errors import SmkiSyncError
from smki_sync.events import Event, Fetching
from smki_sync.fetch.errand import WHOLE, Errand
from smki_sync.fetch.pace import Pace
from smki_sync.fetch.terms import Terms
from smki_sync.mirror.connection import named


class Leash:
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


class Teller:
    """Says how many bytes of the lane are there, one number a line."""

    def __init__(self, out: BinaryIO) -> None:
        """Say it on ``out``."""
        self._out = out

    def hear(self, event: Event) -> None:
        """Pass progress on."""
        if isinstance(event, Fetching):
            self.say(event.done)

    def say(self, word: object) -> None:
        """Write one line of JSON."""
        self._out.write(json.dumps(word).encode() + b"\n")
        self._out.flush()


def run(errand: Errand, leash: Leash, teller: Teller) -> None:
    """Fetch the lane; the last line says ``whole``, or why not."""
    try:
        _fetch(errand, leash, teller)
    except SmkiSyncError as error:
        teller.say({"failed": error.message})
    except OtherFileError:
        teller.say({"failed": "the file on offer is another one"})
    else:
        teller.say(WHOLE)


def _fetch(errand: Errand, leash: Leash, teller: Teller) -> None:
    terms = Terms(retry=errand.retry, sleep=leash.sleep, seconds=leash.seconds)
    with named(errand.part):
        handle = os.open(errand.part, os.O_RDWR | os.O_CLOEXEC)
        try:
            lane = Lane(handle, errand.journal, errand.stretch, every=errand.mark_bytes)
            lane.take_up()
            pace = Pace(errand.bandwidth, seconds=leash.seconds, sleep=leash.sleep)
            haul = Haul(extract=errand.extract, lane=lane, terms=terms, hear=teller, pace=pace)
            try:
                with PatientSource(errand.opening, terms=terms, hear=teller) as source:
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
        run(given, Leash(stdin), Teller(pipe))
