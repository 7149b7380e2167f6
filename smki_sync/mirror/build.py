"""Build a generation: load a full, merge the previous one, apply deltas, publish."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from os import fsync
from pathlib import Path
from typing import Any, Final, Self

import apsw

from smki_sync.merge import Baseline, FullSays, Statement, merge_full
from smki_sync.mirror import journal, ledger, revocation, rows, set_digest
from smki_sync.mirror.apply import (
    MOVE_CENSUS,
    CertificateGate,
    RecordApplier,
    StoredCertificate,
    check_changes,
    find_stored,
)
from smki_sync.mirror.bodies import VerifyBody, ignore_signatures, settle_bodies
from smki_sync.mirror.connection import connect, disk_errors, keep_side_files
from smki_sync.mirror.directory import BUILDING
from smki_sync.mirror.disagreement import write_disagreement
from smki_sync.mirror.journal import JournalEntry, JournalWriter
from smki_sync.mirror.previous import History, NoPreviousGeneration, PreviousGeneration
from smki_sync.mirror.rows import (
    CLAIMS,
    INSERT,
    INSERT_STATED,
    Batch,
    Issuers,
    Row,
    batches_of,
    claims_of,
    conflict_of,
    days,
    evidence_of,
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
from smki_sync.mirror.set_digest import SetDigest
from smki_sync.mirror.store import DEFAULT_LIMITS, Clock, Records
from smki_sync.model.certificate import Rejected, RejectReason, Status
from smki_sync.model.defaults import OVERLAP_DAYS
from smki_sync.model.extract import Extract
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import ChangeCounts
from smki_sync.policy import ChangeLimits

_REPEATED: Final = (
    "SELECT serial, issuer FROM certificate GROUP BY serial, issuer HAVING count(*) > 1 ORDER BY min(id)"
)
_REJECTED: Final = "SELECT number FROM quarantine WHERE extract = ? ORDER BY number"
_COMES_LATER: Final = "UPDATE quarantine SET later = 1 WHERE id = ?"
_ROWS: Final = f"""
SELECT c.id, {", ".join("i.name" if name == "issuer" else f"c.{name}" for name in Row._fields[:-1])}
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.serial = ? AND c.issuer = ? ORDER BY c.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedRecord:
    """A row to remove, because another row has its identity.

    ``conflict``: it has another body than the row that stays. ``contradicts``: it has the same body and
    another status.
    """

    row: int
    record: Row
    conflict: bool
    contradicts: bool


def find_repeats(db: apsw.Connection, *, extract: int) -> list[RepeatedRecord]:
    """Return the rows that violate the unique index on serial and issuer; do not change them."""
    db.execute("CREATE INDEX repeats ON certificate (serial, issuer)")
    repeated = db.execute(_REPEATED).fetchall()
    rows = [repeat for identity in repeated for repeat in _find_repeats_of(db, identity, extract)]
    db.execute("DROP INDEX repeats")
    return rows


def _find_repeats_of(
    db: apsw.Connection, identity: tuple[Any, ...], extract: int
) -> Iterator[RepeatedRecord]:
    """Yield the rows of one identity to remove: all but the last record with the first body."""
    rows: list[Any] = db.execute(_ROWS, identity).fetchall()
    found = [(row, Row._make((*values, number_of(db, row, extract)))) for row, *values in rows]
    first_body = found[0][1].der
    same = [(row, record) for row, record in found if record.der == first_body]
    last_status = same[-1][1].status
    for row, record in found:
        if row != same[-1][0]:
            conflict = record.der != first_body
            contradicts = not conflict and record.status != last_status
            yield RepeatedRecord(row=row, record=record, conflict=conflict, contradicts=contradicts)


def number_of(db: apsw.Connection, row: int, extract: int) -> int:
    """Return a row's place in the file: rows were loaded in order, without the rejected records."""
    number = row
    for (rejected,) in db.execute(_REJECTED, (extract,)):
        if rejected > number:
            break
        number += 1
    return number


_COUNT: Final = "INSERT INTO census VALUES (?, ?, 0, ?)"


class BulkLoader:
    """Loads the records of one full into a generation that has no indexes yet."""

    def __init__(self, db: apsw.Connection, *, extract: int, baseline: Baseline, previous: History) -> None:
        """Prepare to load. ``extract``: ledger id of the full."""
        self._db = db
        self._extract = extract
        self._baseline = baseline
        self._day = days(baseline.full)
        self._previous = previous
        self._insert = INSERT if isinstance(previous, NoPreviousGeneration) else INSERT_STATED
        self._issuers = Issuers(db)
        self._count_changes: dict[tuple[int, str], int] = {}
        self._rows = 0
        self._modified: list[int] = []
        self._disagreements: list[tuple[int, FullSays]] = []
        self._conflicts: list[tuple[str, int, int, int]] = []
        """Identity, number of rows loaded before, and quarantine entry of another body of a certificate that
        this full may have stated first."""
        self.digest = SetDigest()
        self.records = self.inserted = self.updated = self.unchanged = self.quarantined = 0
        self.contradicted = self.leaving = self.restated = 0

    @property
    def certificates(self) -> int:
        """Number of certificates that the full lists, each counted once after :meth:`finalise`."""
        return sum(self._count_changes.values())

    def load(self, batch: Batch) -> None:
        """Load a batch."""
        self.records += len(batch.rows) + len(batch.rejected)
        for record in batch.rejected:
            self._quarantine(record)
        self._db.executemany(self._insert, filter(None, map(self._values, batch.rows)))
        if self._modified or self._disagreements:
            self._previous.touch(self._modified)
            for row, says in self._disagreements:
                write_disagreement(self._db, row, says)
            self._modified.clear()
            self._disagreements.clear()

    def finalise(self) -> None:
        """Keep one row for each certificate, create the indexes, and write the census."""
        try:
            self._db.execute(INDEXES)
        except apsw.ConstraintError:
            for repeat in find_repeats(self._db, extract=self._extract):
                self._drop(repeat)
            self._db.execute(INDEXES)
        for serial, issuer, rows_before, entry in self._conflicts:
            held = find_stored(self._db, serial, issuer)
            if held is not None and held.id <= rows_before:
                self._db.execute(_COMES_LATER, (entry,))
        self._db.executemany(_COUNT, [(*sort, count) for sort, count in sorted(self._count_changes.items())])

    def remove_rejected(self, gate: CertificateGate) -> None:
        """Move the certificates that the gate refuses to the quarantine. All rows are loaded and indexed."""
        found = list(gate.refuse_among(self._db))
        numbers = [number_of(self._db, row.id, self._extract) for row, _why in found]
        for (row, why), number in zip(found, numbers, strict=True):
            before = self._previous.find_previous(row.serial, self._issuers[row.issuer])
            held = find_stored(self._db, row.serial, self._issuers[row.issuer])
            assert held is not None  # the gate has read it
            self.inserted -= before is None
            self.updated -= before is not None and held.extract == self._extract
            self.unchanged -= before is not None and held.extract != self._extract
            self._remove(row.id)
            self._previous.refuse(row.serial, self._issuers[row.issuer])
            self._db.execute(MOVE_CENSUS, (row.kind, row.status, 0, -1))
            self._count(row.kind, row.status, row.der, -1)
            record = Row._make(
                (
                    *(
                        row.serial,
                        row.issuer,
                        row.eui,
                        row.kind,
                        row.role,
                        row.usage,
                        row.status,
                        row.subject,
                    ),
                    *(row.not_before, row.not_after, row.ski, *held.claims[-2:], row.der, number),
                )
            )
            self._quarantine(evidence_of(record, RejectReason.SIGNATURE_FALSE, why))

    def _remove(self, row: int) -> None:
        self._db.execute("DELETE FROM certificate WHERE id = ?", (row,))
        self._db.execute("DELETE FROM disagreement WHERE certificate = ?", (row,))
        self._previous.forget(row)

    def _drop(self, repeat: RepeatedRecord) -> None:
        self._remove(repeat.row)
        self._count(repeat.record.kind, repeat.record.status, repeat.record.der, -1)
        self.contradicted += repeat.contradicts
        if repeat.conflict:
            self._quarantine(conflict_of(repeat.record), later=True)
        if self._previous.find_previous(repeat.record.serial, self._issuers[repeat.record.issuer]) is None:
            self.inserted -= 1
            self.unchanged += not repeat.conflict

    def _values(self, row: Row) -> tuple[object, ...] | None:
        """Count a row, and merge it with the previous one; ``None`` if it has another body."""
        issuer = self._issuers[row.issuer]
        before = self._previous.find_previous(row.serial, issuer)
        if before is None:
            self._rows += 1
            self._count(row.kind, row.status, row.der, 1)
            self.inserted += 1
            stamped = values_of(row, issuer, first=self._day, changed=self._day, extract=self._extract)
            if self._insert is INSERT:
                return stamped
            self._modified.append(self._rows)
            return (*stamped, None)
        if before.der != row.der:
            self._quarantine(conflict_of(row))
            if before.first_seen == self._day:
                entry = self._db.last_insert_rowid()
                self._conflicts.append((row.serial, issuer, self._rows, entry))
            return None
        self._rows += 1
        merged, *stamps = self._merge(row, before)
        self._count(merged.kind, merged.status, merged.der, 1)
        return (merged.serial, issuer, *merged[2:-1], before.first_seen, *stamps)

    def _merge(self, row: Row, before: StoredCertificate) -> tuple[Row, int, int, int | None]:
        """Merge a record with the previous row; return the merged row and the values of the last columns."""
        stated_on = self._previous.standing.get(before.last_statement)
        if stated_on is not None:
            self.unchanged += 1
            self.restated += (row.status == Status.IN_USE) - (before.status == Status.IN_USE)
            says = Statement(Status(row.status), claims_of(row))
            state = merge_full(before.state(stated_on), says, self._baseline)
            assert state is not None  # never None with a previous state
            if state.disagrees is not None:
                self._disagreements.append((self._rows, state.disagrees))
            claims: dict[str, Any] = dict(zip(CLAIMS, before.claims, strict=True))
            row = row._replace(status=before.status, **claims)
            return row, before.last_changed, before.extract, before.stated
        if before.says_same(row):
            self.unchanged += 1
            return row, before.last_changed, before.extract, before.stated
        self.updated += 1
        self.leaving += before.in_use and row.status != Status.IN_USE
        self._modified.append(self._rows)
        return row, self._day, self._extract, None

    def _count(self, kind: int, status: str, der: bytes, moved: int) -> None:
        self._count_changes[kind, status] = self._count_changes.get((kind, status), 0) + moved
        if status == Status.IN_USE:
            (self.digest.add if moved > 0 else self.digest.remove)(der)

    def _quarantine(self, record: Rejected, *, later: bool = False) -> None:
        self.quarantined += 1
        quarantine_record(self._db, record, extract=self._extract, later=later)


_CACHE_KIB: Final = -16_384  # 16 MiB of pages, and twice that while an index is sorted; more was slower

Step = Callable[[str], None]
"""Called with the name of each step of a build after its last record."""


class GenerationBuilder:
    """Builds a generation from a full. Leaving the context before :meth:`finish` removes the file.

    Call :meth:`load_batches` and :meth:`finalise_full` once, :meth:`apply_delta` for each delta,
    :meth:`finish` once. The first call may run in any thread while the full is still being downloaded.
    """

    def __init__(
        self,
        path: Path,
        *,
        full: date,
        old: Path | None,
        clock: Clock,
        step: Step,
        overlap_days: int = OVERLAP_DAYS,
        superseded: Iterable[date] = (),
        keep_changes_days: int | None = None,
        index_devices: bool = False,
        limits: ChangeLimits = DEFAULT_LIMITS,
        verify_body: VerifyBody = ignore_signatures,
    ) -> None:
        """Create the file.

        Args:
            path: file of the new generation, which must not exist.
            full: date of the full.
            old: the generation whose statements and journal are taken over, if any.
            clock: returns the time.
            step: called with the name of each step after the last record.
            overlap_days: deltas dated this many days before the full, or later, win over it.
            superseded: dates of applied deltas whose statements no longer count.
            keep_changes_days: days of the journal to keep; ``None``: all.
            index_devices: whether to index devices by key identifier and hash.
            limits: how much one file may change.
            verify_body: decides between two bodies of one certificate.
        """
        self.path = path
        self._verify_body = verify_body
        self._baseline = Baseline(full=full, overlap_days=overlap_days)
        self._keep_changes_days = keep_changes_days
        self._index_devices = index_devices
        self._temporary = path.with_name(path.name + BUILDING)
        self._clock = clock
        self._step = step
        self._limits = limits
        with disk_errors(path), ExitStack() as undo:
            undo.callback(self._temporary.unlink, missing_ok=True)
            self._db = _create(self._temporary)
            undo.callback(self._db.close)
            previous = (
                PreviousGeneration(self._db, old, self._baseline, superseded=superseded) if old else None
            )
            self._reached = self._baseline.position(previous.position() if previous else None)
            self._previous: History = previous or NoPreviousGeneration()
            undo.pop_all()

    def __enter__(self) -> Self:
        """Return it unchanged."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the file, and remove it unless it is finished."""
        with disk_errors(self.path):
            self._db.close()
            self._temporary.unlink(missing_ok=True)

    def load(self, file: AppliedFile, records: Records, *, gate: CertificateGate | None = None) -> None:
        """Load a full from its records. Passes on exceptions of ``records``."""
        self.load_batches(file.extract, batches_of(records))
        self.finalise_full(file, gate=gate)

    def load_batches(self, extract: Extract, batches: Iterable[Batch]) -> None:
        """Load the rows of a full, which may still be downloading. Passes on exceptions of ``batches``."""
        with disk_errors(self.path), self._db:
            self._began = self._clock()
            unfinished = AppliedFile(extract=extract, size=extract.size, sha256="")
            self._entry = ledger.open_entry(self._db, unfinished)
            self._loader = BulkLoader(
                self._db, extract=self._entry, baseline=self._baseline, previous=self._previous
            )
            for batch in batches:
                self._loader.load(batch)

    def finalise_full(self, file: AppliedFile, *, gate: CertificateGate | None = None) -> None:
        """Finish loading a complete full: record its hash, create indexes, check limits, add unlisted rows.

        ``gate``: decides which new certificates may be served, including those of later deltas.
        """
        loader = self._loader
        self._gate = gate
        with disk_errors(self.path), self._db:
            self._file = file
            ledger.name_entry(self._db, self._entry, file)
            self._step("indexing")
            loader.finalise()
            if gate:
                self._step("checking signatures")
                loader.remove_rejected(gate)
            name = file.extract.name
            self._limits.check_full(
                name,
                certificates=loader.certificates,
                in_use=loader.digest.count + loader.restated,
            )
            if isinstance(self._previous, PreviousGeneration):
                self._step("comparing with the previous generation")
            self._withdrawn = self._previous.carry_unlisted(
                self._baseline, extract=self._entry, digest=loader.digest
            )
            leaving = loader.leaving + self._withdrawn
            self._limits.check_shrink(name, before=self._previous.in_use(), leaving=leaving)
            self._needs_settling = bool(self._db.execute(_CONFLICTS).get)
            is_unclear = self._db.execute(_UNCLEAR).get and not self._previous.leads_to(self._baseline)
            ledger.write_baseline(self._db, self._baseline, is_unclear=bool(is_unclear))

    def apply_delta(self, file: AppliedFile, records: Records) -> ChangeCounts:
        """Apply a delta to the unpublished generation. Nothing changes if ``records`` raises."""
        digest = self._loader.digest.dump()
        day = file.extract.day
        try:
            with disk_errors(self.path), self._db:
                began = self._clock()
                entry = ledger.open_entry(self._db, file)
                before = self._loader.digest.count
                applier = self._record_applier(entry, day)
                applier.apply_all(records)
                check_changes(self._limits, file.extract, applier, before=before, is_new=day > self._reached)
                ledger.close_entry(self._db, entry, applier.counts, began=began, committed=self._clock())
        except BaseException:
            self._loader.digest = SetDigest.load(digest)
            raise
        self._reached = max(self._reached, day)
        self._needs_settling |= applier.needs_settling
        return applier.counts

    def _record_applier(self, extract: int, day: date) -> RecordApplier:
        return RecordApplier(
            self._db,
            extract=extract,
            day=day,
            baseline=self._baseline,
            standing=ledger.read_standing(self._db, self._baseline),
            digest=self._loader.digest,
            journal=self._touch,
            gate=self._gate,
        )

    def _touch(self, entry: JournalEntry) -> None:
        """Mark the row for comparison with the previous generation in :meth:`finish`."""
        self._previous.touch((entry.row,))

    def finish(self) -> ChangeCounts:
        """Write the journal and the state, and publish the file; return the counts of the full."""
        loaded, at = self._loader, self._clock()
        counts = ChangeCounts(
            records=loaded.records,
            inserted=loaded.inserted,
            updated=loaded.updated,
            unchanged=loaded.unchanged,
            withdrawn=self._withdrawn,
            quarantined=loaded.quarantined,
            contradicted=loaded.contradicted,
        )
        with disk_errors(self.path):
            with self._db:
                if self._needs_settling:
                    settle_bodies(self._db, self._verify_body, digest=loaded.digest, journal=self._touch)
                writer = JournalWriter(self._db, self._entry, self._baseline.full, at=at)
                self._previous.write_journal(recorded_at=writer.recorded_at)
                self._revoke(writer)
                ledger.close_entry(self._db, self._entry, counts, began=self._began, committed=at)
                self._index_hashes()
                journal.begin(self._db, reached=self._reached)
                journal.prune(self._db, position=self._reached, keep_days=self._keep_changes_days)
                ledger.update_proof(self._db, self._reached)
                set_digest.write_state(self._db, position=self._reached, digest=loaded.digest)
            self._step("writing to disk")
            self._seal()
        return counts

    def _index_hashes(self) -> None:
        """Index the hashes of certificates; of devices only if configured."""
        if self._index_devices:
            self._step("indexing devices by key identifier and hash")
            rows.index_devices(self._db)
        rows.fill(self._db)

    def _revoke(self, writer: JournalWriter) -> None:
        """Apply the copied revocation lists to every row; write new revocations to the journal."""
        before = self._previous.revoked()
        for moved in revocation.enforce(self._db, self._loader.digest):
            if moved.identity not in before:
                writer.write(moved.changed)

    def _seal(self) -> None:
        """Turn on the write-ahead log, flush the file to disk and rename it."""
        self._db.execute(VIEWS)
        if isinstance(self._previous, PreviousGeneration):
            self._db.execute("DETACH old")
        self._db.pragma("journal_mode", "WAL")
        self._db.close()
        with self._temporary.open("rb") as file:
            fsync(file.fileno())
        self._temporary.replace(self.path)
        with closing(connect(self.path)) as db:
            keep_side_files(db)
            db.execute("SELECT * FROM mirror").fetchall()  # the first read creates the side files


_CONFLICTS: Final = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE reason = 'identity-conflict')"
_UNCLEAR: Final = "SELECT EXISTS (SELECT 1 FROM disagreement WHERE says = 'unclear')"


def _create(path: Path) -> apsw.Connection:
    """Create an empty generation. It is not synced to disk, because an unfinished file is discarded.

    A failed statement must be undone, so there is a rollback journal. The journal is on disk, because a
    delta changes pages throughout the file, which took 0.4 GiB of memory.
    """
    db = connect(path, create=True)
    db.pragma("page_size", PAGE_BYTES)
    db.pragma("cache_size", _CACHE_KIB)
    db.pragma("synchronous", "OFF")
    # CREATE INDEX sorts in temporary files. Their space was checked on the disk of the mirror, not in /tmp.
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
