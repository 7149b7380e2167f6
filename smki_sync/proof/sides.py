"""The two things that can be compared: a mirror on this disk, and a statement that was made of one.

For: ``compare``. Refuses: to open a mirror for writing; it stays as it is, and its readers with it.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from smki_sync.errors import UsageError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import Connection, Stamp, open_mirror, read_census, read_stamp
from smki_sync.mirror.queries.slices import Told, nobody
from smki_sync.mirror.shards import Member
from smki_sync.proof.file import read_statement
from smki_sync.proof.statement import Shard, list_members, prove_shards
from smki_sync.verify.manifest import Side

_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSide:
    """A mirror, seen in one snapshot for as long as ``db`` is open."""

    title: str
    db: Connection
    stamp: Stamp
    in_use: int
    told: Told = field(default=nobody)

    @property
    def position(self) -> date:
        """As of when."""
        return self.stamp.position

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return self.stamp.digest

    def shards(self) -> tuple[Shard, ...]:
        """From its rows; raises :class:`MirrorDamaged` where they do not make its digest."""
        return prove_shards(self.db, self.told)

    def members(self, wanted: Collection[int]) -> Mapping[int, tuple[Member, ...]]:
        """From its rows."""
        return list_members(self.db, wanted, self.told)


@contextmanager
def open_side(path: Path, *, told: Told = nobody) -> Iterator[Side]:
    """A mirror directory, a mirror's file, or a statement in JSON.

    Raises :class:`UsageError` where ``path`` is none of these.
    """
    path, is_mirror = _look_at(path)
    if not is_mirror:
        yield read_statement(path)
        return
    with open_mirror(path) as db:
        stamp, in_use = read_stamp(db), read_census(db).in_use
        yield MirrorSide(title=str(path), db=db, stamp=stamp, in_use=in_use, told=told)


def _look_at(path: Path) -> tuple[Path, bool]:
    """The file that is meant, and whether it is a mirror's."""
    try:
        if path.is_dir():
            path = MirrorDirectory(path).link
            if path.exists() and not path.is_file():  # to open a pipe is to wait for somebody
                raise FileNotFoundError
        with path.open("rb") as file:
            return path, file.read(len(_SQLITE)) == _SQLITE
    except OSError as exc:
        what = "is not there" if isinstance(exc, FileNotFoundError) else f"cannot be read: {exc.strerror}"
        raise UsageError(
            f"{path} {what}", hint="Name a mirror directory, a mirror's file, or a statement."
        ) from exc
