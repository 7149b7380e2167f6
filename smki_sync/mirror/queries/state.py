"""What the mirror says of itself: how far it is, what it counts, what it has put aside.

For: ``status``, ``sync``, ``quarantine``. Refuses: to
read certificates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apsw

from smki_sync.mirror import ledger
from smki_sync.model.plan import Position
from smki_sync.model.report import Census


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record in quarantine. ``number``: its place in ``file``; ``accepted``: when it was taken note of."""

    file: str
    number: int
    reason: str
    detail: str
    xml: bytes
    accepted: str | None


def read_position(db: apsw.Connection) -> Position:
    """How far the mirror is."""
    return ledger.read_position(db)


def read_census(db: apsw.Connection) -> Census:
    """Counts and digest."""
    return ledger.read_census(db)


def read_incidents(db: apsw.Connection) -> frozenset[str]:
    """Names of applied deltas that were seen with other bytes since the last full."""
    return ledger.read_incidents(db)


def read_quarantine(db: apsw.Connection) -> list[Quarantined]:
    """The records in quarantine of the files since the last full, oldest first."""
    rows: Iterator[tuple[Any, ...]] = db.execute(ledger.QUARANTINE)
    return [
        Quarantined(file=file, number=number, reason=reason, detail=detail, xml=xml, accepted=accepted)
        for file, number, reason, detail, xml, accepted in rows
    ]
