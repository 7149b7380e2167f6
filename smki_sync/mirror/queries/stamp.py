"""Which state of the mirror was read.

For: everything that is handed out of the mirror, and the age of an answer. Refuses: to count anything.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

import apsw

from smki_sync.mirror.queries.place import AfterLine
from smki_sync.mirror.state import read_state

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
        return AfterLine(sequence=self.sequence, lineage=self.lineage).token


def read_stamp(db: apsw.Connection) -> Stamp:
    """Which state this is: the same for every question inside one :func:`~.opening.open_mirror`."""
    position, _, digest = read_state(db)
    lineage, sequence = db.execute(_STAMP).get
    return Stamp(position=position, digest=digest.hex, lineage=lineage, sequence=sequence)
