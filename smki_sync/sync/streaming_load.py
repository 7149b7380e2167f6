"""One reading of one full that is still coming in: a helper that reads, a thread that writes rows.

For: :class:`Attempt`, which :mod:`.ahead` begins, tells how far the file has come, and ends. The helper reads
the part as far as its bytes are there in order; the thread writes the rows into a generation that nobody
sees. Refuses: to say what is wrong with the file (:attr:`Attempt.failed` is for the log), to outlive who
began it.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Final

from smki_sync.mirror.build import Builder
from smki_sync.mirror.connection import named
from smki_sync.mirror.rows import Batch
from smki_sync.model.certificate import Flag
from smki_sync.model.extract import Extract
from smki_sync.sync.beside import Helper, batches_from, start_helper
from smki_sync.sync.job import Job
from smki_sync.sync.oddities import Oddities
from smki_sync.sync.reader_process import MARK_OCTETS

_TELL_BYTES: Final = 256 << 10
"""Between two words to the helper: it reads as much at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A full that was loaded while it came: the generation so far, what was odd, when it began."""

    builder: Builder
    oddities: Oddities
    began: datetime


class Attempt:
    """One reading of one part, from its first byte. Everything but :meth:`_load` is the main thread's."""

    def __init__(self, job: Job, extract: Extract, part: Path, builder: Builder) -> None:
        """Start reading what there is of ``part``; takes ``builder`` over, unless it raises.

        Its thread and its process are as :func:`~smki_sync.sync.beside.deaf` as who starts them.
        """
        self.oddities = Oddities()
        self.builder = builder
        self.began = job.clock()
        self.failed: Exception | None = None
        self.records = self.done = 0
        self._extract = extract
        self._told = 0
        with ExitStack() as failing:
            self._helper = _start(part, job, extract)
            failing.callback(self._end_helper)
            self._thread = Thread(target=self._load, name="load", daemon=True)
            self._thread.start()
            failing.pop_all()

    def close(self) -> None:
        """End everything, and remove the generation."""
        with self.builder:
            self._end()

    def hand_over(self) -> Loaded:
        """Give the generation away, now that it has every row."""
        self._end()
        return Loaded(builder=self.builder, oddities=self.oddities, began=self.began)

    def tell(self, came: int) -> None:
        """Let the helper read so far. One that has no time to listen hears it from a later word."""
        if came - self._told >= _TELL_BYTES:
            self._write(came, blocking=False)

    def finish(self, size: int) -> None:
        """Let the helper read to the end."""
        self._write(size, blocking=True)
        assert self._helper.stdin is not None
        with suppress(BrokenPipeError):
            self._helper.stdin.close()

    def is_loading(self, *, wait: float = 0) -> bool:
        """Whether there is more to load, after ``wait`` seconds at most."""
        self._thread.join(wait)
        return self._thread.is_alive()

    def _write(self, came: int, *, blocking: bool) -> None:
        assert self._helper.stdin is not None
        pipe = self._helper.stdin.fileno()
        os.set_blocking(pipe, blocking)
        with suppress(BrokenPipeError, BlockingIOError):  # it has ended, as the thread will say; or is behind
            os.write(pipe, came.to_bytes(MARK_OCTETS))
            self._told = came

    def _load(self) -> None:
        try:
            self.builder.take(self._extract, self._batches())
        except Exception as error:  # noqa: BLE001 - whatever it is: the whole file is loaded as any other
            self.failed = error
            self._helper.kill()  # nobody reads it any more, and who tells it must not wait for it

    def _batches(self) -> Iterator[Batch]:
        def tell(records: int, done: int) -> None:
            self.records, self.done = records, done

        name, odd = self._extract.name, self.oddities
        for batch in batches_from(self._helper, name, tell, lambda near: odd.note_limit(name, near)):
            for row in batch.rows:
                if row.flags:
                    odd.note(Flag(row.flags))
            yield batch

    def _end(self) -> None:
        self._helper.kill()  # then the thread's next look at it is its last
        self._thread.join()
        self._end_helper()

    def _end_helper(self) -> None:
        self._helper.kill()
        for pipe in (self._helper.stdin, self._helper.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._helper.wait()


def _start(part: Path, job: Job, extract: Extract) -> Helper:
    """A helper that has the part open, whatever its name becomes."""
    with named(part):
        handle = os.open(part, os.O_RDONLY)
    try:
        path = Path(f"/dev/fd/{handle}")
        return start_helper(path, extract.name, job.limits, following=True, handles=(handle,))
    finally:
        os.close(handle)
