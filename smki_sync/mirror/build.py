"""A new generation from a full: loaded aside, given the memory of the old one, then published.

For: bootstrap and resync. Rows are loaded without indexes, which is several times faster, and indexed
once; overlap deltas are applied before anybody sees the generation; then it is compared with the
old one, so that the journal says what the resync really changed. Refuses: to touch the old generation
but for reading, to publish (the caller swaps the link).

What is taken over from the old generation: the ledger, the journal, the quarantine, issuer ids; for a
certificate that both know, since when it is known; and every certificate that the full does not list.
A full lists what is In-Use (Appendix O 2.3.3), so a row that was In-Use and is not listed has left:
it is marked withdrawn with the full's date. Others keep the status that the Repository last gave.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from datetime import date
from os import fsync
from pathlib import Path
from typing import Final, Self

import apsw

from smki_sync.bounds import Bounds
from smki_sync.mirror import fingerprints, journal, ledger, revocation, state
from smki_sync.mirror.apply import Applier
from smki_sync.mirror.connect import connect, keep_side_files
from smki_sync.mirror.connection import named
from smki_sync.mirror.digest import SetDigest
from smki_sync.mirror.directory import BUILDING
from smki_sync.mirror.door import Door
from smki_sync.mirror.inherit import Inheritance, Nothing
from smki_sync.mirror.journal import Change, Changed, Journalist
from smki_sync.mirror.load import Loader
from smki_sync.mirror.previous import Predecessor
from smki_sync.mirror.rows import Batch, batches_of
from smki_sync.mirror.schema import APPLICATION_ID, FEW_INDEXES, PAGE_BYTES, SCHEMA_VERSION, TABLES, VIEWS
from smki_sync.mirror.store import DEFAULT_BOUNDS, Clock, Records
from smki_sync.model.certificate import Status
from smki_sync.model.extract import Extract
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import Counts

_CACHE_KIB: Final = -16_384  # 16 MiB of pages, and as much again while an index is sorted; more was slower

Step = Callable[[str], None]
"""Told what a build is doing after its last record."""


class Builder:
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
        bounds: Bounds = DEFAULT_BOUNDS,
        door: Door | None = None,
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
        with named(path), ExitStack() as undo:
            undo.callback(self._aside.unlink, missing_ok=True)
            self._db = _create(self._aside)
            undo.callback(self._db.close)
            self._past: Inheritance = Predecessor(self._db, old, vouched) if old else Nothing()
            undo.pop_all()

    def __enter__(self) -> Self:
        """Take it as it is."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close; what was not finished is of no use to anybody."""
        with named(self.path):
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
        with named(self.path), self._db:
            self._began = self._clock()
            unproven = AppliedFile(extract=extract, size=extract.size, sha256="")
            self._entry = ledger.open_entry(self._db, unproven)
            self._loader = Loader(self._db, extract=self._entry, day=extract.day, past=self._past)
            for batch in batches:
                self._loader.take(batch)

    def settle(self, file: AppliedFile) -> None:
        """The full is whole: say in the ledger what it is, index, weed, and hold it against the bounds."""
        loader = self._loader
        with named(self.path), self._db:
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

    def overlap(self, file: AppliedFile, records: Records) -> Counts:
        """Replay a delta onto the full before anybody sees it; raises what ``records`` raises."""
        with named(self.path), self._db:
            began = self._clock()
            entry = ledger.open_entry(self._db, file)
            held = self._loader.digest.count
            applier = self._applier(entry, file.extract.day)
            applier.take_all(records)
            self._bounds.check_delta(file.extract.name, repeated=applier.unchanged, held=held)
            ledger.close_entry(self._db, entry, applier.counts, began=began, committed=self._clock())
        self._reached = max(self._reached, file.extract.day)
        return applier.counts

    def _applier(self, extract: int, day: date) -> Applier:
        return Applier(
            self._db,
            extract=extract,
            day=day,
            digest=self._loader.digest,
            journal=lambda _changed: None,  # the comparison at the end tells what truly changed
            touch=self._past.touch,
            door=self.door,
        )

    def finish(self) -> Counts:
        """Compare with the old generation, write the state, make it durable; the full's counts."""
        day = self._file.extract.day
        with named(self.path):
            before, after = self._past.in_use(), self._loader.digest.count
            self._bounds.check_shrink(self._file.extract.name, before=before, after=after)
            if isinstance(self._past, Predecessor):
                self._step("comparing with the generation before")
            with self._db:
                counts = self._settle_past(day)
                ledger.close_entry(self._db, self._entry, counts, began=self._began, committed=self._clock())
                self._db.execute("UPDATE mirror SET full_day = ? WHERE one = 1", (day.isoformat(),))
                self._index_few()
                journal.begin(self._db, reached=self._reached)
                journal.prune(self._db, position=self._reached, keep_days=self._keep_changes_days)
                state.write_state(self._db, position=self._reached, digest=self._loader.digest)
            self._step("writing to disk")
            self._seal()
        return counts

    def _index_few(self) -> None:
        """Hashes of those that are looked up by them, now that every row is there."""
        if self._index_devices:
            self._step("indexing devices by key identifier and hash")
            fingerprints.index_devices(self._db)
        fingerprints.fill(self._db)

    def _settle_past(self, day: date) -> Counts:
        journalist = Journalist(self._db, self._entry, day)
        loaded = self._loader
        differences, replaced = self._past.settle(extract=self._entry)
        for changed in differences:
            journalist.write(changed)
        withdrawn = 0
        for row in self._past.carry_unlisted(extract=self._entry, day=day):
            journalist.write(Changed(row=row, change=Change.WITHDRAWN, before=Status.IN_USE, after=None))
            withdrawn += 1
        self._revoke(journalist)
        return Counts(
            records=loaded.records,
            inserted=loaded.inserted,
            updated=loaded.updated,
            unchanged=loaded.unchanged,
            withdrawn=withdrawn,
            quarantined=loaded.quarantined + replaced,
            contradicted=loaded.contradicted,
        )

    def _revoke(self, journalist: Journalist) -> None:
        """Hold every row against the lists that were taken over."""
        before = self._past.revoked()
        for moved in revocation.enforce(self._db, self._loader.digest):
            if moved.identity not in before:
                journalist.write(moved.changed)

    def _seal(self) -> None:
        """Turn on the write-ahead log and reach the disk before anybody is pointed here."""
        self._db.execute(VIEWS)
        if isinstance(self._past, Predecessor):
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
