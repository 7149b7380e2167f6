"""RecordApplier: effect of one record on the rows; CertificateGate protocol."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, Final, Protocol

import apsw

from smki_sync.mirror import rows
from smki_sync.mirror.inspection import StoredRow
from smki_sync.mirror.journal import ChangeKind, Journal, JournalEntry
from smki_sync.mirror.ledger import SetDigest
from smki_sync.mirror.rows import (
    INSERT,
    Issuers,
    Row,
    conflict_of,
    days,
    quarantine_record,
    row_of,
    values_of,
)
from smki_sync.model.certificate import Entry, Rejected, RejectReason, Status
from smki_sync.model.report import ChangeCounts


class CertificateGate(Protocol):
    """Knows whose signature is false; that one is kept as evidence and not served."""

    def refuse(self, row: Row) -> str | None:
        """Say why a certificate that the mirror does not know may not come in; ``None`` where it may."""

    def refuse_among(self, db: apsw.Connection) -> Iterable[tuple[StoredRow, str]]:
        """Every row of a generation in the making that may not stay, with the reason."""


def refused(row: Row, why: str) -> Rejected:
    """A record that the door has refused, rebuilt from its parts."""
    return _evidence(row.number, row.serial, row.status, row.der, why)


def refused_row(row: StoredRow, why: str, *, number: int) -> Rejected:
    """A row that the door has refused; ``number``: its place in the file."""
    return _evidence(number, row.serial, row.status, row.der, why)


def _evidence(number: int, serial: str, status: str, der: bytes, why: str) -> Rejected:
    return Rejected(
        number=number,
        reason=RejectReason.SIGNATURE_FALSE,
        detail=why,
        xml=f"<CertificateResponse><CertificateSerial>{serial}</CertificateSerial>"
        f"<CertificateStatus>{status}</CertificateStatus>"
        f"<CertificateBody>{b64encode(der).decode()}</CertificateBody></CertificateResponse>".encode(),
    )


CONFIRMED: Final = 1_000_000
"""Rows of which a file is remembered to have said nothing new, at some 60 octets each: more than a delta
of the largest design (500 000 records) can name. Beyond it a contradiction to one of them goes unnoticed."""

Touch = Callable[[str, int], None]
"""Takes an identity: serial number, issuer id."""

_KNOWN: Final = (
    "SELECT id, extract, status, withdrawn, revoked, eui, role, usage, manufacturing, flags, der"
    " FROM certificate WHERE serial = ? AND issuer = ?"
)
_UPDATE: Final = (
    "UPDATE certificate SET status = ?, withdrawn = NULL, eui = ?, role = ?, usage = ?, manufacturing = ?,"
    " flags = ?, last_changed = ?, extract = ? WHERE id = ?"
)
MOVE_CENSUS: Final = (
    "INSERT INTO census VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
)


class RecordApplier:
    """Applies the records of one extract; :attr:`counts` says afterwards what they did."""

    def __init__(
        self,
        db: apsw.Connection,
        *,
        extract: int,
        day: date,
        digest: SetDigest,
        journal: Journal,
        touch: Touch = lambda _serial, _issuer: None,
        door: CertificateGate | None = None,
    ) -> None:
        """``extract``: ledger id of the file. ``digest``: moved along with the rows.

        ``touch``: told the identity of every certificate that the file names. ``door``: asked before a
        certificate that is not known is kept.
        """
        self._door = door
        self._db = db
        self._extract = extract
        self._day = days(day)
        self._digest = digest
        self._journal = journal
        self._touch = touch
        self._issuers = Issuers(db)
        self._hash_devices = rows.holds_devices(db)
        self._census: dict[tuple[int, str, int], int] = {}
        self._confirmed: set[int] = set()
        self.records = self.inserted = self.updated = self.unchanged = self.quarantined = 0
        self.contradicted = 0

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

    def take_all(self, records: Iterable[Entry | Rejected]) -> None:
        """Apply every record, then write the census."""
        for record in records:
            self.take(record)
        self._write_census()

    def take_rows(self, rows: Iterable[Row]) -> None:
        """Apply rows that were records once, then write the census."""
        for row in rows:
            self._take_row(row)
        self._write_census()

    def take(self, record: Entry | Rejected) -> None:
        """Apply one record."""
        self.records += 1
        if isinstance(record, Rejected):
            self._set_aside(record)
        else:
            self._take_row(row_of(record))

    def _take_row(self, row: Row) -> None:
        issuer = self._issuers[row.issuer]
        self._touch(row.serial, issuer)
        known = self._db.execute(_KNOWN, (row.serial, issuer)).fetchone()
        if known is None:
            self._let_in(row, issuer)
        elif known[-1] != row.der:
            self._set_aside(conflict_of(row.number, row.serial, row.issuer, row.status, row.der))
        else:
            self._update(row, known)

    def _write_census(self) -> None:
        for (kind, status, withdrawn), moved in self._census.items():
            self._db.execute(MOVE_CENSUS, (kind, status, withdrawn, moved))
        self._census.clear()

    def _let_in(self, row: Row, issuer: int) -> None:
        why = self._door.refuse(row) if self._door else None
        if why is None:
            self._insert(row, issuer)
        else:
            self._set_aside(refused(row, why))

    def _insert(self, row: Row, issuer: int) -> None:
        self._db.execute(
            INSERT, values_of(row, issuer, first=self._day, changed=self._day, extract=self._extract)
        )
        self._count(row.kind, row.status, 0, 1)
        if row.status == Status.IN_USE:
            self._digest.add(row.der)
        self.inserted += 1
        number = self._db.last_insert_rowid()
        if self._hash_devices or row.kind != rows.DEVICE:
            rows.add(self._db, number, row.der)
        self._journal(JournalEntry(row=number, change=ChangeKind.ADDED, before=None, after=row.status))

    def _update(self, row: Row, known: tuple[Any, ...]) -> None:
        number, extract, status, withdrawn, revoked, *claims, _der = known
        said = (row.eui, row.role, row.usage, row.manufacturing, row.flags)
        if withdrawn is None and status == row.status and tuple(claims) == said:
            self.unchanged += 1
            self._confirm(number)
            return
        self.contradicted += extract == self._extract or number in self._confirmed
        self._db.execute(_UPDATE, (row.status, *said, self._day, self._extract, number))
        self._count(row.kind, status, int(withdrawn is not None), -1)
        self._count(row.kind, row.status, 0, 1)
        if revoked is None:
            self._move_digest(row, was=status == Status.IN_USE and withdrawn is None)
        self.updated += 1
        if status != row.status:
            self._journal(JournalEntry(row=number, change=ChangeKind.STATUS, before=status, after=row.status))
        elif withdrawn is not None:
            self._journal(
                JournalEntry(row=number, change=ChangeKind.REINSTATED, before=None, after=row.status)
            )

    def _confirm(self, number: int) -> None:
        """Remember that this file has spoken of a row without changing it."""
        if len(self._confirmed) < CONFIRMED:
            self._confirmed.add(number)

    def _move_digest(self, row: Row, *, was: bool) -> None:
        now = row.status == Status.IN_USE
        if now and not was:
            self._digest.add(row.der)
        elif was and not now:
            self._digest.remove(row.der)

    def _count(self, kind: int, status: str, withdrawn: int, moved: int) -> None:
        key = (kind, status, withdrawn)
        self._census[key] = self._census.get(key, 0) + moved

    def _set_aside(self, record: Rejected) -> None:
        self.quarantined += 1
        quarantine_record(self._db, record, extract=self._extract)
