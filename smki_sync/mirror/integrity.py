"""Check pages, indexes, counts and digests of a mirror, list shards and make verified backups."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.files import publish_file, temporary_file
from smki_sync.mirror import set_digest
from smki_sync.mirror.connection import connect_to_read, disk_errors
from smki_sync.mirror.inspection import StoredRow, each_row
from smki_sync.mirror.queries import ProgressCallback, Stamp, ignore_progress, open_mirror, read_stamp, slices
from smki_sync.mirror.schema import IN_USE, KINDS, SCHEMA_VERSION
from smki_sync.mirror.set_digest import SetDigest, expand, read_digest

SHARDS: Final = 1024
"""Number of shards. With 200 million certificates, a shard has 195 000; the digests of all take 90 kB."""


class Member(NamedTuple):
    """An In-Use certificate of a shard. ``sha256`` is the hash of its DER: 64 hex digits."""

    shard: int
    serial: str
    issuer: str
    kind: str
    eui: str | None
    sha256: str


def member_order(member: Member) -> tuple[str, str, str]:
    """Return the sort key for lists that people read: the identity of the certificate."""
    return member.issuer, member.serial, member.sha256


def read_shards(db: apsw.Connection, progress: ProgressCallback = ignore_progress) -> list[SetDigest]:
    """Compute the digest of each shard from the rows. Reads every row."""
    shards = [SetDigest() for _ in range(SHARDS)]
    for low, high in slices(db, progress):
        for (der,) in db.execute(_BODIES, (low, high)):
            expansion = expand(der)
            shards[expansion % SHARDS].add_expanded(expansion)
    return shards


def digest_of_rows(db: apsw.Connection, progress: ProgressCallback = ignore_progress) -> SetDigest:
    """Compute the set digest of the rows, without using the stored digest. Reads every row."""
    return all_shards(read_shards(db, progress))


def all_shards(shards: Iterable[SetDigest]) -> SetDigest:
    """Combine the digests of sets that have no member in common."""
    found = SetDigest()
    for shard in shards:
        found.merge(shard)
    return found


def check_digest(db: apsw.Connection, made: SetDigest) -> str | None:
    """Describe the difference if the stored digest is not ``made``, the digest of the rows."""
    carried = read_digest(db)
    if carried.dump() == made.dump():
        return None
    return f"it states {carried.hex}, its In-Use certificates make {made.hex}"


def read_members(
    db: apsw.Connection, wanted: Collection[int], progress: ProgressCallback = ignore_progress
) -> Iterator[Member]:
    """Yield the certificates of the ``wanted`` shards, in no particular order. Reads every row."""
    for low, high in slices(db, progress):
        for serial, issuer, kind, eui, der in db.execute(_MEMBERS, (low, high)):
            shard = expand(der) % SHARDS
            if shard in wanted:
                yield Member(shard, serial, issuer, KINDS[kind], eui, sha256(der).hexdigest())


_BODIES: Final = f"SELECT c.der FROM certificate AS c WHERE c.id BETWEEN ? AND ? AND {IN_USE}"
_MEMBERS: Final = f"""
SELECT c.serial, i.name, c.kind, c.eui, c.der FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.id BETWEEN ? AND ? AND {IN_USE}
"""


MESSAGES_LIMIT: Final = 20
"""Maximum number of messages that SQLite reports about damaged pages. More would not help."""

_HASHES: Final = (1 << 64) - 1


class CheckedPart(StrEnum):
    """The part of a mirror that a check found damaged."""

    PAGES = "pages"
    INDEXES = "indexes"
    COUNTS = "counts"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A damaged part of a mirror. ``detail`` describes the damage."""

    aspect: CheckedPart
    detail: str


def check_pages(db: apsw.Connection) -> list[Damage]:
    """Check every page of the file with SQLite's own check (``PRAGMA quick_check``)."""
    lines = [str(line) for (line,) in each_row(db, f"PRAGMA quick_check({MESSAGES_LIMIT})")]
    return [] if lines == ["ok"] else [Damage(aspect=CheckedPart.PAGES, detail=line) for line in lines]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """An index on plain columns. ``rows`` is the SQL condition for the rows that it contains."""

    name: str
    columns: tuple[str, ...]
    rows: str


@dataclass(slots=True)
class _Sum:
    """The number of entries and the sum of their hashes modulo 2**64, independent of their order."""

    count: int = 0
    total: int = 0

    def take(self, entry: tuple[Any, ...]) -> None:
        self.count += 1
        self.total = (self.total + hash(entry)) & _HASHES


def check_indexes(db: apsw.Connection) -> list[Damage]:
    """Compare the entries of each index with the table, in any order.

    Reads the table once and each index once, sequentially. This is much cheaper than a lookup for every
    row.
    """
    indexes = list(_indexes(db))
    tables = _sums_of_rows(db, indexes)
    return [
        Damage(
            aspect=CheckedPart.INDEXES, detail=f"{index.name} does not lead to the rows that the table has"
        )
        for index, rows in zip(indexes, tables, strict=True)
        if _sum_of_entries(db, index) != rows
    ]


def _indexes(db: apsw.Connection) -> Iterator[_Index]:
    """Yield the indexes on certificates, except indexes on expressions."""
    found = (
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'certificate' AND sql <> ''"
    )
    for name, sql in map(_texts, db.execute(found).fetchall()):
        columns = tuple(column for _, _, column in db.execute(f"PRAGMA index_info({name})"))
        if None not in columns:
            rows = sql.partition(" WHERE ")[2] or "1"
            yield _Index(name=name, columns=columns, rows=rows)


def _texts(row: tuple[Any, ...]) -> tuple[str, str]:
    name, sql = row
    return str(name), str(sql)


def _sums_of_rows(db: apsw.Connection, indexes: Sequence[_Index]) -> list[_Sum]:
    """Compute the expected sum of entries for each index, in one pass through the table."""
    sums = [_Sum() for _ in indexes]
    query = ", ".join(["id", *(f"{index.rows}, {', '.join(index.columns)}" for index in indexes)])
    for row in each_row(db, f"SELECT {query} FROM certificate NOT INDEXED"):
        at = 1
        for index, total in zip(indexes, sums, strict=True):
            first, at = at + 1, at + 1 + len(index.columns)
            if row[first - 1]:
                total.take((*row[first:at], row[0]))
    return sums


def _sum_of_entries(db: apsw.Connection, index: _Index) -> _Sum:
    found = _Sum()
    query = (
        f"SELECT {', '.join(index.columns)}, id FROM certificate INDEXED BY {index.name} WHERE {index.rows}"
    )
    for entry in each_row(db, query):
        found.take(entry)
    return found


@dataclass(slots=True)
class CountCheck:
    """The number of rows of each sort, and the digest of the In-Use rows, from one pass through the rows."""

    counts: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    digest: SetDigest = field(default_factory=SetDigest)

    def take(self, row: StoredRow) -> None:
        """Count one row."""
        self.counts[row.kind, row.status, int(row.withdrawn is not None)] += 1
        if row.in_use:
            self.digest.add(row.der)

    def merge(self, other: "CountCheck") -> None:
        """Add the result of a pass through other rows."""
        self.counts += other.counts
        self.digest.merge(other.digest)

    def against(self, db: apsw.Connection) -> list[Damage]:
        """Compare the result with the counts and the digest stored in the generation."""
        found = []
        stored = {tuple(sort): count for *sort, count in db.execute("SELECT * FROM census WHERE count <> 0")}
        if stored != dict(self.counts):
            stated = f"it says {sum(stored.values())} certificates in {len(stored)} sorts, there are"
            counted = f"{self.counts.total()} in {len(self.counts)}"
            found.append(Damage(aspect=CheckedPart.COUNTS, detail=f"{stated} {counted}"))
        problem = check_digest(db, self.digest)
        if problem:
            found.append(Damage(aspect=CheckedPart.DIGEST, detail=problem))
        return found


_PAGES: Final = 4_096
"""Number of pages copied between two progress reports: 32 MiB."""

Count = Callable[[str], None]


def backup(link: Path, target: Path, *, count: Count, progress: ProgressCallback) -> Stamp:
    """Copy the mirror at ``link`` to ``target``, check the copy and return the state that it holds.

    Args:
        link: The link to the current generation.
        target: The file to create or replace.
        count: Called with a description of what is counted next.
        progress: Called with the progress, first in pages, then in certificates.

    Raises:
        MirrorDamaged: The copy is damaged, so the mirror may be damaged too. The copy is removed.
    """
    with disk_errors(target), temporary_file(target) as copy:
        count("pages copied")
        _copy(link, copy, progress)
        count("certificates of the copy read again")
        stamp = _check(copy, progress)
        _sync(copy)
        publish_file(copy, target, replace=True)
    return stamp


def _copy(link: Path, target: Path, progress: ProgressCallback) -> None:
    with disk_errors(link), closing(connect_to_read(link)) as source:
        source.execute("BEGIN")
        set_digest.read_state(source)  # starts the snapshot, so that a commit does not restart the copy
        with disk_errors(target), closing(_create(target)) as copy:
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    progress(backup.page_count - backup.remaining, backup.page_count)
            if copy.pragma("user_version") == SCHEMA_VERSION:
                copy.execute("UPDATE mirror SET inode = NULL")  # marks the file as a copy
            copy.pragma("journal_mode", "DELETE")  # one file, without side files


def _create(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)


def _check(copy: Path, progress: ProgressCallback) -> Stamp:
    """Check the pages of a copy, and compare its rows with its stored digest."""
    with open_mirror(copy) as db:
        found = db.execute("PRAGMA quick_check(1)").get
        if found != "ok":
            raise MirrorDamaged(f"the copy of the mirror is not sound: {found}", hint=_HINT)
        stamp = read_stamp(db)
        if check_digest(db, digest_of_rows(db, progress)):
            raise MirrorDamaged("the rows of the copy do not make the digest that it carries", hint=_HINT)
    return stamp


_HINT: Final = "Nothing was kept of it. `smki-sync verify` says whether the mirror itself is damaged."


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
