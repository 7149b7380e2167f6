"""What is durable of a part, written down: one line for what it is, one for each mark.

For: a download that goes on after a cut, a kill or a reboot. Each mark gives the SHA-256 of all bytes before
it, so that what the disk lost is found by reading back. Lines are appended and made durable; a last line cut
by a crash does not count. Refuses: to be written before the bytes that it vouches for are durable; the
caller sees to that.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from smki_sync.mirror.directory import sync_directory
from smki_sync.model.extract import Extract


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
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
        return (self.name, self.size, self.modified) == (extract.name, extract.size, stamp_of(extract))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Everything from the stretch's start to offset ``at`` is durable and has this SHA-256.

    ``pieces``: runs or connections in which it was fetched.
    """

    at: int
    sha256: str
    pieces: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What a journal says."""

    stretch: Stretch
    marks: tuple[Mark, ...]


def stamp_of(extract: Extract) -> str | None:
    """Write an extract's time as journals and cards do."""
    return extract.modified.isoformat() if extract.modified else None


def read_entries(path: Path) -> Entries | None:
    """Read a journal as far as it is sound; ``None`` where it says nothing."""
    try:
        first, *rest = path.read_bytes().split(b"\n")
        stretch = msgspec.json.decode(first, type=Stretch)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return Entries(
        stretch=stretch, marks=tuple(_marks(rest[:-1]))
    )  # behind the last line end: nothing, or a torn line


def _marks(lines: Iterable[bytes]) -> Iterator[Mark]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Mark)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return


def write_entries(path: Path, stretch: Stretch, marks: Iterable[Mark]) -> None:
    """Write a journal anew, whole or not at all, durably."""
    aside = path.with_name(path.name + ".next")
    with aside.open("wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in (stretch, *marks))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_directory(path.parent)


def append_mark(path: Path, mark: Mark) -> None:
    """Add one mark, durably."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(mark) + b"\n")
        file.flush()
        os.fsync(file.fileno())
