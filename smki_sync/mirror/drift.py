"""A generation held against a full, row by row: what one has and the other has not.

For: ``reconcile``. Every row of the full is looked up once; a bit for each row of the mirror remembers that
it was listed, so what the mirror holds In-Use and the full does not list is found by one pass afterwards.
Refuses: to write to the generation, and to call drift what a delta explains: a full takes more than 24 hours
to produce (MP147), so the word of a delta dated within the overlap before it, or after it, stands.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from smki_sync.mirror.differences import Difference, Differences, Drift
from smki_sync.mirror.queries import Connection
from smki_sync.mirror.queries.slices import Told, slices
from smki_sync.mirror.rows import Row
from smki_sync.mirror.schema import KINDS
from smki_sync.model.certificate import Status

_STATED: Final = Row._fields[2:-1]
"""What a row of the mirror has of its own, besides serial number and issuer."""
_STATUS: Final = _STATED.index("status")
_DER: Final = _STATED.index("der")

_HELD: Final = (
    f"SELECT {', '.join(_STATED)}, id, withdrawn, extract FROM certificate WHERE serial = ? AND issuer = ?"
)
_EXPLAINING: Final = "SELECT id FROM extract WHERE kind = 'delta' AND day >= ?"
_LISTABLE: Final = """
SELECT c.id, c.extract, c.serial, i.name, c.eui, c.kind, c.status
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.id BETWEEN ? AND ? AND c.status = 'I' AND c.withdrawn IS NULL
"""


class Examiner:
    """Holds the rows of one full against a generation. ``explained``: differences that a delta explains."""

    def __init__(self, db: Connection, found: Differences, *, since: date) -> None:
        """``db``: one snapshot. ``since``: the word of deltas of this date and later stands."""
        self._db = db
        self._found = found
        self._issuers: dict[str, int] = dict(db.execute("SELECT name, id FROM issuer"))
        self._deltas = {row for (row,) in db.execute(_EXPLAINING, (since.isoformat(),))}
        last: int = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
        self._listed = bytearray(last // 8 + 1)
        self.compared = self.explained = 0

    def take(self, rows: Iterable[Row]) -> None:
        """Look some rows of the full up."""
        for row in rows:
            self.compared += 1
            issuer = self._issuers.get(row.issuer)
            held = None if issuer is None else self._db.execute(_HELD, (row.serial, issuer)).fetchone()
            if held is None:
                self._note(row, Drift.MISSING, None, None)
            else:
                self._compare(row, held)

    def finish(self, told: Told) -> None:
        """Find what is held In-Use and was not listed; ``told``: how far that is, in rows."""
        for low, high in slices(self._db, told):
            for number, extract, serial, issuer, eui, kind, status in self._db.execute(
                _LISTABLE, (low, high)
            ):
                if self._listed[number >> 3] & 1 << (number & 7):
                    continue
                if extract in self._deltas:
                    self.explained += 1
                    continue
                self._found.add(
                    Difference(
                        drift=Drift.UNEXPECTED,
                        row=number,
                        kind=KINDS[kind],
                        eui=eui,
                        serial=serial,
                        issuer=issuer,
                        held=status,
                        listed=None,
                    )
                )

    def _compare(self, row: Row, held: tuple[Any, ...]) -> None:
        *stated, number, withdrawn, extract = held
        self._listed[number >> 3] |= 1 << (number & 7)
        if withdrawn is None and tuple(stated) == row[2:-1]:
            return
        same_body = stated[_DER] == row.der
        if same_body and extract in self._deltas:
            self.explained += 1
            return
        status = None if withdrawn is not None else stated[_STATUS]
        here, there = status == Status.IN_USE, row.status == Status.IN_USE
        drift = (
            Drift.MISSING
            if there and not here
            else Drift.UNEXPECTED
            if here and not there
            else Drift.DIFFERING
        )
        what = [name for name, a, b in zip(_STATED, stated, row[2:-1], strict=True) if a != b]
        self._note(row, drift, number, status, what=("withdrawn",) * (withdrawn is not None) + tuple(what))

    def _note(
        self, row: Row, drift: Drift, number: int | None, held: str | None, *, what: tuple[str, ...] = ()
    ) -> None:
        self._found.add(
            Difference(
                drift=drift,
                row=number,
                kind=KINDS[row.kind],
                eui=row.eui,
                serial=row.serial,
                issuer=row.issuer,
                held=held,
                listed=row.status,
                what=what,
                record=row,
            )
        )
