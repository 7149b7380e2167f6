"""The mirror directory: which generation is current, where the next one is built, who holds the lock.

    DIR/mirror.db            a symbolic link to the current generation: what readers open
    DIR/generations/*.db     one SQLite file a full; the current one and, as configured, the one before
                             (``-damaged`` beside one marks it for being rebuilt)
    DIR/downloads/           files on their way in (``.part``) and fetched files not yet applied
    DIR/history.db           runs, also failed ones
    DIR/trust.db             which signatures are proven (see proofs.py)
    DIR/lock                 held by flock while a run writes; says who holds it

A new generation is built under a name that says so, and takes over when it is finished and the link is
replaced by a rename. A reader that has the old one open keeps it; SQLite resolves the link, so each
generation has its own ``-wal`` and ``-shm``. Refuses: to delete what the link points to.
"""

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from smki_sync.errors import MirrorDamaged, MirrorError
from smki_sync.mirror.connection import named, no_file

_GENERATION: Final = re.compile(r"(\d{6})\.db")
BUILDING: Final = ".building"
"""Behind the name of a generation that is not finished."""

_SORTING: Final = "etilqs_"
"""How SQLite names the files that it sorts in; they lose their name as soon as they are open."""

_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal", "-damaged")


P = ParamSpec("P")
Found = TypeVar("Found")
_Method = Callable[Concatenate["MirrorDirectory", P], Found]


def _named(method: _Method[P, Found]) -> _Method[P, Found]:
    """Name the faults of the disk that a method meets, wherever it touches it."""

    @wraps(method)
    def careful(directory: "MirrorDirectory", /, *args: P.args, **more: P.kwargs) -> Found:
        with named(directory.root):
            return method(directory, *args, **more)

    return careful


@dataclass(frozen=True, slots=True)
class MirrorDirectory:
    """The paths below one mirror directory, and the moves between them."""

    root: Path

    @property
    def link(self) -> Path:
        """What readers open: ``mirror.db``."""
        return self.root / "mirror.db"

    @property
    def generations(self) -> Path:
        """Where generations lie."""
        return self.root / "generations"

    @property
    def downloads(self) -> Path:
        """Where fetched files wait."""
        return self.root / "downloads"

    @property
    def history(self) -> Path:
        """The record of runs."""
        return self.root / "history.db"

    @property
    def proofs(self) -> Path:
        """The memory of proven signatures."""
        return self.root / "trust.db"

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.root / "lock"

    @property
    def _rooms(self) -> tuple[Path, ...]:
        """The directories that a run writes in."""
        return self.root, self.generations, self.downloads

    @property
    def _next_link(self) -> Path:
        """The link that is about to take over."""
        return self.root / ".mirror.db.next"

    @_named
    def prepare(self) -> None:
        """Create what is missing; private to the owner and its group."""
        for path in self._rooms:
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.check_closed()

    @_named
    def check_closed(self) -> None:
        """Refuse a room in which everybody may write: who can could put another mirror, or a link, there.

        Raises :class:`MirrorError` (``mirror-open``).
        """
        for path in self._rooms:
            if path.is_dir() and path.stat().st_mode & stat.S_IWOTH:
                raise MirrorError(
                    f"everybody may write in {path}, and so replace the mirror",
                    hint=f"See who has, then `chmod o-w {path}`; `smki-sync verify` looks at what is there.",
                    code="mirror-open",
                )

    @_named
    def current(self) -> Path | None:
        """The generation that readers see; ``None`` before the first full.

        Raises :class:`MirrorDamaged` where the link is none or points at nothing, or where damage was found
        earlier.
        """
        target = self.linked()
        if target and _marker(target).exists():
            raise MirrorDamaged(
                f"{target} was found damaged earlier", hint="Run `smki-sync sync`: it builds the mirror anew."
            )
        return target

    @_named
    def linked(self) -> Path | None:
        """The same generation, whether or not it was found damaged."""
        if not self.link.is_symlink():
            if self.link.exists():
                raise MirrorDamaged(
                    f"{self.link} is no link to a generation", hint="Move it away and run `smki-sync sync`."
                )
            return None
        target = self.root / self.link.readlink()
        if not target.is_file():
            raise no_file(self.link)
        return target

    @_named
    def mark_damaged(self, generation: Path | None = None) -> None:
        """Remember that a generation is damaged where a first look does not see it.

        The current one, unless another is given. One that is gone meanwhile needs no mark.
        """
        found = generation or self.link.resolve()
        if found.is_file():
            _marker(found).touch()

    @_named
    def next_generation(self) -> Path:
        """A path that no generation has used and nothing points to."""
        return self.generations / f"{max(self._numbers(), default=0) + 1:06d}.db"

    @_named
    def publish(self, generation: Path) -> None:
        """Let a finished generation take over in one step, durably."""
        aside = self._next_link
        aside.unlink(missing_ok=True)
        aside.symlink_to(generation.relative_to(self.root))
        sync_directory(generation.parent)
        if self.link.exists() and not self.link.is_symlink():  # somebody put a copy there: theirs to judge
            self.link.replace(self.link.with_name("mirror.db.set-aside"))
        aside.replace(self.link)
        sync_directory(self.root)

    @_named
    def discard(self, generation: Path) -> None:
        """Remove one generation with its side files; never the current one."""
        if self.link.exists() and generation.exists() and self.link.samefile(generation):
            raise AssertionError(f"{generation} is current")
        for suffix in _SIDE_FILES:
            generation.with_name(generation.name + suffix).unlink(missing_ok=True)

    @_named
    def discard_unfinished(self) -> tuple[Path, ...]:
        """Remove what a killed build left; where the link is broken, only what was never finished."""
        half = tuple(sorted(self._unfinished()))
        for path in half:
            path.unlink(missing_ok=True)
        sound = self.link.is_symlink() and self.link.exists()
        linked = self._linked_number() if sound else max(self._numbers(), default=0)
        newer = tuple(self._path(n) for n in self._numbers() if n > linked)
        for generation in newer:
            self.discard(generation)
        return (*half, *newer)

    def _unfinished(self) -> Iterator[Path]:
        """Builds, files that an index was sorted in, and a link that never took over."""
        yield from self.generations.glob(f"*{BUILDING}*")
        yield from self.generations.glob(f"{_SORTING}*")
        if self._next_link.is_symlink():
            yield self._next_link

    @_named
    def discard_superseded(self, *, keep: int) -> tuple[Path, ...]:
        """Remove generations older than the current one but for the newest ``keep``."""
        current = self._linked_number()
        older = [self._path(n) for n in sorted(self._numbers()) if n < current]
        gone = tuple(older[: max(len(older) - keep, 0)])
        for generation in gone:
            self.discard(generation)
        return gone

    @_named
    def discard_downloads(self, *, keep: Collection[Path] = ()) -> tuple[Path, ...]:
        """Remove every file in ``downloads`` but for ``keep``, when all that was fetched is applied."""
        left = tuple(sorted({path for path in self.downloads.iterdir() if path.is_file()}.difference(keep)))
        for path in left:
            path.unlink(missing_ok=True)
        return left

    def _path(self, number: int) -> Path:
        return self.generations / f"{number:06d}.db"

    def _linked_number(self) -> int:
        if not self.link.is_symlink():
            return 0
        found = _GENERATION.fullmatch(self.link.readlink().name)
        return int(found[1]) if found else 0

    def _numbers(self) -> list[int]:
        if not self.generations.is_dir():
            return []
        names = (_GENERATION.match(entry.name) for entry in self.generations.iterdir())
        return sorted({int(found[1]) for found in names if found})


def _marker(generation: Path) -> Path:
    return generation.with_name(generation.name + "-damaged")


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
