"""NAME.part, its checkpoints and ranges; resume after proof."""

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from smki_sync.download.retry import MIB
from smki_sync.files import open_own_file, sync_directory
from smki_sync.mirror.connection import disk_errors
from smki_sync.model.extract import Extract


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """Which bytes of which file: from ``start`` to ``end``, of ``size``.

    ``modified``: as listed, ISO 8601.
    """

    name: str
    size: int
    modified: str | None
    start: int
    end: int

    def is_of(self, extract: Extract) -> bool:
        """Whether this is a stretch of just the file on offer: same name, size and time."""
        return (self.name, self.size, self.modified) == (extract.name, extract.size, file_stamp(extract))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything from the stretch's start to offset ``at`` is durable and has this SHA-256.

    ``pieces``: runs or connections in which it was fetched.
    """

    at: int
    sha256: str
    pieces: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointEntries:
    """What a journal says."""

    stretch: ByteRange
    marks: tuple[Checkpoint, ...]


def file_stamp(extract: Extract) -> str | None:
    """Write an extract's time as journals and cards do."""
    return extract.modified.isoformat() if extract.modified else None


def read_entries(path: Path) -> CheckpointEntries | None:
    """Read a journal as far as it is sound; ``None`` where it says nothing."""
    try:
        first, *rest = path.read_bytes().split(b"\n")
        stretch = msgspec.json.decode(first, type=ByteRange)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return CheckpointEntries(
        stretch=stretch, marks=tuple(_checkpoints(rest[:-1]))
    )  # behind the last line end: nothing, or a torn line


def _checkpoints(lines: Iterable[bytes]) -> Iterator[Checkpoint]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Checkpoint)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return


def write_entries(path: Path, stretch: ByteRange, marks: Iterable[Checkpoint]) -> None:
    """Write a journal anew, whole or not at all, durably."""
    aside = path.with_name(path.name + ".next")
    with os.fdopen(open_own_file(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in (stretch, *marks))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_directory(path.parent)


def append_checkpoint(path: Path, mark: Checkpoint) -> None:
    """Add one mark, durably."""
    with os.fdopen(open_own_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
        file.write(msgspec.json.encode(mark) + b"\n")
        file.flush()
        os.fsync(file.fileno())


SEAM_BYTES: Final = 64 << 10
"""Bytes before the place where a download goes on that are fetched once more and compared: gz data of
another file is different within a few of them."""

_READ: Final = 1 << 20  # bytes read back at a time


class StreamingDigest(Protocol):
    """A hash in the making, as :mod:`hashlib` has it."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""

    def copy(self) -> Self:
        """Make another that goes its own way."""

    def hexdigest(self) -> str:
        """What it has come to."""


class RangeWriter:
    """``at``: offset in the file of the next byte; ``durable``: of the last mark.

    Raises ``OSError``, which the caller names.
    """

    def __init__(self, handle: int, journal: Path, stretch: ByteRange, *, every: int) -> None:
        """Stand at the start. ``handle``: the open part. ``every``: bytes between two marks."""
        self.stretch = stretch
        self.journal = journal
        self._handle = handle
        self._every = every
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.at = self.durable = self.stretch.start
        self.pieces = 1
        self._digest: StreamingDigest = sha256()
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

    def digest(self, digest: StreamingDigest | None = None) -> StreamingDigest:
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
        mark = Checkpoint(at=self.at, sha256=self._digest.hexdigest(), pieces=self.pieces)
        if self._written:
            append_checkpoint(self.journal, mark)
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

    def _holds(self, mark: Checkpoint) -> bool:
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


PART: Final = ".part"
JOURNALS: Final = (".part.journal", ".part.journal2")
"""Behind the file's name: the journals of the first lane and of the second."""


_BLOCK: Final = 512
"""Bytes in a unit of ``st_blocks`` (POSIX, stat.h)."""


class PartialFile:
    """The open part of one extract. A context manager: leaving marks what has come as durable.

    ``foreign``: whether a part of another file of this name was found, and thrown away.
    Raises ``OSError``, which the caller names.
    """

    def __init__(self, path: Path, extract: Extract, *, every: int, split: bool) -> None:
        """Open it, or begin one. ``path``: of the whole file. ``split``: into two lanes."""
        self.path = open_partial_file(path)
        self._whole = path
        found = [read_entries(path.with_name(path.name + ending)) for ending in JOURNALS]
        self.foreign = any(entries and not entries.stretch.is_of(extract) for entries in found)
        if self.foreign or not self.path.exists():
            discard_partial_file(path)
            found = []
        self._handle = open_own_file(self.path, os.O_RDWR | os.O_CREAT)
        self.lanes = tuple(
            RangeWriter(self._handle, path.with_name(path.name + ending), stretch, every=every)
            for ending, stretch in zip(JOURNALS, _byte_ranges(extract, found, split=split), strict=False)
        )

    def __enter__(self) -> Self:
        """Nothing is read before a lane is taken up."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Mark what has come as durable, unless the part has become the file, and close."""
        try:
            if self.path.exists():
                for lane in self.lanes:
                    lane.mark()
        finally:
            os.close(self._handle)

    @property
    def pieces(self) -> int:
        """In how many runs or connections the bytes came, at most."""
        return max(lane.pieces for lane in self.lanes) + len(self.lanes) - 1

    def take_up(self, lane: RangeWriter) -> None:
        """Go on with a lane where an earlier run left it; what a single lane has no mark for is cut off."""
        lane.take_up()
        if len(self.lanes) == 1:
            os.ftruncate(self._handle, lane.at)

    def hexdigest(self) -> str:
        """SHA-256 of the whole; what a second lane brought is read back."""
        first, *others = self.lanes
        digest = first.digest()
        for lane in others:
            digest = lane.digest(digest)
        return digest.hexdigest()

    def become_whole(self) -> None:
        """Take the file's name; durable once its directory is. The journals have done their duty."""
        os.fsync(self._handle)
        self.path.replace(self._whole)
        discard_partial_file(self._whole)


def open_partial_file(path: Path) -> Path:
    """Where the file at ``path`` is while it is on its way in."""
    return path.with_name(path.name + PART)


def discard_partial_file(path: Path) -> None:
    """Remove what there is of the part of the file at ``path``."""
    for ending in (PART, *JOURNALS):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def discard_other_partial_files(directory: Path, wanted: Iterable[Extract]) -> tuple[Path, ...]:
    """Remove parts of files that nobody wants any more: that of an old full may be many gigabytes."""
    kept = {extract.name for extract in wanted}
    with disk_errors(directory):
        left = [path for path in sorted(directory.glob(f"*{PART}")) if path.stem not in kept]
        for path in left:
            discard_partial_file(path.with_name(path.stem))
    return tuple(left)


def room_left(path: Path, extract: Extract) -> int:
    """Bytes that fetching a file will still take on the disk: its size without what is here of it."""
    if path.exists():
        return 0
    part = open_partial_file(path)
    with disk_errors(part):
        taken = part.stat().st_blocks * _BLOCK if part.exists() else 0
    return max(extract.size - taken, 0)


def _byte_ranges(
    extract: Extract, found: list[CheckpointEntries | None], *, split: bool
) -> Iterator[ByteRange]:
    """Divide the file as its journals do, else as asked for."""
    known = [entries.stretch for entries in found if entries]
    cuts = {edge for stretch in known for edge in (stretch.start, stretch.end)}
    if split and not known:
        cuts.add(extract.size // 2 // MIB * MIB)
    edges = [0, *sorted(cuts - {0, extract.size}), extract.size]
    for start, end in itertools.pairwise(edges):
        yield ByteRange(
            name=extract.name, size=extract.size, modified=file_stamp(extract), start=start, end=end
        )
