"""What the newest full says about rows for which something else stands (table ``disagreement``)."""

from typing import Final

import apsw

from smki_sync.merge import FullSays, Statement, Unlisted, unlisted
from smki_sync.mirror.rows import CLAIMS
from smki_sync.model.certificate import Status

_READ: Final = f"SELECT says, {', '.join(CLAIMS)} FROM disagreement WHERE certificate = ?"
_WRITE: Final = f"""
INSERT OR REPLACE INTO disagreement (certificate, says, {", ".join(CLAIMS)})
VALUES ({", ".join("?" * (len(CLAIMS) + 2))})
"""
_UNLISTED: Final = {says.value: says for says in Unlisted}
_NO_CLAIMS: Final = (None,) * len(CLAIMS)

_REJECTED: Final = "SELECT DISTINCT serial FROM quarantine WHERE extract = ? AND reason <> 'signature-false'"
"""Serial numbers of rejected records; NULL: the identity of one is not known."""
_FULL_ENTRY: Final = """
SELECT max(id) FROM extract JOIN mirror ON day = full_day WHERE kind <> 'delta'
"""


def read_disagreement(db: apsw.Connection, row: int) -> FullSays | None:
    """Return what the full says about a row, if that is not what stands."""
    found = db.execute(_READ, (row,)).fetchone()
    if found is None:
        return None
    says, *claims = found
    return _UNLISTED.get(says) or Statement(Status(says), tuple(claims))


def write_disagreement(db: apsw.Connection, row: int, says: FullSays | None) -> None:
    """Record what the full says about a row; ``None``: it agrees, or does not count."""
    match says:
        case None:
            db.execute("DELETE FROM disagreement WHERE certificate = ?", (row,))
        case Statement(status=status, claims=claims):
            assert isinstance(claims, tuple)
            db.execute(_WRITE, (row, status.value, *claims))
        case _:
            db.execute(_WRITE, (row, says.value, *_NO_CLAIMS))


class RejectedIdentities:
    """Identities of the records of a full that were not understood, or have another body."""

    def __init__(self, db: apsw.Connection, full: int | None = None) -> None:
        """Read them. ``full``: ledger id; without it, that of the newest full used."""
        entry = db.execute(_FULL_ENTRY).get if full is None else full
        serials = {serial for (serial,) in db.execute(_REJECTED, (entry,))}
        self.is_complete = None not in serials
        """Whether the identity of every rejected record is known."""
        self.serials = frozenset(serials - {None})

    def unlisted(self, serial: str) -> Unlisted:
        """Return what the full says about a certificate that it does not list."""
        return unlisted(rejected=serial in self.serials, complete=self.is_complete)
