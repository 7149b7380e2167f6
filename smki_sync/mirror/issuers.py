"""Issuer names and their row ids.

For: whoever writes rows. Refuses: to read a name; it is what the certificate says (RFC 4514).
"""

import apsw


class Issuers:
    """Issuer names and their row ids; few, so all are held in memory."""

    def __init__(self, db: apsw.Connection) -> None:
        """Read the ids that the generation has."""
        self._db = db
        self._ids: dict[str, int] = dict(db.execute("SELECT name, id FROM issuer"))

    def __getitem__(self, name: str) -> int:
        """The id of a name, given one if it is new."""
        found = self._ids.get(name)
        if found is None:
            self._db.execute("INSERT INTO issuer (name) VALUES (?)", (name,))
            found = self._ids[name] = self._db.last_insert_rowid()
        return found
