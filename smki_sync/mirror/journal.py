"""The journal: one line for each change of a certificate, in order, and how far back it goes.

For: whoever changes rows, and the feed that consumers follow. It is kept whole from a date on, also where the
operator keeps only so many days of it: lines leave from the front alone, so that what is kept has no hole.
Refuses: to commit; a line is part of the transaction that makes the change, pruning of one that adds lines.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

import apsw

_CHANGE: Final = """
INSERT INTO change (day, change, kind, eui, serial, issuer, before, after, extract, list)
SELECT ?, ?, kind, eui, serial, issuer, ?, ?, ?, ? FROM certificate WHERE id = ?
"""


_BEGIN: Final = "UPDATE mirror SET journal_from = ? WHERE journal_from IS NULL"
_MOVE: Final = "UPDATE mirror SET journal_from = ? WHERE journal_from < ?"
_LEAVE: Final = """
DELETE FROM change WHERE sequence < coalesce(
    (SELECT sequence FROM change WHERE day >= ? ORDER BY sequence LIMIT 1),
    (SELECT max(sequence) + 1 FROM change))
"""


class Change(StrEnum):
    """What happened to a certificate, as the journal names it."""

    ADDED = "added"
    STATUS = "status"
    WITHDRAWN = "withdrawn"
    REINSTATED = "reinstated"
    REVOKED = "revoked"
    UNREVOKED = "unrevoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One line of the journal before it has a sequence number.

    ``row``: id of the certificate. ``before``, ``after``: the status it was and is listed with, ``None``
    where it was or is not listed.
    """

    row: int
    change: Change
    before: str | None
    after: str | None


Journal = Callable[[Changed], None]


class Journalist:
    """Writes changes into the journal under one extract and date."""

    def __init__(self, db: apsw.Connection, extract: int, day: date, *, by: int | None = None) -> None:
        """``extract``: ledger id of the file that made the changes.

        ``by``: id of the list that made them; then ``extract`` is the newest file before it.
        """
        self._db = db
        self._extract = extract
        self._day = day.isoformat()
        self._by = by

    def write(self, changed: Changed) -> None:
        """Append one line."""
        self._db.execute(
            _CHANGE,
            (
                *(self._day, changed.change, changed.before, changed.after),
                *(self._extract, self._by, changed.row),
            ),
        )


def begin(db: apsw.Connection, *, reached: date) -> None:
    """The first generation stands at ``reached``: from the next day on, every change is written down."""
    db.execute(_BEGIN, ((reached + timedelta(days=1)).isoformat(),))


def prune(db: apsw.Connection, *, position: date, keep_days: int | None) -> None:
    """Leave the lines of the last ``keep_days`` days up to ``position``; ``None`` leaves all."""
    if keep_days is None:
        return
    first = (position - timedelta(days=keep_days - 1)).isoformat()
    if db.execute(_MOVE + " RETURNING TRUE", (first, first)).get:
        db.execute(_LEAVE, (first,))
