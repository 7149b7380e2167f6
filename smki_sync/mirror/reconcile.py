"""Compare a generation with a full, and merge the full into it."""

import marshal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.merge import Baseline, FullSays, Statement, Unlisted, merge_full, unlisted
from smki_sync.mirror import ledger, revocation, rows, set_digest
from smki_sync.mirror.apply import CertificateGate, StoredCertificate, find_stored
from smki_sync.mirror.bodies import VerifyBody, settle_bodies
from smki_sync.mirror.connection import disk_errors, holds_devices
from smki_sync.mirror.disagreement import write_disagreement
from smki_sync.mirror.integrity import digest_of_rows
from smki_sync.mirror.journal import ChangeKind, JournalEntry, JournalWriter
from smki_sync.mirror.queries import Connection, ProgressCallback, slices
from smki_sync.mirror.rows import (
    CLAIMS,
    INSERT,
    Issuers,
    Row,
    claims_of,
    conflict_of,
    days,
    evidence_of,
    quarantine_record,
    values_of,
)
from smki_sync.mirror.schema import DEVICE, KINDS
from smki_sync.mirror.set_digest import SetDigest
from smki_sync.model.certificate import Rejected, RejectReason, Status
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import ChangeCounts

_SCRATCH: Final = """
CREATE TABLE difference (serial TEXT, issuer TEXT, drift TEXT, row INTEGER, kind TEXT, eui TEXT, held TEXT,
                         listed TEXT, what TEXT, record BLOB, UNIQUE (serial, issuer));
CREATE TABLE says (row INTEGER PRIMARY KEY, says TEXT, claims BLOB);
CREATE TABLE rejected (record BLOB);
"""


class Drift(StrEnum):
    """How a certificate differs. Codes of JSON documents and lists."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERING = "differing"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDifference:
    """One certificate that differs. ``row``: its id in the mirror, ``None`` if the mirror does not have it.

    ``held``, ``listed``: its status in the mirror and in the full; ``None`` if it is not there, or withdrawn.
    ``what``: the columns that differ. ``record``: what the full says, ``None`` if it does not list it.
    """

    drift: Drift
    row: int | None
    kind: str
    eui: str | None
    serial: str
    issuer: str
    held: str | None
    listed: str | None
    what: tuple[str, ...] = ()
    record: Row | None = None


_ADD: Final = f"""
INSERT INTO difference VALUES ({", ".join("?" * 10)})
    ON CONFLICT DO UPDATE SET drift = excluded.drift, listed = excluded.listed, what = excluded.what,
                              record = excluded.record
"""


class DriftDifferences:
    """What a comparison found, in a scratch file; a context manager that removes it.

    One entry for each certificate: the last record of a full counts. Besides the differences: what the full
    says about contested rows, and the records that are not served.
    """

    def __init__(self, path: Path) -> None:
        """``path``: of the scratch file; a file that is there is removed."""
        self._path = path

    def __enter__(self) -> Self:
        """Create the file."""
        with disk_errors(self._path):
            self._path.unlink(missing_ok=True)
            self._db = apsw.Connection(str(self._path))
            self._db.pragma("journal_mode", "OFF")
            self._db.pragma("synchronous", "OFF")
            self._db.execute(_SCRATCH)
            self._db.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Remove the file."""
        self._db.close()
        self._path.unlink(missing_ok=True)

    @property
    def counts(self) -> dict[Drift, int]:
        """Number of differences of each sort."""
        found = dict(self._db.execute("SELECT drift, count(*) FROM difference GROUP BY drift"))
        return {drift: found.get(drift.value, 0) for drift in Drift}

    @property
    def has_conflicts(self) -> bool:
        """Whether the full has another body of a certificate."""
        return any(record.reason is RejectReason.IDENTITY_CONFLICT for record in self.rejected())

    def add(self, found: DriftDifference) -> None:
        """Add a difference, or replace what an earlier record of the certificate said."""
        record = None if found.record is None else marshal.dumps(tuple(found.record))
        values = (found.serial, found.issuer, found.drift, found.row, found.kind, found.eui, found.held)
        with disk_errors(self._path):
            self._db.execute(_ADD, (*values, found.listed, " ".join(found.what), record))

    def find(self, serial: str, issuer: str) -> DriftDifference | None:
        """Return the difference of one certificate."""
        return next(self._select("WHERE serial = ? AND issuer = ?", serial, issuer), None)

    def remove(self, row: int, serial: str, issuer: str) -> None:
        """Forget what an earlier record of a certificate said."""
        self._db.execute("DELETE FROM difference WHERE serial = ? AND issuer = ?", (serial, issuer))
        self._db.execute("DELETE FROM says WHERE row = ?", (row,))

    def note(self, row: int, says: FullSays) -> None:
        """Record what the full says about a row for which something else stands."""
        status: str = says.status.value if isinstance(says, Statement) else says.value
        claims: Any = says.claims if isinstance(says, Statement) else None
        with disk_errors(self._path):
            self._db.execute(
                "INSERT OR REPLACE INTO says VALUES (?, ?, ?)", (row, status, marshal.dumps(claims))
            )

    def reject(self, record: Rejected) -> None:
        """Keep a record that is not served."""
        values = (record.number, record.reason.value, record.detail, record.xml, record.serial, record.issuer)
        with disk_errors(self._path):
            self._db.execute("INSERT INTO rejected VALUES (?)", (marshal.dumps(values),))

    def __iter__(self) -> Iterator[DriftDifference]:
        """Return all differences, in the order in which they were found."""
        return self._select("ORDER BY rowid")

    def first(self, drift: Drift, number: int) -> list[DriftDifference]:
        """Return the first differences of one sort."""
        return list(self._select("WHERE drift = ? ORDER BY rowid LIMIT ?", drift, number))

    def noted(self) -> Iterator[tuple[int, FullSays]]:
        """Return what the full says about rows for which something else stands."""
        words = {one.value: one for one in Unlisted}
        for row, says, claims in self._db.execute("SELECT row, says, claims FROM says ORDER BY row"):
            yield row, words.get(says) or Statement(Status(says), marshal.loads(claims))  # noqa: S302 - our own file

    def rejected(self) -> Iterator[Rejected]:
        """Return the records that are not served."""
        for (record,) in self._db.execute("SELECT record FROM rejected ORDER BY rowid"):
            number, reason, *rest = marshal.loads(record)  # noqa: S302 - our own file of this run
            detail, xml, serial, issuer = rest
            yield Rejected(
                number=number,
                reason=RejectReason(reason),
                detail=detail,
                xml=xml,
                serial=serial,
                issuer=issuer,
            )

    def rejected_serials(self) -> frozenset[str | None]:
        """Serial numbers of these records; ``None``: the identity of one is not known."""
        refused = RejectReason.SIGNATURE_FALSE
        return frozenset(record.serial for record in self.rejected() if record.reason is not refused)

    def _select(self, where: str, *values: object) -> Iterator[DriftDifference]:
        columns = "drift, row, kind, eui, serial, issuer, held, listed, what, record"
        found: Iterator[Any] = self._db.execute(f"SELECT {columns} FROM difference {where}", values)
        return map(_difference, found)


def _difference(values: tuple[Any, ...]) -> DriftDifference:
    drift, row, kind, eui, serial, issuer, held, listed, what, record = values
    return DriftDifference(
        drift=Drift(drift),
        row=row,
        kind=kind,
        eui=eui,
        serial=serial,
        issuer=issuer,
        held=held,
        listed=listed,
        what=tuple(what.split()),
        record=None if record is None else Row._make(marshal.loads(record)),  # noqa: S302 - our own file of this run
    )


_BODY_COLUMNS: Final = ("kind", "subject", "not_before", "not_after", "ski")
"""Columns that the body decides."""
_REPLACE: Final = (
    f"UPDATE certificate SET status = ?, {', '.join(f'{name} = ?' for name in (*CLAIMS, *_BODY_COLUMNS))},"
    " withdrawn = NULL, last_changed = ?, extract = ?, stated = NULL WHERE id = ?"
)
_WITHDRAW: Final = (
    "UPDATE certificate SET withdrawn = ?, last_changed = ?, extract = ?, stated = NULL WHERE id = ?"
)
_LIST_STATE: Final = "SELECT revoked IS NULL FROM certificate WHERE id = ?"
_CENSUS: Final = """
INSERT INTO census SELECT kind, status, withdrawn IS NOT NULL, count(*) FROM certificate GROUP BY 1, 2, 3
"""


class FullMerge:
    """Merges a full that was compared into the generation. The caller owns the transaction."""

    def __init__(self, db: apsw.Connection, file: AppliedFile, baseline: Baseline, *, at: datetime) -> None:
        """Open the ledger entry. ``at``: the time."""
        self._db = db
        self._baseline = baseline
        self.entry = ledger.open_entry(db, file, is_repair=True)
        self._day = days(baseline.full)
        self._issuers = Issuers(db)
        self._hash_devices = holds_devices(db)
        self._journal = JournalWriter(db, self.entry, baseline.full, at=at)
        self._done: Counter[str] = Counter()
        self.leaving = 0
        """In-Use certificates that are not In-Use any more."""

    def merge(self, found: DriftDifferences, verify_body: VerifyBody) -> ChangeCounts:
        """Repair every difference, record what the full says, and make it the newest full used.

        Raises :class:`MirrorDamaged` if rows were changed outside this program that the full does not state.
        """
        recounts = any(found.counts.values()) or found.has_conflicts
        stored = set_digest.read_digest(self._db)
        actual = digest_of_rows(self._db) if recounts else stored
        for difference in found:
            self._repair(difference)
        self._record_statements(found)
        digest = stored
        if recounts:
            self._db.execute("DELETE FROM census")
            self._db.execute(_CENSUS)
            digest = digest_of_rows(self._db)
        settle_bodies(self._db, verify_body, digest=digest, journal=self._journal.write)
        for moved in revocation.enforce(self._db, digest):
            self._journal.write(moved.changed)
        if actual.hex != stored.hex:
            _check_restored(digest, stored)
        position, _, _ = set_digest.read_state(self._db)
        reached = self._baseline.position(position)
        ledger.update_proof(self._db, reached)
        set_digest.write_state(self._db, position=reached, digest=digest)
        return ChangeCounts(
            records=self._done.total(),
            inserted=self._done["inserted"],
            updated=self._done["updated"],
            withdrawn=self._done["withdrawn"],
            quarantined=self._quarantined,
        )

    def _record_statements(self, found: DriftDifferences) -> None:
        self._quarantined = 0
        for record in found.rejected():
            quarantine_record(self._db, record, extract=self.entry)
            self._quarantined += 1
        self._db.execute("DELETE FROM disagreement")
        is_unclear, was_proven = False, ledger.read_unproven(self._db) is None
        for row, says in found.noted():
            write_disagreement(self._db, row, says)
            is_unclear |= says is Unlisted.UNCLEAR
        ledger.write_baseline(self._db, self._baseline, is_unclear=is_unclear and not was_proven)

    def _repair(self, found: DriftDifference) -> None:
        counts = found.row is not None and bool(self._db.execute(_LIST_STATE, (found.row,)).get)
        self.leaving += found.held == Status.IN_USE and found.listed != Status.IN_USE and counts
        if found.record is None:
            assert found.row is not None  # a difference is in the mirror or in the full
            self._withdraw(found.row, found.held)
        elif found.row is None:
            self._insert(found.record)
        else:
            self._replace(found.row, found.record, found)

    def _withdraw(self, row: int, held: str | None) -> None:
        self._db.execute(_WITHDRAW, (self._day, self._day, self.entry, row))
        self._journal.write(JournalEntry(row=row, change=ChangeKind.WITHDRAWN, before=held, after=None))
        self._done["withdrawn"] += 1

    def _insert(self, record: Row) -> None:
        issuer = self._issuers[record.issuer]
        stamps = {"first": self._day, "changed": self._day, "extract": self.entry}
        self._db.execute(INSERT, values_of(record, issuer, **stamps))
        row = self._db.last_insert_rowid()
        if self._hash_devices or record.kind != DEVICE:
            rows.add(self._db, row, record.der)
        self._journal.write(JournalEntry(row=row, change=ChangeKind.ADDED, before=None, after=record.status))
        self._done["inserted"] += 1

    def _replace(self, row: int, record: Row, found: DriftDifference) -> None:
        body = (getattr(record, name) for name in _BODY_COLUMNS)
        values = (record.status, *claims_of(record), *body, self._day, self.entry, row)
        self._db.execute(_REPLACE, values)
        change = ChangeKind.CLAIMS
        if found.held is None and record.status == Status.IN_USE:
            change = ChangeKind.REINSTATED
        elif found.held != record.status:
            change = ChangeKind.STATUS
        self._journal.write(JournalEntry(row=row, change=change, before=found.held, after=record.status))
        self._done["updated"] += 1


def _check_restored(digest: SetDigest, stored: SetDigest) -> None:
    """Rows were changed outside this program: the full must give the digest that the mirror had before."""
    if digest.hex != stored.hex:
        raise MirrorDamaged(
            "Rows were lost or changed outside this program, and the full does not state all of them. Nothing"
            " was repaired",
            hint="Run `smki-sync sync --full`. It rebuilds the mirror.",
            code="digest-differs",
        )


_LISTABLE: Final = """
SELECT c.id, coalesce(c.stated, c.extract), c.serial, i.name, c.eui, c.kind, c.status
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.id BETWEEN ? AND ? AND c.status = 'I' AND c.withdrawn IS NULL
"""
_OF_BODY: Final = f"SELECT {', '.join(_BODY_COLUMNS)} FROM certificate WHERE id = ?"
_OF_SERIAL: Final = "SELECT id, coalesce(stated, extract) FROM certificate WHERE serial = ?"


class MirrorComparator:
    """Compares the rows of one full with a generation, by the merge rule."""

    def __init__(
        self,
        db: Connection,
        found: DriftDifferences,
        *,
        baseline: Baseline,
        gate: CertificateGate | None = None,
    ) -> None:
        """Prepare to compare.

        Args:
            db: one snapshot.
            found: gets the differences.
            baseline: the full.
            gate: asked about certificates that the mirror does not have.
        """
        self._db = db
        self._found = found
        self._baseline = baseline
        self._gate = gate
        self._issuers: dict[str, int] = dict(db.execute("SELECT name, id FROM issuer"))
        self._standing = ledger.read_standing(db, baseline)
        last: int = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
        self._listed = bytearray(last // 8 + 1)
        self.compared = self.rejected = self.explained = 0

    def compare(self, listed: Iterable[Row], rejected: Iterable[Rejected]) -> None:
        """Compare some records of the full."""
        for record in rejected:
            self.rejected += 1
            self._found.reject(record)
        for row in listed:
            self.compared += 1
            issuer = self._issuers.get(row.issuer)
            held = None if issuer is None else find_stored(self._db, row.serial, issuer)
            if held is None:
                self._compare_new(row)
            elif held.der != row.der:
                self._found.reject(conflict_of(row))
            else:
                self._compare_held(row, held)

    def finish(self, progress: ProgressCallback) -> None:
        """Find what is In-Use in the mirror and not listed. ``progress``: progress, in rows."""
        serials = self._found.rejected_serials()
        for low, high in slices(self._db, progress):
            for number, last, serial, issuer, eui, kind, status in self._db.execute(_LISTABLE, (low, high)):
                if self._is_listed(number):
                    continue
                self.explained += last in self._standing
                if self._is_newer(last):
                    continue
                says = unlisted(rejected=serial in serials, complete=None not in serials)
                if last in self._standing or says is not Unlisted.NOT_IN_USE:
                    self._found.note(number, says)
                    continue
                self._found.add(
                    DriftDifference(
                        drift=Drift.UNEXPECTED,
                        row=number,
                        kind=KINDS[kind],
                        eui=eui,
                        serial=serial,
                        issuer=issuer,
                        held=status,
                        listed=None,
                    )
                )
        for serial in serials - {None}:
            for number, last in self._db.execute(_OF_SERIAL, (serial,)):
                if not self._is_listed(number) and not self._is_newer(last):
                    self._found.note(number, Unlisted.SILENT)

    def _is_listed(self, row: int) -> bool:
        return bool(self._listed[row >> 3] & 1 << (row & 7))

    def _is_newer(self, entry: int) -> bool:
        """Whether a delta dated after the full has stated a row: then the full says nothing about it."""
        day = self._standing.get(entry)
        return day is not None and day > self._baseline.full

    def _compare_new(self, row: Row) -> None:
        earlier = self._found.find(row.serial, row.issuer)
        if earlier and earlier.record and earlier.record.der != row.der:
            self._found.reject(conflict_of(row))
            return
        why = self._gate.refuse(row) if self._gate and not earlier else None
        if why is None:
            self._add(row, Drift.MISSING, None, None)
        else:
            self._found.reject(evidence_of(row, RejectReason.SIGNATURE_FALSE, why))

    def _compare_held(self, row: Row, held: StoredCertificate) -> None:
        if self._is_listed(held.id):
            self._found.remove(held.id, row.serial, row.issuer)
        self._listed[held.id >> 3] |= 1 << (held.id & 7)
        body = self._db.execute(_OF_BODY, (held.id,)).fetchone()
        wrong = [
            name for name, mine in zip(_BODY_COLUMNS, body or (), strict=True) if mine != getattr(row, name)
        ]
        if held.says_same(row) and not wrong:
            return
        stated_on = self._standing.get(held.last_statement)
        if stated_on is not None:
            self.explained += 1
            says = Statement(Status(row.status), claims_of(row))
            state = merge_full(held.state(stated_on), says, self._baseline)
            if state is not None and state.disagrees is not None:
                self._found.note(held.id, state.disagrees)
            return
        here, there = held.listed == Status.IN_USE, row.status == Status.IN_USE
        drift = Drift.DIFFERING
        if here != there:
            drift = Drift.MISSING if there else Drift.UNEXPECTED
        pairs = zip(CLAIMS, held.claims, claims_of(row), strict=True)
        what = [name for name, mine, other in pairs if mine != other]
        if held.status != row.status:
            what.insert(0, "status")
        if held.withdrawn is not None:
            what.insert(0, "withdrawn")
        self._add(row, drift, held.id, held.listed, what=(*what, *wrong))

    def _add(
        self, row: Row, drift: Drift, number: int | None, held: str | None, *, what: tuple[str, ...] = ()
    ) -> None:
        self._found.add(
            DriftDifference(
                drift=drift,
                row=number,
                kind=KINDS[row.kind],
                eui=row.eui,
                serial=row.serial,
                issuer=row.issuer,
                held=held,
                listed=row.status,
                what=what,
                record=row,
            )
        )
