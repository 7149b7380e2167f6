"""Apply the records of one delta to the rows, by the merge rule."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final, NamedTuple, Protocol

import apsw

from smki_sync.merge import Baseline, State, Statement, Unlisted, merge_delta
from smki_sync.mirror import rows
from smki_sync.mirror.connection import holds_devices
from smki_sync.mirror.disagreement import RejectedIdentities, read_disagreement, write_disagreement
from smki_sync.mirror.inspection import StoredRow
from smki_sync.mirror.journal import ChangeKind, Journal, JournalEntry
from smki_sync.mirror.rows import (
    CLAIMS,
    INSERT,
    Issuers,
    Row,
    claims_of,
    conflict_of,
    date_of,
    days,
    evidence_of,
    quarantine_record,
    row_of,
    values_of,
)
from smki_sync.mirror.schema import DEVICE
from smki_sync.mirror.set_digest import SetDigest
from smki_sync.model.certificate import Entry, Kind, Rejected, RejectReason, Status
from smki_sync.model.extract import Extract
from smki_sync.model.report import ChangeCounts
from smki_sync.policy import ChangeLimits


class CertificateGate(Protocol):
    """Decides by its signature whether a certificate may be served."""

    def refuse(self, row: Row) -> str | None:
        """Return why a new certificate may not be served; ``None`` if it may."""

    def refuse_among(self, db: apsw.Connection) -> Iterable[tuple[StoredRow, str]]:
        """Return the rows of a new generation that may not be served, with the reasons."""


class StoredCertificate(NamedTuple):
    """A certificate as the mirror has it. Dates in days since 1970. ``claims``: see :data:`~.rows.CLAIMS`."""

    id: int
    extract: int
    stated: int | None
    status: str
    withdrawn: int | None
    revoked: int | None
    first_seen: int
    last_changed: int
    claims: tuple[Any, ...]
    der: bytes

    @property
    def last_statement(self) -> int:
        """Ledger id of the file with the last statement."""
        return self.extract if self.stated is None else self.stated

    @property
    def listed(self) -> str | None:
        """Its status for the journal, ``None`` if it is withdrawn."""
        return self.status if self.withdrawn is None else None

    @property
    def in_use(self) -> bool:
        """Whether it is In-Use."""
        return self.status == Status.IN_USE and self.withdrawn is None and self.revoked is None

    def says_same(self, row: Row) -> bool:
        """Whether a statement changes nothing."""
        return self.withdrawn is None and self.status == row.status and self.claims == claims_of(row)

    def state(self, delta: date | None, disagrees: Any = None) -> State:  # noqa: ANN401 - see State
        """Return it as the merge rule takes it."""
        withdrawn = None if self.withdrawn is None else date_of(self.withdrawn)
        return State(Status(self.status), self.claims, withdrawn, delta, disagrees)


_HELD: Final = (
    "SELECT id, extract, stated, status, withdrawn, revoked, first_seen, last_changed,"
    f" {', '.join(CLAIMS)}, der"
    " FROM {} WHERE serial = ? AND issuer = ?"
)
_UPDATE: Final = (
    f"UPDATE certificate SET status = ?, withdrawn = NULL, {', '.join(f'{name} = ?' for name in CLAIMS)},"
    " last_changed = ?, extract = ?, stated = NULL WHERE id = ?"
)
_CONFIRM: Final = "UPDATE certificate SET stated = ? WHERE id = ?"
_LOWER: Final = "UPDATE certificate SET first_seen = ? WHERE id = ?"
MOVE_CENSUS: Final = (
    "INSERT INTO census VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
_AUTHORITIES: Final = tuple(rows.KIND_NUMBER[kind] for kind in (Kind.OCA, Kind.DCA))


def find_stored(
    db: apsw.Connection, serial: str, issuer: int | None, *, table: str = "certificate"
) -> StoredCertificate | None:
    """Look up a certificate by its identity."""
    found = db.execute(_HELD.format(table), (serial, issuer)).fetchone()
    return None if found is None else StoredCertificate._make((*found[:8], found[8:-1], found[-1]))


class RecordApplier:
    """Applies the records of one delta. :attr:`counts`: what they did."""

    def __init__(
        self,
        db: apsw.Connection,
        *,
        extract: int,
        day: date,
        baseline: Baseline,
        standing: Mapping[int, date],
        digest: SetDigest,
        journal: Journal,
        gate: CertificateGate | None = None,
    ) -> None:
        """Prepare to apply a delta.

        Args:
            db: a generation, in a transaction.
            extract: ledger id of the delta.
            day: its date.
            baseline: the newest full.
            standing: dates of the deltas that win over it, by ledger id.
            digest: changed with the rows.
            journal: called for each change.
            gate: asked before a new certificate is served.
        """
        self._db = db
        self._extract = extract
        self._day = day
        self._baseline = baseline
        self._standing = standing
        self._digest = digest
        self._journal = journal
        self._gate = gate
        self._issuers = Issuers(db)
        self._hash_devices = holds_devices(db)
        self.is_late = day <= baseline.full
        """Whether the full may have seen what the delta says."""
        self._rejected = RejectedIdentities(db) if self.is_late else None
        self._disagreements = bool(db.execute("SELECT EXISTS (SELECT 1 FROM disagreement)").get)
        self._count_changes: dict[tuple[int, str, int], int] = {}
        self._outdated: set[int] = set()
        """Rows that a record of this file stated, and a later delta too."""
        self.records = self.inserted = self.updated = self.unchanged = self.quarantined = 0
        self.contradicted = self.leaving = 0
        self.needs_settling = False
        """Whether the delta brought another body of a certificate, or an authority."""

    @property
    def counts(self) -> ChangeCounts:
        """What was done so far."""
        return ChangeCounts(
            records=self.records,
            inserted=self.inserted,
            updated=self.updated,
            unchanged=self.unchanged,
            quarantined=self.quarantined,
            contradicted=self.contradicted,
        )

    def apply_all(self, records: Iterable[Entry | Rejected]) -> None:
        """Apply every record, then write the census."""
        for record in records:
            self.apply(record)
        for sort, moved in self._count_changes.items():
            self._db.execute(MOVE_CENSUS, (*sort, moved))
        self._count_changes.clear()

    def apply(self, record: Entry | Rejected) -> None:
        """Apply one record."""
        self.records += 1
        if isinstance(record, Rejected):
            self._quarantine(record)
            return
        row = row_of(record)
        held = find_stored(self._db, row.serial, self._issuers[row.issuer])
        returns = held is not None and held.withdrawn is not None and row.status == Status.IN_USE
        if held is None or (returns and held.der == row.der):
            self._admit(row, held)
        elif held.der != row.der:
            self.needs_settling = True
            came_first = held.last_statement == self._extract or held.id in self._outdated
            later = held.first_seen == days(self._day) and came_first
            self._quarantine(conflict_of(row), later=later)
        else:
            self._merge(row, held)

    def _admit(self, row: Row, held: StoredCertificate | None) -> None:
        """Serve a new certificate, or one that was withdrawn, unless the gate refuses it."""
        why = self._gate.refuse(row) if self._gate else None
        if why is None and held is None:
            self._insert(row)
        elif why is None and held is not None:
            self._merge(row, held)
        elif why is not None:
            self._quarantine(evidence_of(row, RejectReason.SIGNATURE_FALSE, why))

    def _insert(self, row: Row) -> None:
        day = days(self._day)
        stamps = {"first": day, "changed": day, "extract": self._extract}
        self._db.execute(INSERT, values_of(row, self._issuers[row.issuer], **stamps))
        number = self._db.last_insert_rowid()
        self.inserted += 1
        self.needs_settling |= row.kind in _AUTHORITIES
        self._count(row.kind, row.status, 0, 1)
        if row.status == Status.IN_USE:
            self._digest.add(row.der)
        if self._hash_devices or row.kind != DEVICE:
            rows.add(self._db, number, row.der)
        self._note_disagreement(number, row, None)
        self._journal(JournalEntry(row=number, change=ChangeKind.ADDED, before=None, after=row.status))

    def _merge(self, row: Row, held: StoredCertificate) -> None:
        stated_on = self._standing.get(held.last_statement)
        if days(self._day) < held.first_seen:
            self._db.execute(_LOWER, (days(self._day), held.id))
        if stated_on is not None and stated_on > self._day:
            self.unchanged += 1
            self._outdated.add(held.id)
            return
        self._note_disagreement(held.id, row, held.state(stated_on))
        if held.says_same(row):
            self.unchanged += 1
            if held.last_statement != self._extract:
                self._db.execute(_CONFIRM, (self._extract, held.id))
        else:
            self._update(row, held)

    def _update(self, row: Row, held: StoredCertificate) -> None:
        self.updated += 1
        self.contradicted += held.last_statement == self._extract
        self._db.execute(_UPDATE, (row.status, *claims_of(row), days(self._day), self._extract, held.id))
        self._count(row.kind, held.status, int(held.withdrawn is not None), -1)
        self._count(row.kind, row.status, 0, 1)
        in_use = row.status == Status.IN_USE and held.revoked is None
        if in_use and not held.in_use:
            self._digest.add(row.der)
        elif held.in_use and not in_use:
            self._digest.remove(row.der)
            self.leaving += 1
        self._journal(
            JournalEntry(row=held.id, change=_change_of(held, row), before=held.listed, after=row.status)
        )

    def _note_disagreement(self, number: int, row: Row, held: State | None) -> None:
        """Keep what the full says about a certificate, if that is not what the delta says."""
        if self._rejected is None:
            if self._disagreements:
                write_disagreement(self._db, number, None)
            return
        unheld: Unlisted = self._rejected.unlisted(row.serial)
        if held is not None:
            noted = read_disagreement(self._db, number)
            # Of a certificate that is not In-Use, nothing is noted unless the full lists it.
            held = held._replace(disagrees=noted or (None if held.in_use else unheld))
        said = Statement(Status(row.status), claims_of(row))
        state = merge_delta(held, said, self._day, self._baseline, unheld=unheld)
        if state is not None:
            write_disagreement(self._db, number, state.disagrees)

    def _count(self, kind: int, status: str, withdrawn: int, moved: int) -> None:
        key = (kind, status, withdrawn)
        self._count_changes[key] = self._count_changes.get(key, 0) + moved

    def _quarantine(self, record: Rejected, *, later: bool = False) -> None:
        self.quarantined += 1
        quarantine_record(self._db, record, extract=self._extract, later=later)


def _change_of(held: StoredCertificate, row: Row) -> ChangeKind:
    if held.withdrawn is not None and row.status == Status.IN_USE:
        return ChangeKind.REINSTATED
    if held.listed != row.status:
        return ChangeKind.STATUS
    return ChangeKind.CLAIMS


def check_changes(
    limits: ChangeLimits, extract: Extract, applier: RecordApplier, *, before: int, is_new: bool
) -> None:
    """Raise ``BadExtract`` if a delta changed more than the limits allow.

    ``before``: In-Use certificates before it. ``is_new``: it moves the position. A delta of the overlap
    repeats what the full lists, and does not prove that it is a full under the name of a delta.
    """
    if is_new and not applier.is_late:
        limits.check_delta(extract.name, repeated=applier.unchanged, held=before)
    limits.check_shrink(extract.name, before=before, leaving=applier.leaving)
