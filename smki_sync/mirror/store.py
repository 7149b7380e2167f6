"""Write to one generation: apply deltas, repair, lists; check and upgrade its schema.

Rows, journal, ledger, digest and position change in one transaction. Whoever writes holds the lock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from smki_sync.errors import InternalError, MirrorDamaged
from smki_sync.merge import Baseline
from smki_sync.mirror import journal, ledger, revocation, set_digest
from smki_sync.mirror.apply import CertificateGate, RecordApplier, check_changes
from smki_sync.mirror.bodies import VerifyBody, ignore_signatures, settle_bodies
from smki_sync.mirror.connection import connect, connect_to_read, disk_errors, keep_side_files
from smki_sync.mirror.journal import JournalEntry, JournalWriter
from smki_sync.mirror.reconcile import DriftDifferences, FullMerge
from smki_sync.mirror.revocation import ListArrival, Publication, StoredCompanion
from smki_sync.mirror.schema import APPLICATION_ID, SCHEMA_VERSION, UPGRADE_FROM_5
from smki_sync.model.certificate import Entry, Rejected
from smki_sync.model.extract import Extract, FileKey
from smki_sync.model.plan import AppliedFile, MirrorState, Position
from smki_sync.model.report import CertificateCounts, ChangeCounts
from smki_sync.policy import ChangeLimits
from smki_sync.trust.revocation_lists import Refusal

Records = Iterable[Entry | Rejected]
Clock = Callable[[], datetime]

DEFAULT_LIMITS: Final = ChangeLimits()
_DAY: Final = timedelta(days=1)


def check_schema_version(path: Path) -> MirrorState:
    """Return what is at ``path``: a mirror of this version or another, or a damaged one."""
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


UPGRADABLE: Final = 5
"""The schema that :func:`upgrade` knows. A mirror of an older one is rebuilt from a full."""


def upgrade(path: Path) -> bool:
    """Upgrade a mirror of the previous schema in place, in one transaction; return whether it is one."""
    with disk_errors(path), closing(connect(path)) as db:
        if db.pragma("application_id") != APPLICATION_ID or db.pragma("user_version") != UPGRADABLE:
            return False
        keep_side_files(db)
        with db:
            db.execute(UPGRADE_FROM_5)
            revocation.upgrade_lists(db)
            db.execute("UPDATE mirror SET inode = ?", (path.stat().st_ino,))
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHead:
    """The end of a journal: its lineage, and the number of its last line."""

    lineage: str
    sequence: int


def read_journal_head(path: Path) -> JournalHead:
    """Return the end of the journal of a generation."""
    with disk_errors(path), closing(connect_to_read(path)) as db:
        lineage, sequence = db.execute(_HEAD).get
        return JournalHead(lineage=lineage, sequence=sequence)


def mark_published(path: Path) -> None:
    """Record that readers see this file, so that a copy of it is recognised."""
    with disk_errors(path), closing(connect(path)) as db:
        keep_side_files(db)
        db.execute("UPDATE mirror SET inode = ?", (path.stat().st_ino,))


def was_published(path: Path) -> bool:
    """Whether readers have seen a generation; one of an older schema has been seen."""
    with disk_errors(path), closing(connect_to_read(path)) as db:
        columns = {row[1] for row in db.execute("PRAGMA table_info(mirror)")}
        return "inode" not in columns or db.execute("SELECT inode IS NOT NULL FROM mirror").get == 1


def is_copy(path: Path) -> bool:
    """Whether a generation is a copy of the file that was published."""
    with disk_errors(path), closing(connect_to_read(path)) as db:
        return bool(db.execute("SELECT inode FROM mirror").get != path.stat().st_ino)


def start_lineage(path: Path) -> None:
    """Let the journal begin again: tokens of the old one are not valid any more."""
    with disk_errors(path), closing(connect(path)) as db:
        keep_side_files(db)
        db.execute("UPDATE mirror SET lineage = lower(hex(randomblob(8))), inode = ?", (path.stat().st_ino,))


_HEAD: Final = """
SELECT lineage, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0) FROM mirror WHERE one = 1
"""


class MirrorStore:
    """A generation that is open for writing. A context manager: leaving it checkpoints and closes.

    An interrupt does not wait for the checkpoint: what is committed is safe in the log.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep_changes_days: int | None = None,
        limits: ChangeLimits = DEFAULT_LIMITS,
        gate: CertificateGate | None = None,
        verify_body: VerifyBody = ignore_signatures,
    ) -> None:
        """Open a generation that :func:`check_schema_version` found healthy.

        Args:
            path: the generation.
            keep_changes_days: days of the journal to keep; ``None``: all.
            limits: how much one file may change.
            gate: asked before a new certificate is served.
            verify_body: decides between two bodies of one certificate.
        """
        self.path = path
        self._gate = gate
        self._verify_body = verify_body
        self._limits = limits
        self._keep_changes_days = keep_changes_days
        with disk_errors(path):
            self._db = connect(path)
            keep_side_files(self._db)
            self._db.pragma("synchronous", "FULL")

    def __enter__(self) -> Self:
        """Return it unchanged."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None, /
    ) -> None:
        """Copy the write-ahead log into the file, as far as readers allow without waiting, and close."""
        with disk_errors(self.path), closing(self._db) as db:
            if isinstance(error, KeyboardInterrupt):
                db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                return
            db.set_busy_timeout(0)
            with suppress(apsw.BusyError):
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def position(self) -> Position:
        """Return the position of this generation."""
        with disk_errors(self.path):
            return ledger.read_position(self._db)

    def counts(self) -> CertificateCounts:
        """Return counts and digest."""
        with disk_errors(self.path):
            return ledger.read_census(self._db)

    def apply_delta(self, file: AppliedFile, records: Records, *, clock: Clock) -> ChangeCounts:
        """Apply one delta in one transaction; raises what ``records`` raises, with nothing done.

        It may be the next delta, or a late one, which does not move the position. A delta that
        was applied with the same bytes changes nothing. Raises :class:`InternalError` for any other delta.
        """
        with disk_errors(self.path), self._db:
            position = ledger.read_position(self._db)
            known = {one.extract.key: one.sha256 for one in position.applied if one.proves}
            if known.get(file.extract.key) == file.sha256:
                number = sum(1 for _ in records)
                counts = ChangeCounts(records=number, unchanged=number)
            else:
                _check_follows(file.extract, position)
                counts = self._apply(file, records, position, clock)
        return counts

    def note_modified(self, extract: Extract) -> None:
        """Record another modification time of the same bytes."""
        with disk_errors(self.path), self._db:
            ledger.note_modified(self._db, extract)

    def note_incidents(self, changed: Mapping[FileKey, str | None], now: datetime) -> None:
        """Record applied files that have other bytes now, until a rebuild.

        Args:
            changed: their keys, and the other SHA-256 if it is known. The evidence leaves the seven-day
            window;
                what was applied from it does not.
            now: the time.
        """
        with disk_errors(self.path), self._db:
            ledger.note_incidents(self._db, changed, ledger.read_position(self._db).applied, now)

    def accept_quarantine(self, now: datetime) -> None:
        """Accept every record of the quarantine; it stays as evidence."""
        with disk_errors(self.path), self._db:
            self._db.execute("UPDATE quarantine SET accepted = ? WHERE accepted IS NULL", (ledger.utc(now),))

    def repair(
        self, file: AppliedFile, differences: DriftDifferences, *, overlap_days: int, clock: Clock
    ) -> ChangeCounts:
        """Merge a full that was compared, in one transaction; the position does not go back.

        Raises ``BadExtract`` if the full changes more than the limits allow.
        """
        with disk_errors(self.path), self._db:
            began = clock()
            before = set_digest.read_digest(self._db).count
            baseline = Baseline(full=file.extract.day, overlap_days=overlap_days)
            full = FullMerge(self._db, file, baseline, at=began)
            counts = full.merge(differences, self._verify_body)
            self._limits.check_shrink(file.extract.name, before=before, leaving=full.leaving)
            ledger.close_entry(self._db, full.entry, counts, began=began, committed=clock())
        return counts

    def apply_list(
        self, arrival: ListArrival, *, day: date, initial_load: bool = False
    ) -> list[JournalEntry]:
        """Bring a list into force in one transaction. Return which certificates it changed.

        ``day``: today, for the journal. ``initial_load``: this generation is not published yet, and its
        journal begins with its content, of which the list is a part. A list is not an extract: position
        and ledger do not change.
        """
        with disk_errors(self.path), self._db:
            by = revocation.bring_into_force(self._db, arrival)
            at = datetime.fromisoformat(arrival.at)
            changes = self._enforce_lists(day, by, at=at, journal=not initial_load)
        return changes  # noqa: RET504 - for mypy, a connection may suppress exceptions

    def mark_lists_forgotten(self, issuer: str) -> int:
        """Let any list replace those in force of an issuer, by name or key. Return how many they are."""
        with disk_errors(self.path), self._db:
            marked = revocation.mark_forgotten(self._db, issuer)
        return marked  # noqa: RET504 - as above

    def drop_forgotten_lists(self, *, day: date, at: datetime) -> list[JournalEntry]:
        """Put every forgotten list that was not replaced out of force. Return what that changed."""
        with disk_errors(self.path), self._db:
            newest = revocation.newest_list(self._db)
            changes: list[JournalEntry] = []
            if newest is not None and revocation.drop_forgotten(self._db):
                changes = self._enforce_lists(day, newest, at=at, journal=True)
        return changes

    def _enforce_lists(self, day: date, by: int, *, at: datetime, journal: bool) -> list[JournalEntry]:
        position, digest = ledger.read_position(self._db), set_digest.read_digest(self._db)
        writer = JournalWriter(self._db, ledger.newest_entry(self._db), day, at=at, by=by)
        changes = [moved.changed for moved in revocation.enforce(self._db, digest)]
        for changed in changes if journal else ():
            writer.write(changed)
        set_digest.write_state(self._db, position=position.day, digest=digest)
        return changes

    def store_companion(self, companion: StoredCompanion, *, at: str) -> None:
        """Store a list or a slot file as it was served. ``at``: UTC, ISO 8601."""
        with disk_errors(self.path), self._db:
            revocation.store_companion(self._db, companion, at)

    def store_refused_companion(self, companion: StoredCompanion, refusal: Refusal, *, at: str) -> None:
        """Keep a refused list or slot file as evidence. ``at``: UTC, ISO 8601."""
        with disk_errors(self.path), self._db:
            revocation.store_refused(self._db, companion, refusal, at)

    def remove_other_companions(self, names: Collection[str]) -> None:
        """Delete the stored lists and slot files that are not among ``names``."""
        with disk_errors(self.path), self._db:
            revocation.remove_other_companions(self._db, names)

    def publish_slots(self, publication: Publication) -> None:
        """Add a publication of anchor slots to the history, unless the newest one is the same."""
        with disk_errors(self.path), self._db:
            revocation.publish(self._db, publication)

    def _apply(self, file: AppliedFile, records: Records, position: Position, clock: Clock) -> ChangeCounts:
        began = clock()
        entry = ledger.open_entry(self._db, file)
        digest = set_digest.read_digest(self._db)
        before, day = digest.count, file.extract.day
        baseline = ledger.read_baseline(self._db)
        writer = JournalWriter(self._db, entry, day, at=began)
        applier = RecordApplier(
            self._db,
            extract=entry,
            day=day,
            baseline=baseline,
            standing=ledger.read_standing(self._db, baseline),
            digest=digest,
            journal=writer.write,
            gate=self._gate,
        )
        applier.apply_all(records)
        check_changes(self._limits, file.extract, applier, before=before, is_new=day > position.day)
        if applier.needs_settling:
            settle_bodies(self._db, self._verify_body, digest=digest, journal=writer.write)
        for moved in revocation.enforce(self._db, digest):
            writer.write(moved.changed)
        ledger.close_entry(self._db, entry, applier.counts, began=began, committed=clock())
        reached = max(position.day, day)
        journal.prune(self._db, position=reached, keep_days=self._keep_changes_days)
        ledger.update_proof(self._db, reached)
        set_digest.write_state(self._db, position=reached, digest=digest)
        return applier.counts


def _check_follows(extract: Extract, position: Position) -> None:
    """Raise :class:`InternalError` unless it is the next delta, or a late one."""
    baseline = Baseline(full=position.full, overlap_days=position.overlap_days)
    next_day = position.day + _DAY
    if extract.day == next_day:
        return
    if extract.day > next_day == position.full:
        return  # the deltas between have left the window
    is_missing = extract.day <= position.full or extract.day not in position.applied_deltas
    if baseline.first_delta <= extract.day <= position.day and is_missing:
        return
    raise InternalError(f"{extract.name} does not follow the position {position.day}: {next_day} is next")
