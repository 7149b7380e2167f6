"""GenerationBuilder: bulk-load a full, index, publish."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from os import fsync
from pathlib import Path
from typing import Any, Final, Self

import apsw

from smki_sync.mirror import journal, ledger, revocation, rows
from smki_sync.mirror.apply import MOVE_CENSUS, CertificateGate, RecordApplier, refused_row
from smki_sync.mirror.connection import connect, disk_errors, keep_side_files
from smki_sync.mirror.directory import BUILDING
from smki_sync.mirror.journal import ChangeKind, JournalEntry, JournalWriter
from smki_sync.mirror.ledger import SetDigest
from smki_sync.mirror.previous import History, NoPreviousGeneration, PreviousGeneration
from smki_sync.mirror.rows import (
    INSERT,
    Batch,
    Issuers,
    Row,
    batches_of,
    claims_of,
    conflict_of,
    days,
    quarantine_record,
    values_of,
)
from smki_sync.mirror.schema import (
    APPLICATION_ID,
    FEW_INDEXES,
    INDEXES,
    PAGE_BYTES,
    SCHEMA_VERSION,
    TABLES,
    VIEWS,
)
from smki_sync.mirror.store import DEFAULT_BOUNDS, Clock, Records
from smki_sync.model.certificate import Rejected, Status
from smki_sync.model.extract import Extract
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import ChangeCounts
from smki_sync.policy import ChangeLimits

_REPEATED: Final = (
    "SELECT serial, issuer FROM certificate GROUP BY serial, issuer HAVING count(*) > 1 ORDER BY min(id)"
)
_REJECTED: Final = "SELECT number FROM quarantine WHERE extract = ? ORDER BY number"
_ROWS: Final = """
SELECT c.id, c.serial, i.name, c.kind, c.status, c.der
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.serial = ? AND c.issuer = ? ORDER BY c.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedRecord:
    """A row that must go.

    ``conflict``: it has another body than the one that stays; ``contradicts``: the same, and another
    status. ``number``: its place in the file, from 1.
    """

    row: int
    number: int
    serial: str
    issuer: str
    kind: int
    status: str
    der: bytes
    conflict: bool
    contradicts: bool


def find_repeats(db: apsw.Connection, *, extract: int) -> list[RepeatedRecord]:
    """Every row that stands in the way of the unique index; rows are not touched."""
    db.execute("CREATE INDEX repeats ON certificate (serial, issuer)")
    repeated = db.execute(_REPEATED).fetchall()
    rows = [repeat for identity in repeated for repeat in _of_one(db, identity, extract)]
    db.execute("DROP INDEX repeats")
    return rows


def _of_one(db: apsw.Connection, identity: tuple[Any, ...], extract: int) -> Iterator[RepeatedRecord]:
    rows: list[tuple[Any, ...]] = db.execute(_ROWS, identity).fetchall()
    first_body = rows[0][-1]
    alike = [row for row in rows if row[-1] == first_body]
    others = [row for row in rows if row[-1] != first_body]
    last_status = alike[-1][-2]
    for row, serial, issuer, kind, status, der in (*alike[:-1], *others):
        yield RepeatedRecord(
            row=row,
            number=number_of(db, row, extract),
            serial=serial,
            issuer=issuer,
            kind=kind,
            status=status,
            der=der,
            conflict=der != first_body,
            contradicts=der == first_body and status != last_status,
        )


def number_of(db: apsw.Connection, row: int, extract: int) -> int:
    """A row's place in the file: rows were loaded in order, rejected records left out."""
    number = row
    for (rejected,) in db.execute(_REJECTED, (extract,)):
        if rejected > number:
            break
        number += 1
    return number


def drop(db: apsw.Connection, repeat: RepeatedRecord, *, extract: int) -> None:
    """Remove the row; a conflicting one is kept in the quarantine."""
    db.execute("DELETE FROM certificate WHERE id = ?", (repeat.row,))
    if repeat.conflict:
        evidence = conflict_of(repeat.number, repeat.serial, repeat.issuer, repeat.status, repeat.der)
        quarantine_record(db, evidence, extract=extract)


_COUNT: Final = "INSERT INTO census VALUES (?, ?, 0, ?)"


class BulkLoader:
    """Loads the records of one full into a generation that has no indexes yet."""

    def __init__(self, db: apsw.Connection, *, extract: int, day: date, past: History) -> None:
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

    def weed(self, door: CertificateGate) -> None:
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

    def _drop(self, repeat: RepeatedRecord) -> None:
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
        if before and before.withdrawn is None and before.said == claims_of(row):
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
        quarantine_record(self._db, record, extract=self._extract)


_CACHE_KIB: Final = -16_384  # 16 MiB of pages, and as much again while an index is sorted; more was slower

Step = Callable[[str], None]
"""Told what a build is doing after its last record."""


class GenerationBuilder:
    """A generation in the making. A context manager: unless finished, leaving it removes the file.

    Call :meth:`load` or :meth:`load_batches` once, :meth:`overlap` for each delta to replay in order,
    :meth:`finish` once. What is still coming in is loaded in two steps, :meth:`take` and :meth:`settle`, the
    first in whatever thread. ``door``: asked which certificates may stay.
    """

    def __init__(
        self,
        path: Path,
        *,
        old: Path | None,
        clock: Clock,
        step: Step,
        vouched: Iterable[str] = (),
        keep_changes_days: int | None = None,
        index_devices: bool = False,
        bounds: ChangeLimits = DEFAULT_BOUNDS,
        door: CertificateGate | None = None,
    ) -> None:
        """``path``: where no generation is yet. ``old``: the generation to take over from, if any.

        ``vouched``: names of deltas that the old generation has applied, that are not on offer any
        more, and that the full may not have seen: there the old generation's word stands.

        ``keep_changes_days``: how many days of the journal are kept; ``None``: all. ``index_devices``:
        whether devices can be looked up by key identifier and hash without reading every row.
        ``bounds``: what one file may do to the mirror.
        """
        self.door = door
        self.path = path
        self._keep_changes_days = keep_changes_days
        self._index_devices = index_devices
        self._aside = path.with_name(path.name + BUILDING)
        self._clock = clock
        self._step = step
        self._bounds = bounds
        with disk_errors(path), ExitStack() as undo:
            undo.callback(self._aside.unlink, missing_ok=True)
            self._db = _create(self._aside)
            undo.callback(self._db.close)
            self._past: History = (
                PreviousGeneration(self._db, old, vouched) if old else NoPreviousGeneration()
            )
            undo.pop_all()

    def __enter__(self) -> Self:
        """Take it as it is."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close; what was not finished is of no use to anybody."""
        with disk_errors(self.path):
            self._db.close()
            self._aside.unlink(missing_ok=True)

    def load(self, file: AppliedFile, records: Records) -> None:
        """Load the full from its records; raises what ``records`` raises."""
        self.load_batches(file, batches_of(records))

    def load_batches(self, file: AppliedFile, batches: Iterable[Batch]) -> None:
        """Load the full from batches of rows; raises what ``batches`` raises."""
        self.take(file.extract, batches)
        self.settle(file)

    def take(self, extract: Extract, batches: Iterable[Batch]) -> None:
        """Load the rows of a full that need not be whole yet; raises what ``batches`` raises."""
        with disk_errors(self.path), self._db:
            self._began = self._clock()
            unproven = AppliedFile(extract=extract, size=extract.size, sha256="")
            self._entry = ledger.open_entry(self._db, unproven)
            self._loader = BulkLoader(self._db, extract=self._entry, day=extract.day, past=self._past)
            for batch in batches:
                self._loader.take(batch)

    def settle(self, file: AppliedFile) -> None:
        """The full is whole: say in the ledger what it is, index, weed, and hold it against the bounds."""
        loader = self._loader
        with disk_errors(self.path), self._db:
            self._file = file
            self._reached = file.extract.day
            ledger.name_entry(self._db, self._entry, file)
            self._step("indexing")
            loader.settle()
            if self.door:
                self._step("proving signatures")
                loader.weed(self.door)
            self._bounds.check_full(
                file.extract.name, certificates=loader.certificates, in_use=loader.digest.count
            )
            for entry, day, rows in self._past.vouched():
                self._applier(entry, day).take_rows(rows)

    def overlap(self, file: AppliedFile, records: Records) -> ChangeCounts:
        """Replay a delta onto the full before anybody sees it; raises what ``records`` raises."""
        with disk_errors(self.path), self._db:
            began = self._clock()
            entry = ledger.open_entry(self._db, file)
            held = self._loader.digest.count
            applier = self._applier(entry, file.extract.day)
            applier.take_all(records)
            self._bounds.check_delta(file.extract.name, repeated=applier.unchanged, held=held)
            ledger.close_entry(self._db, entry, applier.counts, began=began, committed=self._clock())
        self._reached = max(self._reached, file.extract.day)
        return applier.counts

    def _applier(self, extract: int, day: date) -> RecordApplier:
        return RecordApplier(
            self._db,
            extract=extract,
            day=day,
            digest=self._loader.digest,
            journal=lambda _changed: None,  # the comparison at the end tells what truly changed
            touch=self._past.touch,
            door=self.door,
        )

    def finish(self) -> ChangeCounts:
        """Compare with the old generation, write the state, make it durable; the full's counts."""
        day = self._file.extract.day
        with disk_errors(self.path):
            before, after = self._past.in_use(), self._loader.digest.count
            self._bounds.check_shrink(self._file.extract.name, before=before, after=after)
            if isinstance(self._past, PreviousGeneration):
                self._step("comparing with the generation before")
            with self._db:
                counts = self._settle_past(day)
                ledger.close_entry(self._db, self._entry, counts, began=self._began, committed=self._clock())
                self._db.execute("UPDATE mirror SET full_day = ? WHERE one = 1", (day.isoformat(),))
                self._index_few()
                journal.begin(self._db, reached=self._reached)
                journal.prune(self._db, position=self._reached, keep_days=self._keep_changes_days)
                ledger.write_state(self._db, position=self._reached, digest=self._loader.digest)
            self._step("writing to disk")
            self._seal()
        return counts

    def _index_few(self) -> None:
        """Hashes of those that are looked up by them, now that every row is there."""
        if self._index_devices:
            self._step("indexing devices by key identifier and hash")
            rows.index_devices(self._db)
        rows.fill(self._db)

    def _settle_past(self, day: date) -> ChangeCounts:
        journalist = JournalWriter(self._db, self._entry, day)
        loaded = self._loader
        differences, replaced = self._past.settle(extract=self._entry)
        for changed in differences:
            journalist.write(changed)
        withdrawn = 0
        for row in self._past.carry_unlisted(extract=self._entry, day=day):
            journalist.write(
                JournalEntry(row=row, change=ChangeKind.WITHDRAWN, before=Status.IN_USE, after=None)
            )
            withdrawn += 1
        self._revoke(journalist)
        return ChangeCounts(
            records=loaded.records,
            inserted=loaded.inserted,
            updated=loaded.updated,
            unchanged=loaded.unchanged,
            withdrawn=withdrawn,
            quarantined=loaded.quarantined + replaced,
            contradicted=loaded.contradicted,
        )

    def _revoke(self, journalist: JournalWriter) -> None:
        """Hold every row against the lists that were taken over."""
        before = self._past.revoked()
        for moved in revocation.enforce(self._db, self._loader.digest):
            if moved.identity not in before:
                journalist.write(moved.changed)

    def _seal(self) -> None:
        """Turn on the write-ahead log and reach the disk before anybody is pointed here."""
        self._db.execute(VIEWS)
        if isinstance(self._past, PreviousGeneration):
            self._db.execute("DETACH old")
        self._db.pragma("journal_mode", "WAL")
        self._db.close()
        with self._aside.open("rb") as file:
            fsync(file.fileno())
        self._aside.replace(self.path)
        with closing(connect(self.path)) as db:
            keep_side_files(db)
            db.execute("SELECT * FROM mirror").fetchall()  # the first look makes the side files


def _create(path: Path) -> apsw.Connection:
    """An empty generation, without waiting for the disk: it is all or nothing.

    A statement that fails must still be undone, so there is a rollback journal. It lies beside the file: a
    delta that is replayed onto a full changes pages all over it, and in memory they took 0.4 GiB.
    """
    db = connect(path, create=True)
    db.pragma("page_size", PAGE_BYTES)
    db.pragma("cache_size", _CACHE_KIB)
    db.pragma("synchronous", "OFF")
    # CREATE INDEX sorts in temporary files: on the mirror's disk, whose space was checked, not in /tmp.
    db.pragma("temp_store_directory", str(path.parent.absolute()))
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", SCHEMA_VERSION)
    with db:
        db.execute(TABLES)
        db.execute(FEW_INDEXES)
        db.execute(
            "INSERT INTO mirror (one, digest, created, lineage) VALUES"
            " (1, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), lower(hex(randomblob(8))))",
            (SetDigest().dump(),),
        )
    return db
