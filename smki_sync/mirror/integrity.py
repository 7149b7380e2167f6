"""Page, index, count and digest checks; shards; verified backup."""

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
from smki_sync.mirror.queries import Stamp, Told, ignore_progress, open_mirror, read_stamp, slices
from smki_sync.mirror.schema import IN_USE, KINDS
from smki_sync.mirror.set_digest import SetDigest, expand, read_digest

SHARDS: Final = 1024
"""Of 200 million certificates, each has 195 000. The digests of all of them take 90 kB in a statement."""


class Member(NamedTuple):
    """One In-Use certificate of a shard. ``sha256``: of its DER, 64 hex digits."""

    shard: int
    serial: str
    issuer: str
    kind: str
    eui: str | None
    sha256: str


def member_order(member: Member) -> tuple[str, str, str]:
    """By identity, for lists that people read."""
    return member.issuer, member.serial, member.sha256


def read_shards(db: apsw.Connection, told: Told = ignore_progress) -> list[SetDigest]:
    """The digest of each shard, from the rows themselves; every row is read."""
    shards = [SetDigest() for _ in range(SHARDS)]
    for low, high in slices(db, told):
        for (der,) in db.execute(_BODIES, (low, high)):
            expansion = expand(der)
            shards[expansion % SHARDS].add_expanded(expansion)
    return shards


def digest_of_rows(db: apsw.Connection, told: Told = ignore_progress) -> SetDigest:
    """The set digest that the rows make, whatever the mirror carries; every row is read."""
    return all_shards(read_shards(db, told))


def all_shards(shards: Iterable[SetDigest]) -> SetDigest:
    """The set digest that sets together make that have no member in common."""
    found = SetDigest()
    for shard in shards:
        found.merge(shard)
    return found


def check_digest(db: apsw.Connection, made: SetDigest) -> str | None:
    """What is wrong, in words, where a mirror carries another digest than its rows have ``made``."""
    carried = read_digest(db)
    if carried.dump() == made.dump():
        return None
    return f"it states {carried.hex}, its In-Use certificates make {made.hex}"


def read_members(
    db: apsw.Connection, wanted: Collection[int], told: Told = ignore_progress
) -> Iterator[Member]:
    """The certificates of some shards, in no order that means anything; every row is read."""
    for low, high in slices(db, told):
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
"""Lines that SQLite may say about damaged pages: the first is as good as the hundredth."""

_HASHES: Final = (1 << 64) - 1


class CheckedPart(StrEnum):
    """What of a mirror is held against what."""

    PAGES = "pages"
    INDEXES = "indexes"
    COUNTS = "counts"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One contradiction in a mirror, in words."""

    aspect: CheckedPart
    detail: str


def check_pages(db: apsw.Connection) -> list[Damage]:
    """Every page of the file, by SQLite's own check (``PRAGMA quick_check``)."""
    said = [str(line) for (line,) in each_row(db, f"PRAGMA quick_check({MESSAGES_LIMIT})")]
    return [] if said == ["ok"] else [Damage(aspect=CheckedPart.PAGES, detail=line) for line in said]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """An index on plain columns. ``rows``: which rows it is about, as SQL."""

    name: str
    columns: tuple[str, ...]
    rows: str


@dataclass(slots=True)
class _Sum:
    """Entries added up: how many, and their hashes modulo 2**64, whatever their order."""

    count: int = 0
    total: int = 0

    def take(self, entry: tuple[Any, ...]) -> None:
        self.count += 1
        self.total = (self.total + hash(entry)) & _HASHES


def check_indexes(db: apsw.Connection) -> list[Damage]:
    """Each index against the table: the same entries, whatever their order.

    The table is read once and each index once, from front to back, which costs a small part of what
    looking every row up would.
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
    """The indexes on certificates, but for those on expressions."""
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
    """For each index, what its entries must come to: by one pass through the table."""
    sums = [_Sum() for _ in indexes]
    asked = ", ".join(["id", *(f"{index.rows}, {', '.join(index.columns)}" for index in indexes)])
    for row in each_row(db, f"SELECT {asked} FROM certificate NOT INDEXED"):
        at = 1
        for index, total in zip(indexes, sums, strict=True):
            first, at = at + 1, at + 1 + len(index.columns)
            if row[first - 1]:
                total.take((*row[first:at], row[0]))
    return sums


def _sum_of_entries(db: apsw.Connection, index: _Index) -> _Sum:
    found = _Sum()
    asked = (
        f"SELECT {', '.join(index.columns)}, id FROM certificate INDEXED BY {index.name} WHERE {index.rows}"
    )
    for entry in each_row(db, asked):
        found.take(entry)
    return found


@dataclass(slots=True)
class CountCheck:
    """What a pass through the rows came to: how many of each sort, and the digest of those In-Use."""

    census: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    digest: SetDigest = field(default_factory=SetDigest)

    def take(self, row: StoredRow) -> None:
        """Count one row."""
        self.census[row.kind, row.status, int(row.withdrawn is not None)] += 1
        if row.in_use:
            self.digest.add(row.der)

    def merge(self, other: "CountCheck") -> None:
        """Add what another pass, through other rows, came to."""
        self.census += other.census
        self.digest.merge(other.digest)

    def against(self, db: apsw.Connection) -> list[Damage]:
        """Hold it against what the generation says of itself."""
        found = []
        kept = {tuple(sort): count for *sort, count in db.execute("SELECT * FROM census WHERE count <> 0")}
        if kept != dict(self.census):
            told = f"it says {sum(kept.values())} certificates in {len(kept)} sorts, there are"
            there = f"{self.census.total()} in {len(self.census)}"
            found.append(Damage(aspect=CheckedPart.COUNTS, detail=f"{told} {there}"))
        other = check_digest(db, self.digest)
        if other:
            found.append(Damage(aspect=CheckedPart.DIGEST, detail=other))
        return found


_PAGES: Final = 4_096
"""Pages copied at a time: 32 MiB, between two words on progress."""

Count = Callable[[str], None]


def backup(link: Path, target: Path, *, count: Count, told: Told) -> Stamp:
    """Copy the mirror at ``link`` to ``target``; the state that the copy holds.

    ``count``: told what is counted now. ``told``: how far it is, in pages and then in certificates.
    Raises :class:`MirrorDamaged` where the copy, or so the mirror, is not sound; then there is no copy.
    """
    with disk_errors(target), temporary_file(target) as copy:
        count("pages copied")
        _copy(link, copy, told)
        count("certificates of the copy read again")
        stamp = _check(copy, told)
        _sync(copy)
        publish_file(copy, target, replace=True)
    return stamp


def _copy(link: Path, aside: Path, told: Told) -> None:
    with disk_errors(link), closing(connect_to_read(link)) as source:
        source.execute("BEGIN")
        set_digest.read_state(source)  # from here on one snapshot, so no commit makes the copy start anew
        with disk_errors(aside), closing(_create(aside)) as copy:
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    told(backup.page_count - backup.remaining, backup.page_count)
            copy.execute("UPDATE mirror SET inode = NULL")  # whoever uses it knows that it is a copy
            copy.pragma("journal_mode", "DELETE")  # one file, without side files


def _create(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)


def _check(copy: Path, told: Told) -> Stamp:
    """Its pages, and its rows against the digest that it carries."""
    with open_mirror(copy) as db:
        found = db.execute("PRAGMA quick_check(1)").get
        if found != "ok":
            raise MirrorDamaged(f"the copy of the mirror is not sound: {found}", hint=_HINT)
        stamp = read_stamp(db)
        if check_digest(db, digest_of_rows(db, told)):
            raise MirrorDamaged("the rows of the copy do not make the digest that it carries", hint=_HINT)
    return stamp


_HINT: Final = "Nothing was kept of it. `smki-sync verify` says whether the mirror itself is damaged."


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
