"""The generation before, and what a new one takes over from it.

For: ledger, journal and quarantine carried on; since when a certificate is known; certificates that the full
no longer lists. Refuses: to write to the old generation, which readers have open: it is attached read-only.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import apsw

from smki_sync.mirror import touched
from smki_sync.mirror.digest import SetDigest
from smki_sync.mirror.inherit import Identity, Memory, Vouched
from smki_sync.mirror.journal import Changed
from smki_sync.mirror.rows import Row, days

_CARRY: Final = """
INSERT INTO issuer SELECT * FROM old.issuer;
INSERT INTO extract SELECT * FROM old.extract;
INSERT INTO quarantine SELECT * FROM old.quarantine;
INSERT INTO change SELECT * FROM old.change;
INSERT INTO revocation_list SELECT * FROM old.revocation_list;
INSERT INTO revocation SELECT * FROM old.revocation;
INSERT INTO companion SELECT * FROM old.companion;
INSERT INTO refused_companion SELECT * FROM old.refused_companion;
INSERT INTO slot_publication SELECT * FROM old.slot_publication;
INSERT INTO slot_body SELECT * FROM old.slot_body;
INSERT INTO slot_certificate SELECT * FROM old.slot_certificate;
DELETE FROM sqlite_sequence WHERE name = 'change';
INSERT INTO sqlite_sequence SELECT name, seq FROM old.sqlite_sequence WHERE name = 'change';
"""
_SAME_JOURNAL: Final = (
    "UPDATE mirror SET (lineage, journal_from) = (SELECT lineage, journal_from FROM old.mirror)"
)
_KNOWN: Final = (
    f"SELECT withdrawn, first_seen, last_changed, extract, {touched.SAID} FROM old.certificate"
    " WHERE serial = ? AND issuer = ?"
)
_COLUMNS: Final = (
    "serial, issuer, eui, kind, role, usage, status, subject, not_before, not_after, ski, manufacturing,"
    " flags, first_seen"
)
_UNLISTED: Final = f"""
INSERT INTO certificate ({_COLUMNS}, last_changed, withdrawn, extract, der)
SELECT {_COLUMNS},
       iif(status = 'I' AND withdrawn IS NULL, :day, last_changed),
       iif(status = 'I' AND withdrawn IS NULL, :day, withdrawn),
       iif(status = 'I' AND withdrawn IS NULL, :extract, extract),
       der
  FROM old.certificate AS o
 WHERE NOT EXISTS (SELECT 1 FROM main.certificate AS n WHERE n.serial = o.serial AND n.issuer = o.issuer)
 ORDER BY o.serial, o.issuer
"""
_COUNT_UNLISTED: Final = """
INSERT INTO census SELECT kind, status, withdrawn IS NOT NULL, count(*) FROM certificate
 WHERE id > ? GROUP BY 1, 2, 3 ON CONFLICT DO UPDATE SET count = count + excluded.count
"""
_NOW_WITHDRAWN: Final = """
SELECT id FROM certificate WHERE id > ? AND withdrawn IS NOT NULL AND extract = ? ORDER BY id
"""
_REVOKED: Final = "SELECT serial, issuer FROM old.certificate WHERE revoked IS NOT NULL"
_LEDGERED: Final = "SELECT id, day FROM old.extract WHERE name = ? ORDER BY id"
_OF_EXTRACT: Final = f"""
SELECT {", ".join("i.name" if name == "issuer" else f"o.{name}" for name in Row._fields[:-1])}, 0
  FROM old.certificate AS o JOIN old.issuer AS i ON i.id = o.issuer
 WHERE o.extract = ? AND o.withdrawn IS NULL ORDER BY o.id
"""


class Predecessor:
    """The old generation, attached to the new one under the name ``old``."""

    def __init__(self, db: apsw.Connection, path: Path, vouched: Iterable[str] = ()) -> None:
        """Attach it read-only and take over ledger, journal, quarantine and issuer ids.

        ``vouched``: names of deltas on which the old generation's word is taken, see :meth:`vouched`.
        """
        self._db = db
        self._names = tuple(vouched)
        db.execute("ATTACH ? AS old", (f"{path.absolute().as_uri()}?mode=ro",))
        db.execute(_CARRY)
        db.execute(_SAME_JOURNAL)
        touched.begin(db)

    def in_use(self) -> int:
        """How many certificates are In-Use in the old generation: members of its digest."""
        return SetDigest.load(self._db.execute("SELECT digest FROM old.mirror WHERE one = 1").get).count

    def recall(self, serial: str, issuer: int) -> Memory | None:
        """What the old generation knows of a certificate."""
        row = self._db.execute(_KNOWN, (serial, issuer)).fetchone()
        if row is None:
            return None
        withdrawn, first_seen, last_changed, extract, *said = row
        return Memory(
            withdrawn=withdrawn,
            first_seen=first_seen,
            last_changed=last_changed,
            extract=extract,
            said=tuple(said),
        )

    def touch(self, serial: str, issuer: int) -> None:
        """Compare this certificate at the end."""
        touched.touch(self._db, serial, issuer)

    def vouched(self) -> Iterator[Vouched]:
        """For each such delta, in order: ledger id, date, and the rows that it was the last to change.

        A full may have been written before what they say; the old generation has said it since.
        """
        for name in self._names:
            ledgered: list[tuple[Any, ...]] = self._db.execute(_LEDGERED, (name,)).fetchall()
            for entry, day in ledgered:
                rows = self._db.execute(_OF_EXTRACT, (entry,))
                yield entry, date.fromisoformat(day), map(Row._make, rows)

    def settle(self, *, extract: int) -> tuple[Iterator[Changed], int]:
        """Give touched certificates their memory back, and find what has truly become of them."""
        return touched.compare(self._db, extract=extract)

    def carry_unlisted(self, *, extract: int, day: date) -> Iterator[int]:
        """Insert every old row that the new generation lacks; In-Use ones become withdrawn."""
        last = self._db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
        self._db.execute(_UNLISTED, {"day": days(day), "extract": extract})
        self._db.execute(_COUNT_UNLISTED, (last,))
        return (row for (row,) in self._db.execute(_NOW_WITHDRAWN, (last, extract)))

    def revoked(self) -> set[Identity]:
        """What lists revoke in the old generation."""
        return set(self._db.execute(_REVOKED))
