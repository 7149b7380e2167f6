"""A file on its way in: ``NAME.part`` and its journals, until it is whole.

For: opening a part where an earlier run left it, and letting it take the file's name at the end. With two
lanes both halves are written into the one part, so that nothing is copied to join them. Refuses: the
network; a part that does not belong to the file on offer.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from smki_sync.download.partial_file import Lane
from smki_sync.fetch.journal import Entries, Stretch, read_entries, stamp_of
from smki_sync.fetch.terms import MIB
from smki_sync.mirror.connection import named
from smki_sync.model.extract import Extract

PART: Final = ".part"
JOURNALS: Final = (".part.journal", ".part.journal2")
"""Behind the file's name: the journals of the first lane and of the second."""


_BLOCK: Final = 512
"""Bytes in a unit of ``st_blocks`` (POSIX, stat.h)."""


class Part:
    """The open part of one extract. A context manager: leaving marks what has come as durable.

    ``foreign``: whether a part of another file of this name was found, and thrown away.
    Raises ``OSError``, which the caller names.
    """

    def __init__(self, path: Path, extract: Extract, *, every: int, split: bool) -> None:
        """Open it, or begin one. ``path``: of the whole file. ``split``: into two lanes."""
        self.path = part_of(path)
        self._whole = path
        found = [read_entries(path.with_name(path.name + ending)) for ending in JOURNALS]
        self.foreign = any(entries and not entries.stretch.is_of(extract) for entries in found)
        if self.foreign or not self.path.exists():
            discard_part(path)
            found = []
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.lanes = tuple(
            Lane(self._handle, path.with_name(path.name + ending), stretch, every=every)
            for ending, stretch in zip(JOURNALS, _stretches(extract, found, split=split), strict=False)
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

    def take_up(self, lane: Lane) -> None:
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
        discard_part(self._whole)


def part_of(path: Path) -> Path:
    """Where the file at ``path`` is while it is on its way in."""
    return path.with_name(path.name + PART)


def discard_part(path: Path) -> None:
    """Remove what there is of the part of the file at ``path``."""
    for ending in (PART, *JOURNALS):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def discard_other_parts(directory: Path, wanted: Iterable[Extract]) -> tuple[Path, ...]:
    """Remove parts of files that nobody wants any more: that of an old full may be many gigabytes."""
    kept = {extract.name for extract in wanted}
    with named(directory):
        left = [path for path in sorted(directory.glob(f"*{PART}")) if path.stem not in kept]
        for path in left:
            discard_part(path.with_name(path.stem))
    return tuple(left)


def room_left(path: Path, extract: Extract) -> int:
    """Bytes that fetching a file will still take on the disk: its size without what is here of it."""
    if path.exists():
        return 0
    part = part_of(path)
    with named(part):
        taken = part.stat().st_blocks * _BLOCK if part.exists() else 0
    return max(extract.size - taken, 0)


def _stretches(extract: Extract, found: list[Entries | None], *, split: bool) -> Iterator[Stretch]:
    """Divide the file as its journals do, else as asked for."""
    known = [entries.stretch for entries in found if entries]
    cuts = {edge for stretch in known for edge in (stretch.start, stretch.end)}
    if split and not known:
        cuts.add(extract.size // 2 // MIB * MIB)
    edges = [0, *sorted(cuts - {0, extract.size}), extract.size]
    for start, end in itertools.pairwise(edges):
        yield Stretch(name=extract.name, size=extract.size, modified=stamp_of(extract), start=start, end=end)
