"""The rows of one full, loaded into a generation that has no indexes yet.

For: :class:`Loader`, which a build feeds batch by batch and then lets settle: one row for each certificate,
two indexes, the census. Each row is completed with what the old generation knows of it. Refuses: to judge
the full, to publish.
"""

from datetime import date
from typing import Final

import apsw

from smki_sync.mirror.apply import MOVE_CENSUS
from smki_sync.mirror.aside import set_aside
from smki_sync.mirror.digest import SetDigest
from smki_sync.mirror.door import Door, refused_row
from smki_sync.mirror.inherit import Inheritance
from smki_sync.mirror.issuers import Issuers
from smki_sync.mirror.repeats import Repeat, drop, find_repeats, number_of
from smki_sync.mirror.rows import INSERT, Batch, Row, days, said_by, values_of
from smki_sync.mirror.schema import INDEXES
from smki_sync.model.certificate import Rejected, Status

_COUNT: Final = "INSERT INTO census VALUES (?, ?, 0, ?)"


class Loader:
    """Loads the records of one full into a generation that has no indexes yet."""

    def __init__(self, db: apsw.Connection, *, extract: int, day: date, past: Inheritance) -> None:
        """``extract``: ledger id of the full. ``past``: what is known from before."""
        self._db = db
        self._extract = extract
        self._day = days(day)
        self._past = past
        self._issuers = Issuers(db)
        self._census: dict[tuple[int, str], int] = {}
        self.digest = SetDigest()
        self.records = self.inserted = self.updated = self.unchanged = self.quarantined = 0
        self.contradicted = 0

    @property
    def certificates(self) -> int:
        """How many the full lists, each counted once after :meth:`settle`."""
        return sum(self._census.values())

    def take(self, batch: Batch) -> None:
        """Load a batch."""
        self.records += len(batch.rows) + len(batch.rejected)
        for record in batch.rejected:
            self._set_aside(record)
        self._db.executemany(INSERT, [self._take(row) for row in batch.rows])

    def settle(self) -> None:
        """Leave one row for each certificate, index, and write the census."""
        try:
            self._db.execute(INDEXES)
        except apsw.ConstraintError:
            for repeat in find_repeats(self._db, extract=self._extract):
                self._drop(repeat)
            self._db.execute(INDEXES)
        self._db.executemany(_COUNT, [(*sort, count) for sort, count in sorted(self._census.items())])

    def weed(self, door: Door) -> None:
        """Put what the door refuses into the quarantine; the generation is whole and indexed by now."""
        found = list(door.refuse_among(self._db))
        numbers = [number_of(self._db, row.id, self._extract) for row, _why in found]
        for (row, why), number in zip(found, numbers, strict=True):
            before = self._past.recall(row.serial, self._issuers[row.issuer])
            by = self._db.execute("SELECT extract FROM certificate WHERE id = ?", (row.id,)).get
            self.inserted -= before is None
            self.updated -= before is not None and by == self._extract
            self.unchanged -= before is not None and by != self._extract
            self._db.execute("DELETE FROM certificate WHERE id = ?", (row.id,))
            self._db.execute(MOVE_CENSUS, (row.kind, row.status, 0, -1))
            self._count(row.kind, row.status, row.der, -1)
            self._set_aside(refused_row(row, why, number=number))

    def _drop(self, repeat: Repeat) -> None:
        drop(self._db, repeat, extract=self._extract)
        self._count(repeat.kind, repeat.status, repeat.der, -1)
        self.quarantined += repeat.conflict
        self.contradicted += repeat.contradicts
        if self._past.recall(repeat.serial, self._issuers[repeat.issuer]) is None:
            self.inserted -= 1
            self.unchanged += not repeat.conflict

    def _take(self, row: Row) -> tuple[object, ...]:
        """Count a row and complete it with what is known from before."""
        issuer = self._issuers[row.issuer]
        self._count(row.kind, row.status, row.der, 1)
        before = self._past.recall(row.serial, issuer)
        if before and before.withdrawn is None and before.said == said_by(row):
            self.unchanged += 1
            since, changed, extract = before.first_seen, before.last_changed, before.extract
        else:
            self.inserted += before is None
            self.updated += before is not None
            self._past.touch(row.serial, issuer)
            since, changed, extract = self._day, self._day, self._extract
        return values_of(row, issuer, first=since, changed=changed, extract=extract)

    def _count(self, kind: int, status: str, der: bytes, moved: int) -> None:
        self._census[kind, status] = self._census.get((kind, status), 0) + moved
        if status == Status.IN_USE:
            (self.digest.add if moved > 0 else self.digest.remove)(der)

    def _set_aside(self, record: Rejected) -> None:
        self.quarantined += 1
        set_aside(self._db, record, extract=self._extract)
