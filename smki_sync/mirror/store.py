"""One generation, open for writing: position, ledger, census, and deltas.

For: the promise that a delta is all there or not there at all. Rows, journal, ledger entry, digest
and position commit in one transaction; whatever raises in the middle leaves the state before.
Refuses: to run without the lock (the deed holds it), to apply a delta that does not follow, or one
that goes beyond the bounds.
"""

from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

import apsw

from smki_sync.errors import InternalError, MirrorDamaged
from smki_sync.mirror import journal, ledger, revocation
from smki_sync.mirror.apply import CertificateGate, RecordApplier
from smki_sync.mirror.connection import connect, connect_to_read, disk_errors, keep_side_files
from smki_sync.mirror.journal import JournalEntry, JournalWriter
from smki_sync.mirror.reconcile import DriftDifference, repair
from smki_sync.mirror.revocation import ListArrival, Publication, StoredCompanion
from smki_sync.mirror.schema import APPLICATION_ID, SCHEMA_VERSION
from smki_sync.model.certificate import Entry, Rejected
from smki_sync.model.extract import Extract
from smki_sync.model.plan import AppliedFile, MirrorState, Position
from smki_sync.model.report import CertificateCounts, ChangeCounts
from smki_sync.policy import ChangeLimits
from smki_sync.trust.revocation_lists import Refusal

Records = Iterable[Entry | Rejected]
Clock = Callable[[], datetime]

DEFAULT_BOUNDS: Final = ChangeLimits()


def check_schema_version(path: Path) -> MirrorState:
    """What lies at ``path``: a mirror of this version, of another, or a damaged one."""
    try:
        with disk_errors(path), closing(connect_to_read(path)) as db:
            application = db.pragma("application_id")
            version = db.pragma("user_version")
            if application == APPLICATION_ID and version == SCHEMA_VERSION:
                ledger.read_position(db)
                ledger.read_census(db)
    except MirrorDamaged:
        return MirrorState.DAMAGED
    if application != APPLICATION_ID:
        return MirrorState.DAMAGED
    if version == SCHEMA_VERSION:
        return MirrorState.HEALTHY
    return MirrorState.NEWER_SCHEMA if version > SCHEMA_VERSION else MirrorState.OLDER_SCHEMA


class MirrorStore:
    """A generation that is open for writing. A context manager: leaving it checkpoints and closes.

    Whoever interrupts it does not wait for the checkpoint: what is committed is safe in the log.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep_changes_days: int | None = None,
        bounds: ChangeLimits = DEFAULT_BOUNDS,
        door: CertificateGate | None = None,
    ) -> None:
        """Open a generation that :func:`survey` found healthy.

        ``keep_changes_days``: how many days of the journal a delta leaves; ``None``: all. ``bounds``: what
        one file may do to it. ``door``: asked before a certificate that is not known is kept.
        """
        self.path = path
        self._door = door
        self._bounds = bounds
        self._keep_changes_days = keep_changes_days
        with disk_errors(path):
            self._db = connect(path)
            keep_side_files(self._db)
            self._db.pragma("synchronous", "FULL")

    def __enter__(self) -> Self:
        """Take it as it is."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None, /
    ) -> None:
        """Empty the write-ahead log into the file, as far as readers let it without waiting, and close."""
        with disk_errors(self.path), closing(self._db) as db:
            if isinstance(error, KeyboardInterrupt):
                db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                return
            db.set_busy_timeout(0)
            with suppress(apsw.BusyError):
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def position(self) -> Position:
        """How far this generation is, with the chain of files since its full."""
        with disk_errors(self.path):
            return ledger.read_position(self._db)

    def census(self) -> CertificateCounts:
        """Counts and digest."""
        with disk_errors(self.path):
            return ledger.read_census(self._db)

    def apply_delta(self, file: AppliedFile, records: Records, *, clock: Clock) -> ChangeCounts:
        """Apply one delta in one transaction; raises what ``records`` raises, with nothing done.

        A delta that the chain already holds with the same bytes changes nothing.
        Raises :class:`InternalError` for one that does not follow the position.
        """
        with disk_errors(self.path), self._db:
            position = ledger.read_position(self._db)
            if any(f.extract.name == file.extract.name and f.sha256 == file.sha256 for f in position.chain):
                counts = _unchanged(records)
            else:
                _check_follows(file.extract, position)
                counts = self._apply(file, records, position, clock)
        return counts

    def note_modified(self, extract: Extract) -> None:
        """The same bytes have another time on offer: remember it."""
        with disk_errors(self.path), self._db:
            ledger.note_modified(self._db, extract)

    def note_incidents(self, names: Iterable[str], now: datetime) -> None:
        """Applied deltas have other bytes on offer: remember it until a full settles it.

        The evidence leaves the seven-day window; what was applied from it does not.
        """
        with disk_errors(self.path), self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO incident VALUES (?, ?)", [(name, ledger.utc(now)) for name in names]
            )

    def accept_quarantine(self, now: datetime) -> None:
        """Somebody has taken note of what is in quarantine; it stays as evidence."""
        with disk_errors(self.path), self._db:
            self._db.execute("UPDATE quarantine SET accepted = ? WHERE accepted IS NULL", (ledger.utc(now),))

    def repair(
        self, file: AppliedFile, differences: Iterable[DriftDifference], *, clock: Clock
    ) -> ChangeCounts:
        """Make differences from a full good in one transaction; the position stays.

        Raises ``BadExtract`` where the full would cost the mirror more than the bounds allow.
        """
        with disk_errors(self.path), self._db:
            began = clock()
            held = ledger.read_digest(self._db).count
            entry, counts = repair(self._db, file, differences)
            after = ledger.read_digest(self._db).count
            self._bounds.check_shrink(file.extract.name, before=held, after=after)
            ledger.close_entry(self._db, entry, counts, began=began, committed=clock())
        return counts

    def replay_overlap(
        self, files: Iterable[tuple[AppliedFile, Records]], *, clock: Clock
    ) -> list[ChangeCounts]:
        """Replay overlap deltas onto a mirror that still stands at its full, all or none of them.

        An older delta only counts with every later one up to the full behind it, so those that the
        chain already holds are applied again, in order. Raises what their records raise.
        """
        with disk_errors(self.path), self._db:
            position = ledger.read_position(self._db)
            counts = []
            for file, records in files:
                _check_overlap(file.extract, position)
                counts.append(self._apply(file, records, position, clock))
        return counts

    def apply_list(self, arrival: ListArrival, *, day: date, ground: bool = False) -> list[JournalEntry]:
        """Bring a list into force in one transaction; what became revoked by it, or is so no longer.

        ``day``: today, for the journal. ``ground``: the journal begins with what this generation holds, and
        nobody has seen it yet: the list is a part of that. Position and ledger are not touched: a list is no
        extract.
        """
        with disk_errors(self.path), self._db:
            position, digest = ledger.read_position(self._db), ledger.read_digest(self._db)
            by = revocation.bring_into_force(self._db, arrival)
            journalist = JournalWriter(self._db, ledger.newest_entry(self._db), day, by=by)
            changes = [moved.changed for moved in revocation.enforce(self._db, digest)]
            for changed in () if ground else changes:
                journalist.write(changed)
            ledger.write_state(self._db, position=position.day, digest=digest)
        return changes

    def keep_companion(self, kept: StoredCompanion, *, at: str) -> None:
        """Remember a list or a slot file as it was served. ``at``: UTC, ISO 8601."""
        with disk_errors(self.path), self._db:
            revocation.keep(self._db, kept, at)

    def set_aside_companion(self, kept: StoredCompanion, refusal: Refusal, *, at: str) -> None:
        """Keep a refused list or slot file as evidence. ``at``: UTC, ISO 8601."""
        with disk_errors(self.path), self._db:
            revocation.set_aside(self._db, kept, refusal, at)

    def publish_slots(self, publication: Publication) -> None:
        """Take a publication of anchor slots into the history, unless it is the newest there."""
        with disk_errors(self.path), self._db:
            revocation.publish(self._db, publication)

    def _apply(self, file: AppliedFile, records: Records, position: Position, clock: Clock) -> ChangeCounts:
        began = clock()
        entry = ledger.open_entry(self._db, file)
        digest = ledger.read_digest(self._db)
        day = file.extract.day
        journalist = JournalWriter(self._db, entry, day)
        applier = RecordApplier(
            self._db, extract=entry, day=day, digest=digest, journal=journalist.write, door=self._door
        )
        held = digest.count
        applier.take_all(records)
        self._bounds.check_delta(file.extract.name, repeated=applier.unchanged, held=held)
        self._bounds.check_shrink(file.extract.name, before=held, after=digest.count)
        for moved in revocation.enforce(self._db, digest):
            journalist.write(moved.changed)
        ledger.close_entry(self._db, entry, applier.counts, began=began, committed=clock())
        reached = max(position.day, day)
        journal.prune(self._db, position=reached, keep_days=self._keep_changes_days)
        ledger.write_state(self._db, position=reached, digest=digest)
        return applier.counts


def _check_follows(extract: Extract, position: Position) -> None:
    next_day = position.day + timedelta(days=1)
    if extract.day != next_day:
        _refuse(extract, position, f"{next_day} is next")


def _check_overlap(extract: Extract, position: Position) -> None:
    """A full takes more than a day to produce (MP147); once later deltas are applied it is too late."""
    if position.day != position.full or extract.day > position.full:
        _refuse(extract, position, f"the mirror started from {position.full}")


def _refuse(extract: Extract, position: Position, why: str) -> NoReturn:
    raise InternalError(f"{extract.name} does not follow the position {position.day}: {why}")


def _unchanged(records: Records) -> ChangeCounts:
    number = sum(1 for _ in records)
    return ChangeCounts(records=number, unchanged=number)
