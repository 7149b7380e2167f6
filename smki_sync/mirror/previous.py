"""Carry history over from the previous generation and compare with it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import starmap
from pathlib import Path
from typing import Any, Final, Protocol

import apsw

from smki_sync.mirror.journal import ChangeKind, JournalEntry
from smki_sync.mirror.ledger import SetDigest
from smki_sync.mirror.rows import Row, conflict_of, days, quarantine_record
from smki_sync.model.certificate import Status

SAID: Final = "status, eui, role, usage, manufacturing, flags, der"
"""What the Repository says of a certificate, as columns."""

_BEGIN: Final = """
CREATE TEMP TABLE touched (serial TEXT, issuer INTEGER, PRIMARY KEY (serial, issuer)) WITHOUT ROWID;
"""
_TOUCH: Final = "INSERT OR IGNORE INTO touched VALUES (?, ?)"
_BOTH: Final = """
  FROM touched AS t
 CROSS JOIN certificate AS n ON n.serial = t.serial AND n.issuer = t.issuer
 CROSS JOIN old.certificate AS o ON o.serial = t.serial AND o.issuer = t.issuer
"""
"""CROSS: SQLite would rather read the whole of ``certificate``, which comes in the order of its ids."""
_SAME: Final = " AND ".join(
    ["o.withdrawn IS NULL", *(f"n.{name.strip()} IS o.{name.strip()}" for name in SAID.split(","))]
)
_DIFFERENCES: Final = f"""
SELECT n.id, o.status, o.withdrawn, n.status {_BOTH.replace("CROSS JOIN old", "LEFT JOIN old")} ORDER BY n.id
"""
_OTHER_BODIES: Final = f"""
SELECT o.serial, i.name, o.status, o.der {_BOTH} JOIN issuer AS i ON i.id = o.issuer
 WHERE n.der <> o.der ORDER BY n.id
"""
_KEPT: Final = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE extract = ? AND xml = ?)"
_KEEP_SINCE: Final = f"""
UPDATE certificate SET first_seen = (
       SELECT o.first_seen FROM old.certificate AS o
        WHERE o.serial = certificate.serial AND o.issuer = certificate.issuer)
 WHERE id IN (SELECT n.id {_BOTH})
"""
_KEEP_CHANGED: Final = f"""
UPDATE certificate SET (last_changed, extract) = (
       SELECT o.last_changed,
              iif(certificate.extract IN (SELECT id FROM main.extract WHERE kind = 'delta'),
                  certificate.extract, o.extract)
         FROM old.certificate AS o
        WHERE o.serial = certificate.serial AND o.issuer = certificate.issuer)
 WHERE id IN (SELECT n.id {_BOTH} WHERE {_SAME})
"""
"""What ended as it was before keeps its dates. What a delta put right against the full keeps that delta as
its file: nothing else explains to a comparison why it is not as the full says."""

HELD_BEFORE: Final = 0
"""Record number of evidence that is not of the file: a body that was held before."""


def begin(db: apsw.Connection) -> None:
    """None is touched yet."""
    db.execute(_BEGIN)


def touch(db: apsw.Connection, serial: str, issuer: int) -> None:
    """Compare this certificate at the end."""
    db.execute(_TOUCH, (serial, issuer))


def compare_generations(db: apsw.Connection, *, extract: int) -> tuple[Iterator[JournalEntry], int]:
    """Give touched certificates their memory back, and find what has truly become of them."""
    replaced = _set_aside_bodies(db, extract)
    db.execute(_KEEP_SINCE)
    db.execute(_KEEP_CHANGED)
    found: Iterator[Any] = db.execute(_DIFFERENCES)
    return filter(None, starmap(_difference, found)), replaced


def _set_aside_bodies(db: apsw.Connection, extract: int) -> int:
    """Keep bodies that others have replaced, but for those that this file listed and lost too."""
    bodies: list[tuple[Any, ...]] = db.execute(_OTHER_BODIES).fetchall()
    evidence = [conflict_of(HELD_BEFORE, *body) for body in bodies]
    news = [one for one in evidence if not db.execute(_KEPT, (extract, one.xml)).get]
    for one in news:
        quarantine_record(db, one, extract=extract)
    return len(news)


def _difference(row: int, before: str | None, withdrawn: int | None, after: str) -> JournalEntry | None:
    if before is None:
        return JournalEntry(row=row, change=ChangeKind.ADDED, before=None, after=after)
    if before != after:
        return JournalEntry(row=row, change=ChangeKind.STATUS, before=before, after=after)
    if withdrawn is not None and after == Status.IN_USE:
        return JournalEntry(row=row, change=ChangeKind.REINSTATED, before=None, after=after)
    return None


Vouched = tuple[int, date, Iterator[Row]]
"""Ledger id and date of a delta, and what it said."""

Identity = tuple[str, int]
"""Serial number, issuer id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousRow:
    """What is known of a certificate from before. Days since 1970.

    ``extract``: ledger id of the file that last changed it. ``said``: status, EUI-64, role, usage,
    manufacturing flag, flags and body as the old generation holds them.
    """

    withdrawn: int | None
    first_seen: int
    last_changed: int
    extract: int
    said: tuple[Any, ...]


class History(Protocol):
    """The memory that a build draws on: an old generation's, or none at bootstrap."""

    def in_use(self) -> int:
        """How many certificates are In-Use in it."""

    def recall(self, serial: str, issuer: int) -> PreviousRow | None:
        """What is known of a certificate."""

    def touch(self, serial: str, issuer: int) -> None:
        """It may not be as it was: compare it at the end."""

    def vouched(self) -> Iterator[Vouched]:
        """What the old generation knows from deltas that nobody can replay any more."""

    def settle(self, *, extract: int) -> tuple[Iterator[JournalEntry], int]:
        """Compare what was touched: the true differences, and how many bodies went to the quarantine.

        After a month there may be millions of differences, so they come one by one, to be taken at once.
        """

    def carry_unlisted(self, *, extract: int, day: date) -> Iterator[int]:
        """Take over what the full does not list; the row ids of those that are withdrawn by it, as above."""

    def revoked(self) -> set[Identity]:
        """What was revoked by a list before: to be revoked still is no news."""


class NoPreviousGeneration:
    """Bootstrap: there is no old generation. The first full is the journal's ground, not an entry in it."""

    def in_use(self) -> int:
        """None."""
        return 0

    def recall(self, serial: str, issuer: int) -> None:
        """Nothing is known."""

    def touch(self, serial: str, issuer: int) -> None:
        """Nothing to compare with."""

    def vouched(self) -> Iterator[Vouched]:
        """Nothing is known."""
        return iter(())

    def settle(self, *, extract: int) -> tuple[Iterator[JournalEntry], int]:  # noqa: ARG002 - the protocol's name
        """No difference."""
        return iter(()), 0

    def carry_unlisted(self, *, extract: int, day: date) -> Iterator[int]:  # noqa: ARG002 - the protocol's names
        """Nothing to carry."""
        return iter(())

    def revoked(self) -> set[Identity]:
        """Nothing is known."""
        return set()


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
    f"SELECT withdrawn, first_seen, last_changed, extract, {SAID} FROM old.certificate"
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


class PreviousGeneration:
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
        begin(db)

    def in_use(self) -> int:
        """How many certificates are In-Use in the old generation: members of its digest."""
        return SetDigest.load(self._db.execute("SELECT digest FROM old.mirror WHERE one = 1").get).count

    def recall(self, serial: str, issuer: int) -> PreviousRow | None:
        """What the old generation knows of a certificate."""
        row = self._db.execute(_KNOWN, (serial, issuer)).fetchone()
        if row is None:
            return None
        withdrawn, first_seen, last_changed, extract, *said = row
        return PreviousRow(
            withdrawn=withdrawn,
            first_seen=first_seen,
            last_changed=last_changed,
            extract=extract,
            said=tuple(said),
        )

    def touch(self, serial: str, issuer: int) -> None:
        """Compare this certificate at the end."""
        touch(self._db, serial, issuer)

    def vouched(self) -> Iterator[Vouched]:
        """For each such delta, in order: ledger id, date, and the rows that it was the last to change.

        A full may have been written before what they say; the old generation has said it since.
        """
        for name in self._names:
            ledgered: list[tuple[Any, ...]] = self._db.execute(_LEDGERED, (name,)).fetchall()
            for entry, day in ledgered:
                rows = self._db.execute(_OF_EXTRACT, (entry,))
                yield entry, date.fromisoformat(day), map(Row._make, rows)

    def settle(self, *, extract: int) -> tuple[Iterator[JournalEntry], int]:
        """Give touched certificates their memory back, and find what has truly become of them."""
        return compare_generations(self._db, extract=extract)

    def carry_unlisted(self, *, extract: int, day: date) -> Iterator[int]:
        """Insert every old row that the new generation lacks; In-Use ones become withdrawn."""
        last = self._db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
        self._db.execute(_UNLISTED, {"day": days(day), "extract": extract})
        self._db.execute(_COUNT_UNLISTED, (last,))
        return (row for (row,) in self._db.execute(_NOW_WITHDRAWN, (last, extract)))

    def revoked(self) -> set[Identity]:
        """What lists revoke in the old generation."""
        return set(self._db.execute(_REVOKED))
