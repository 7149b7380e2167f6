"""One stretch of a file being fetched into its part, with what is durable of it.

For: bytes in order from a start to an end, marked durable at intervals: data first, then the journal. A
large file may have two lanes, each written by its own process. Refuses: to trust the disk: what a mark
vouches for is read back and hashed before a later run goes on from there.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol, Self

from smki_sync.fetch.journal import Mark, Stretch, append_mark, read_entries, write_entries

SEAM_BYTES: Final = 64 << 10
"""Bytes before the place where a download goes on that are fetched once more and compared: gz data of
another file is different within a few of them."""

_READ: Final = 1 << 20  # bytes read back at a time


class Digest(Protocol):
    """A hash in the making, as :mod:`hashlib` has it."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""

    def copy(self) -> Self:
        """Make another that goes its own way."""

    def hexdigest(self) -> str:
        """What it has come to."""


class Lane:
    """``at``: offset in the file of the next byte; ``durable``: of the last mark.

    Raises ``OSError``, which the caller names.
    """

    def __init__(self, handle: int, journal: Path, stretch: Stretch, *, every: int) -> None:
        """Stand at the start. ``handle``: the open part. ``every``: bytes between two marks."""
        self.stretch = stretch
        self.journal = journal
        self._handle = handle
        self._every = every
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.at = self.durable = self.stretch.start
        self.pieces = 1
        self._digest: Digest = sha256()
        self._written = False

    @property
    def gained(self) -> int:
        """How many of its bytes have come."""
        return self.at - self.stretch.start

    @property
    def done(self) -> bool:
        """Whether every byte has come."""
        return self.at == self.stretch.end

    def believe(self) -> bool:
        """Take over what another process has made durable; whether that is all of it."""
        entries = read_entries(self.journal)
        if entries is None or entries.stretch != self.stretch or not entries.marks:
            return False
        last = entries.marks[-1]
        if last.at != self.stretch.end:
            return False
        self.at, self.durable, self.pieces = last.at, last.at, last.pieces
        return True

    def digest(self, digest: Digest | None = None) -> Digest:
        """SHA-256 of the lane as it came; behind the ``digest`` of what is before it, read back from disk."""
        if digest is None:
            return self._digest.copy()
        at = self.stretch.start
        while at < self.at:
            data = os.pread(self._handle, min(_READ, self.at - at), at)
            assert data, "a lane has the bytes that it is said to have"
            digest.update(data)
            at += len(data)
        return digest

    def write(self, data: bytes) -> None:
        """Take the next bytes; mark them durable when enough have come."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._handle, view, self.at)
            self._digest.update(view[:written])
            self.at += written
            view = view[written:]
        if self.at - self.durable >= self._every:
            self.mark()

    def mark(self) -> None:
        """Make what has come durable, then say so in the journal."""
        if self.at == self.durable:
            return
        os.fsync(self._handle)
        mark = Mark(at=self.at, sha256=self._digest.hexdigest(), pieces=self.pieces)
        if self._written:
            append_mark(self.journal, mark)
        else:
            write_entries(self.journal, self.stretch, [mark])
            self._written = True
        self.durable = self.at

    def seam(self) -> bytes:
        """The last bytes before the place where it goes on; none at the start."""
        length = min(SEAM_BYTES, self.at - self.stretch.start)
        return os.pread(self._handle, length, self.at - length)

    def next_piece(self) -> None:
        """It goes on after an interruption."""
        self.pieces += 1

    def begin_anew(self) -> None:
        """Forget what has come."""
        self.journal.unlink(missing_ok=True)
        self._begin_anew()

    def take_up(self) -> None:
        """Go on from the last mark whose bytes the disk still holds, and keep no mark beyond it."""
        entries = read_entries(self.journal)
        good = []
        for mark in entries.marks if entries and entries.stretch == self.stretch else ():
            if not self._holds(mark):
                break
            good.append(mark)
        if not good:
            self.begin_anew()
            return
        self.durable, self.pieces = self.at, good[-1].pieces + 1
        write_entries(self.journal, self.stretch, good)
        self._written = True

    def _holds(self, mark: Mark) -> bool:
        """Read back up to a mark; where its hash is right, that is how far the lane is."""
        if not self.at < mark.at <= self.stretch.end:
            return False
        digest, at = self._digest.copy(), self.at
        while at < mark.at:
            data = os.pread(self._handle, min(_READ, mark.at - at), at)
            if not data:
                return False
            digest.update(data)
            at += len(data)
        if digest.hexdigest() != mark.sha256:
            return False
        self._digest, self.at = digest, at
        return True
