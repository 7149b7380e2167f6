"""What the mirror says of itself: how far it is, what it counts, what it has put aside.

For: ``status``, ``sync``, ``quarantine``, and the stamp on everything that is handed out. Refuses: to
read certificates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import apsw

from smki_sync.mirror import ledger
from smki_sync.model.plan import Position
from smki_sync.model.report import Census

_STAMP: Final = """
SELECT lineage, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0) FROM mirror WHERE one = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Which state was read. ``position``: date; ``digest``: 64 hex digits over the In-Use certificates.

    ``lineage``: 16 hex digits, the same for as long as the journal goes on without a break.
    ``sequence``: number of the last change that this state holds; 0 before the first.
    """

    position: date
    digest: str
    lineage: str
    sequence: int

    @property
    def token(self) -> str:
        """The place in the journal that this state stands at, for ``changes --since``."""
        return f"{self.lineage}:{self.sequence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record in quarantine. ``number``: its place in ``file``; ``accepted``: when it was taken note of."""

    file: str
    number: int
    reason: str
    detail: str
    xml: bytes
    accepted: str | None


def read_stamp(db: apsw.Connection) -> Stamp:
    """Which state this is: the same for every question inside one :func:`~.opening.open_mirror`."""
    position, _, digest = ledger.read_state(db)
    lineage, sequence = db.execute(_STAMP).get
    return Stamp(position=position, digest=digest.hex, lineage=lineage, sequence=sequence)


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
