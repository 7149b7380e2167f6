"""How far back the journal goes.

For: keeping it whole from a date on, also where the operator keeps only so many days of it. Lines leave
from the front alone, so that what is kept has no hole. Refuses: to commit; pruning is a part of the
transaction that adds lines.
"""

from datetime import date, timedelta
from typing import Final

import apsw

_BEGIN: Final = "UPDATE mirror SET journal_from = ? WHERE journal_from IS NULL"
_MOVE: Final = "UPDATE mirror SET journal_from = ? WHERE journal_from < ?"
_LEAVE: Final = """
DELETE FROM change WHERE sequence < coalesce(
    (SELECT sequence FROM change WHERE day >= ? ORDER BY sequence LIMIT 1),
    (SELECT max(sequence) + 1 FROM change))
"""


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
