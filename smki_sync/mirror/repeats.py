"""Certificates that a full lists more than once.

For: finding them after a load without an index, and leaving one row each. The same body again: the
last record stands. Another body under the same issuer and serial: the first stands, the other goes to
the quarantine. Refuses: to run in the common case; the unique index is tried first.
"""

from dataclasses import dataclass
from typing import Final

import apsw

from smki_sync.mirror.apply import conflict_of, set_aside
from smki_sync.mirror.schema import Value

_REPEATED: Final = (
    "SELECT serial, issuer FROM certificate GROUP BY serial, issuer HAVING count(*) > 1 ORDER BY min(id)"
)
_ROWS: Final = """
SELECT c.id, c.serial, i.name, c.kind, c.status, c.der
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.serial = ? AND c.issuer = ? ORDER BY c.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A row that must go. ``conflict``: it has another body than the one that stays."""

    row: int
    serial: str
    issuer: str
    kind: int
    status: str
    der: bytes
    conflict: bool


def find_repeats(db: apsw.Connection) -> list[Repeat]:
    """Every row that stands in the way of the unique index; rows are not touched."""
    db.execute("CREATE INDEX repeats ON certificate (serial, issuer)")
    repeated = db.execute(_REPEATED).fetchall()
    rows = [repeat for identity in repeated for repeat in _of_one(db, identity)]
    db.execute("DROP INDEX repeats")
    return rows


def _of_one(db: apsw.Connection, identity: tuple[Value, ...]) -> list[Repeat]:
    rows = db.execute(_ROWS, identity).fetchall()
    first_body = rows[0][5]
    alike = [row for row in rows if row[5] == first_body]
    others = [row for row in rows if row[5] != first_body]
    return [_repeat(row, conflict=False) for row in alike[:-1]] + [
        _repeat(row, conflict=True) for row in others
    ]


def _repeat(row: tuple[Value, ...], *, conflict: bool) -> Repeat:
    number, serial, issuer, kind, status, der = row
    assert isinstance(number, int)
    assert isinstance(kind, int)
    assert isinstance(der, bytes)
    return Repeat(
        row=number,
        serial=str(serial),
        issuer=str(issuer),
        kind=kind,
        status=str(status),
        der=der,
        conflict=conflict,
    )


def drop(db: apsw.Connection, repeat: Repeat, *, extract: int) -> None:
    """Remove the row; a conflicting one is kept in the quarantine."""
    db.execute("DELETE FROM certificate WHERE id = ?", (repeat.row,))
    if repeat.conflict:
        evidence = conflict_of(repeat.row, repeat.serial, repeat.issuer, repeat.status, repeat.der)
        set_aside(db, evidence, extract=extract)
