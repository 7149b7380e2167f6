"""Rows as they are held, for whoever holds them against their certificates: all, some, or the authorities.

For: ``verify``. Rows come in the order of the table, so that a pass reads the file once from front to back.
Refuses: to judge them.
"""

from collections.abc import Iterator
from random import Random
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.mirror.schema import IN_USE, KINDS, Value
from smki_sync.model.certificate import Kind
from smki_sync.model.identity import KeyId

Db = apsw.Connection
"""An open mirror, for rooms that pass one on and know no SQLite."""

AUTHORITY_KINDS: Final = tuple(n for n, kind in enumerate(KINDS) if kind in (Kind.OCA, Kind.DCA))

FURTHER_ROWS: Final = 8
"""Certificates with one key identifier that are looked at: more than that were made to be many."""


class HeldRow(NamedTuple):
    """One row of ``certificate``. ``issuer``: its RFC 4514 name; ``kind``: index of :data:`~.schema.KINDS`.

    Times in seconds since 1970, UTC. ``in_use``: 1 where the certificate is In-Use.
    """

    id: int
    serial: str
    issuer: str
    eui: str | None
    kind: int
    role: int | None
    usage: str | None
    status: str
    withdrawn: int | None
    revoked: int | None
    in_use: int
    subject: str | None
    not_before: int
    not_after: int
    ski: str | None
    der: bytes


_SELECT: Final = f"""
SELECT c.id, c.serial, i.name, c.eui, c.kind, c.role, c.usage, c.status, c.withdrawn,
       c.revoked, {IN_USE}, c.subject,
       c.not_before, c.not_after, c.ski, CAST(c.der AS BLOB)
  FROM certificate AS c LEFT JOIN issuer AS i ON i.id = c.issuer
"""


def read_rows(db: apsw.Connection) -> Iterator[HeldRow]:
    """Every row, whatever its status."""
    return _rows(db, f"{_SELECT} ORDER BY c.id")


def read_sample(db: apsw.Connection, number: int, chance: Random, *, any_status: bool) -> list[HeldRow]:
    """About ``number`` rows by chance; all of them where there are no more. Each is read by its id."""
    last = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
    wanted = "" if any_status else f"AND {IN_USE}"
    if last <= number:
        return list(_rows(db, f"{_SELECT} WHERE 1 {wanted} ORDER BY c.id"))
    found: dict[int, HeldRow] = {}
    for at in sorted(chance.sample(range(1, last + 1), number)):
        for row in _rows(db, f"{_SELECT} WHERE c.id >= ? {wanted} ORDER BY c.id LIMIT 1", at):
            found[row.id] = row
    return list(found.values())


def read_row(db: apsw.Connection, serial: str, issuer: str) -> HeldRow | None:
    """The row of one certificate."""
    return next(_rows(db, f"{_SELECT} WHERE c.serial = ? AND i.name = ?", serial, issuer), None)


def read_authorities(db: apsw.Connection) -> list[HeldRow]:
    """Every authority's row, whatever its status; an index that leaves devices out finds them."""
    return list(_rows(db, f"{_SELECT} WHERE c.kind <> 0 AND c.kind IN {AUTHORITY_KINDS}"))


def find_by_key_id(db: apsw.Connection, ski: KeyId) -> list[HeldRow]:
    """Some rows with a subject key identifier; a pass through the table where none but a device has it."""
    few = f"LIMIT {FURTHER_ROWS}"
    others = tuple(range(1, len(KINDS)))
    found = list(_rows(db, f"{_SELECT} WHERE c.kind <> 0 AND c.kind IN {others} AND c.ski = ? {few}", ski))
    return found or list(_rows(db, f"{_SELECT} WHERE c.kind = 0 AND c.ski = ? {few}", ski))


def _rows(db: apsw.Connection, sql: str, *values: Value) -> Iterator[HeldRow]:
    return map(HeldRow._make, each(db, sql, *values))


def each(db: apsw.Connection, sql: str, *values: Value) -> Iterator[tuple[Any, ...]]:
    """What a statement gives; where that breaks off, it breaks off here and not when ``db`` is closed."""
    cursor = db.cursor()
    try:
        yield from cursor.execute(sql, values)
    finally:
        cursor.close(force=True)
