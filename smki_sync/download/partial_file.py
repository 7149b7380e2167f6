"""NAME.part and its checkpoints: write a download, and resume it after checking what is on disk."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from smki_sync.files import disk_errors, open_own_file, sync_directory
from smki_sync.model.extract import Extract

PART: Final = ".part"
CHECKPOINTS: Final = ".part.journal"

_OLD_CHECKPOINTS: Final = ".part.journal2"
"""Written by versions that downloaded a large file in two sessions."""

OVERLAP_BYTES: Final = 64 << 10
"""Bytes before the resume position that are downloaded again and compared. The gzip data of another file
differs within a few of them."""

_READ_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 512  # the unit of st_blocks (POSIX, stat.h)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """A remote file as it was listed. ``modified``: ISO 8601; ``None`` if the source does not state it."""

    name: str
    size: int
    modified: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Every byte before offset ``at`` is durable, and all of them together have this SHA-256.

    ``pieces``: the number of runs or connections in which they arrived.
    """

    at: int
    sha256: str
    pieces: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoints:
    """The content of a checkpoint file, as far as it is readable."""

    version: FileVersion
    checkpoints: tuple[Checkpoint, ...]


def version_of(extract: Extract) -> FileVersion:
    """Describe the listed file that a partial file belongs to."""
    return FileVersion(name=extract.name, size=extract.size, modified=timestamp_of(extract))


def timestamp_of(extract: Extract) -> str | None:
    """Write the time of an extract as checkpoint files and sidecars store it."""
    return extract.modified.isoformat() if extract.modified else None


def read_checkpoints(path: Path) -> StoredCheckpoints | None:
    """Read a checkpoint file up to its first unreadable line; ``None`` if there is no usable file."""
    try:
        first, *rest = path.read_bytes().split(b"\n")
        version = msgspec.json.decode(first, type=FileVersion)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    complete = rest[:-1]  # after the last line end: nothing, or a line that was not written completely
    return StoredCheckpoints(version=version, checkpoints=tuple(_decoded(complete)))


def _decoded(lines: Iterable[bytes]) -> Iterator[Checkpoint]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Checkpoint)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return


def write_checkpoints(path: Path, version: FileVersion, checkpoints: Iterable[Checkpoint]) -> None:
    """Replace a checkpoint file atomically and durably."""
    temporary = path.with_name(path.name + ".next")
    with os.fdopen(open_own_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in (version, *checkpoints))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def append_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Add one checkpoint, durably."""
    with os.fdopen(open_own_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
        file.write(msgspec.json.encode(checkpoint) + b"\n")
        file.flush()
        os.fsync(file.fileno())


class StreamingDigest(Protocol):
    """A hash object of :mod:`hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add bytes."""

    def copy(self) -> Self:
        """Return an independent copy."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far."""


class PartialFile:
    """The open partial file of one extract. A context manager; leaving writes a checkpoint.

    ``replaced``: whether a partial file of another version was found and deleted. ``position``: the offset
    of the next byte. ``durable``: the offset of the last checkpoint. ``pieces``: the number of runs or
    connections so far. Methods raise ``OSError``; the caller translates it.
    """

    def __init__(self, path: Path, extract: Extract, *, checkpoint_bytes: int) -> None:
        """Open or create it. ``path``: of the complete file. ``checkpoint_bytes``: between checkpoints."""
        self.path = partial_path(path)
        self.version = version_of(extract)
        self._complete_path = path
        self._checkpoint_path = path.with_name(path.name + CHECKPOINTS)
        self._checkpoint_bytes = checkpoint_bytes
        stored = read_checkpoints(self._checkpoint_path)
        self.replaced = stored is not None and stored.version != self.version
        if self.replaced or not self.path.exists():
            discard_partial_file(path)
        self._handle = open_own_file(self.path, os.O_RDWR | os.O_CREAT)
        self._reset()

    def __enter__(self) -> Self:
        """Nothing is read before :meth:`resume`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Write a checkpoint, unless the file has been published, and close."""
        try:
            if self.path.exists():
                self.checkpoint()
        finally:
            os.close(self._handle)

    def _reset(self) -> None:
        self.position = self.durable = 0
        self.pieces = 1
        self._digest: StreamingDigest = sha256()
        self._has_checkpoints = False

    @property
    def complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.position == self.version.size

    @property
    def has_checkpoints(self) -> bool:
        """Whether an earlier run has left checkpoints to read back."""
        return self._checkpoint_path.exists()

    def resume(self) -> None:
        """Continue from the last checkpoint whose bytes are still on disk; cut off everything after it."""
        stored = read_checkpoints(self._checkpoint_path)
        valid = []
        for checkpoint in stored.checkpoints if stored else ():
            if not self._read_back(checkpoint):
                break
            valid.append(checkpoint)
        if valid:
            self.durable, self.pieces = self.position, valid[-1].pieces + 1
            write_checkpoints(self._checkpoint_path, self.version, valid)
            self._has_checkpoints = True
        else:
            self.restart()
        os.ftruncate(self._handle, self.position)

    def restart(self) -> None:
        """Forget everything that has arrived."""
        self._checkpoint_path.unlink(missing_ok=True)
        self._reset()

    def _read_back(self, checkpoint: Checkpoint) -> bool:
        """Move to a checkpoint if the bytes up to it have the recorded hash."""
        if not self.position < checkpoint.at <= self.version.size:
            return False
        digest, position = self._digest.copy(), self.position
        while position < checkpoint.at:
            data = os.pread(self._handle, min(_READ_BYTES, checkpoint.at - position), position)
            if not data:
                return False
            digest.update(data)
            position += len(data)
        if digest.hexdigest() != checkpoint.sha256:
            return False
        self._digest, self.position = digest, position
        return True

    def write(self, data: bytes) -> None:
        """Append bytes; write a checkpoint when enough have arrived."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._handle, view, self.position)
            self._digest.update(view[:written])
            self.position += written
            view = view[written:]
        if self.position - self.durable >= self._checkpoint_bytes:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Make the bytes durable, then record them."""
        if self.position == self.durable:
            return
        os.fsync(self._handle)
        checkpoint = Checkpoint(at=self.position, sha256=self._digest.hexdigest(), pieces=self.pieces)
        if self._has_checkpoints:
            append_checkpoint(self._checkpoint_path, checkpoint)
        else:
            write_checkpoints(self._checkpoint_path, self.version, [checkpoint])
            self._has_checkpoints = True
        self.durable = self.position

    def resume_overlap(self) -> bytes:
        """Return the last bytes before the position, to compare with the server; none at the start."""
        length = min(OVERLAP_BYTES, self.position)
        return os.pread(self._handle, length, self.position - length)

    def add_piece(self) -> None:
        """Count one more connection."""
        self.pieces += 1

    def hexdigest(self) -> str:
        """Return the SHA-256 of every byte so far."""
        return self._digest.hexdigest()

    def publish(self) -> None:
        """Rename to the name of the complete file; the caller makes the directory durable."""
        os.fsync(self._handle)
        self.path.replace(self._complete_path)
        discard_partial_file(self._complete_path)


def partial_path(path: Path) -> Path:
    """Return the path of the partial file for the complete file at ``path``."""
    return path.with_name(path.name + PART)


def discard_partial_file(path: Path) -> None:
    """Delete the partial file and the checkpoints for the complete file at ``path``."""
    for ending in (PART, CHECKPOINTS, _OLD_CHECKPOINTS):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def discard_other_partial_files(directory: Path, wanted: Iterable[Extract]) -> tuple[Path, ...]:
    """Delete partial files that are not wanted: one of an old full can have many gigabytes."""
    kept = {extract.name for extract in wanted}
    with disk_errors(directory):
        unwanted = [path for path in sorted(directory.glob(f"*{PART}")) if path.stem not in kept]
        for path in unwanted:
            discard_partial_file(path.with_name(path.stem))
    return tuple(unwanted)


def space_needed(path: Path, extract: Extract) -> int:
    """Return how many bytes the rest of a download needs on disk."""
    if path.exists():
        return 0
    part = partial_path(path)
    with disk_errors(part):
        used = part.stat().st_blocks * _BLOCK_BYTES if part.exists() else 0
    return max(extract.size - used, 0)
