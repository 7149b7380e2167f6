"""Certificates that a full lists more than once.

For: finding them after a load without an index, and leaving one row each. The same body again: the
last record stands. Another body under the same issuer and serial: the first stands, the other goes to
the quarantine. Refuses: to run in the common case; the unique index is tried first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import apsw

from smki_sync.mirror.aside import conflict_of, set_aside

_REPEATED: Final = (
    "SELECT serial, issuer FROM certificate GROUP BY serial, issuer HAVING count(*) > 1 ORDER BY min(id)"
)
_REJECTED: Final = "SELECT number FROM quarantine WHERE extract = ? ORDER BY number"
_ROWS: Final = """
SELECT c.id, c.serial, i.name, c.kind, c.status, c.der
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.serial = ? AND c.issuer = ? ORDER BY c.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A row that must go.

    ``conflict``: it has another body than the one that stays; ``contradicts``: the same, and another
    status. ``number``: its place in the file, from 1.
    """

    row: int
    number: int
    serial: str
    issuer: str
    kind: int
    status: str
    der: bytes
    conflict: bool
    contradicts: bool


def find_repeats(db: apsw.Connection, *, extract: int) -> list[Repeat]:
    """Every row that stands in the way of the unique index; rows are not touched."""
    db.execute("CREATE INDEX repeats ON certificate (serial, issuer)")
    repeated = db.execute(_REPEATED).fetchall()
    rows = [repeat for identity in repeated for repeat in _of_one(db, identity, extract)]
    db.execute("DROP INDEX repeats")
    return rows


def _of_one(db: apsw.Connection, identity: tuple[Any, ...], extract: int) -> Iterator[Repeat]:
    rows: list[tuple[Any, ...]] = db.execute(_ROWS, identity).fetchall()
    first_body = rows[0][-1]
    alike = [row for row in rows if row[-1] == first_body]
    others = [row for row in rows if row[-1] != first_body]
    last_status = alike[-1][-2]
    for row, serial, issuer, kind, status, der in (*alike[:-1], *others):
        yield Repeat(
            row=row,
            number=number_of(db, row, extract),
            serial=serial,
            issuer=issuer,
            kind=kind,
            status=status,
            der=der,
            conflict=der != first_body,
            contradicts=der == first_body and status != last_status,
        )


def number_of(db: apsw.Connection, row: int, extract: int) -> int:
    """A row's place in the file: rows were loaded in order, rejected records left out."""
    number = row
    for (rejected,) in db.execute(_REJECTED, (extract,)):
        if rejected > number:
            break
        number += 1
    return number


def drop(db: apsw.Connection, repeat: Repeat, *, extract: int) -> None:
    """Remove the row; a conflicting one is kept in the quarantine."""
    db.execute("DELETE FROM certificate WHERE id = ?", (repeat.row,))
    if repeat.conflict:
        evidence = conflict_of(repeat.number, repeat.serial, repeat.issuer, repeat.status, repeat.der)
        set_aside(db, evidence, extract=extract)
