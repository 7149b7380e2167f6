"""A generation against itself: its pages, its indexes, its counts and its digest.

For: ``verify``, which makes one pass through the rows and hands what it met to :class:`Recount`. A flipped
bit in the structure of a page is found by SQLite; one in a row or in an index breaks what the two say of
one another; one in a certificate is another member of the digest's set. Refuses: to mend.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import apsw

from smki_sync.mirror.digest import SetDigest
from smki_sync.mirror.held import HeldRow, each
from smki_sync.mirror.shards import check_digest

MESSAGES_LIMIT: Final = 20
"""Lines that SQLite may say about damaged pages: the first is as good as the hundredth."""

_HASHES: Final = (1 << 64) - 1


class Aspect(StrEnum):
    """What of a mirror is held against what."""

    PAGES = "pages"
    INDEXES = "indexes"
    COUNTS = "counts"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One contradiction in a mirror, in words."""

    aspect: Aspect
    detail: str


def check_pages(db: apsw.Connection) -> list[Damage]:
    """Every page of the file, by SQLite's own check (``PRAGMA quick_check``)."""
    said = [str(line) for (line,) in each(db, f"PRAGMA quick_check({MESSAGES_LIMIT})")]
    return [] if said == ["ok"] else [Damage(aspect=Aspect.PAGES, detail=line) for line in said]


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
        Damage(aspect=Aspect.INDEXES, detail=f"{index.name} does not lead to the rows that the table has")
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
    for row in each(db, f"SELECT {asked} FROM certificate NOT INDEXED"):
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
    for entry in each(db, asked):
        found.take(entry)
    return found


@dataclass(slots=True)
class Recount:
    """What a pass through the rows came to: how many of each sort, and the digest of those In-Use."""

    census: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    digest: SetDigest = field(default_factory=SetDigest)

    def take(self, row: HeldRow) -> None:
        """Count one row."""
        self.census[row.kind, row.status, int(row.withdrawn is not None)] += 1
        if row.in_use:
            self.digest.add(row.der)

    def merge(self, other: "Recount") -> None:
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
            found.append(Damage(aspect=Aspect.COUNTS, detail=f"{told} {there}"))
        other = check_digest(db, self.digest)
        if other:
            found.append(Damage(aspect=Aspect.DIGEST, detail=other))
        return found
