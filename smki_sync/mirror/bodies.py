"""Decide which of several bodies with the same issuer and serial number is served."""

from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.merge import Body, choose_body
from smki_sync.mirror import rows
from smki_sync.mirror.apply import MOVE_CENSUS, StoredCertificate, find_stored
from smki_sync.mirror.connection import holds_devices
from smki_sync.mirror.disagreement import write_disagreement
from smki_sync.mirror.journal import ChangeKind, Journal, JournalEntry
from smki_sync.mirror.ledger import read_baseline, read_standing
from smki_sync.mirror.rows import (
    INSERT,
    Row,
    conflict_of,
    date_of,
    days,
    quarantine_record,
    read_evidence,
    row_of,
    values_of,
)
from smki_sync.mirror.schema import DEVICE
from smki_sync.mirror.set_digest import SetDigest
from smki_sync.model.certificate import Claims, Entry, Flag, Status
from smki_sync.records import parse_record

VerifyBody = Callable[[apsw.Connection, bytes], bool | None]
"""Whether the issuer of a body has signed it; ``None`` if the issuer is not known."""

SERVED_BEFORE: Final = 0
"""Record number of evidence that is not from the file: a body that was served before."""

_IDENTITIES: Final = """
SELECT DISTINCT q.serial, q.issuer FROM quarantine AS q JOIN extract AS x ON x.id = q.extract
 WHERE q.reason = 'identity-conflict' AND q.serial IS NOT NULL AND q.issuer IS NOT NULL AND x.superseded <> 1
"""
_RECORDS: Final = """
SELECT q.id, q.extract, q.number, q.xml, q.later, q.first_seen, x.kind = 'delta',
       CAST(julianday(x.day) - 2440587.5 AS INTEGER)
  FROM quarantine AS q JOIN extract AS x ON x.id = q.extract
 WHERE q.serial = ? AND q.issuer = ? AND q.reason = 'identity-conflict' AND x.superseded <> 1 ORDER BY q.id
"""
_STORED: Final = f"""
SELECT {", ".join("i.name" if name == "issuer" else f"c.{name}" for name in Row._fields[:-1])}
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer WHERE c.id = ?
"""
_REPLACE: Final = (
    f"UPDATE certificate SET {', '.join(f'{name} = ?' for name in Row._fields[2:-1])},"
    " withdrawn = ?, first_seen = ?, last_changed = ?, extract = ?, stated = NULL WHERE id = ?"
)
_IS_OF_FULL: Final = "SELECT EXISTS (SELECT 1 FROM extract WHERE kind <> 'delta' AND day = ?)"
_DELTA_PLACE: Final = 2
"""A full of the same date was read before the delta was cut."""


def ignore_signatures(_db: apsw.Connection, _body: bytes) -> None:
    """Let the dates decide."""


class _Record(NamedTuple):
    """A statement about a body that is not served. ``day``, ``first_seen``: days since 1970."""

    id: int
    extract: int
    number: int
    xml: bytes
    later: int
    first_seen: int | None
    is_delta: int
    day: int

    @property
    def der(self) -> bytes:
        return b64decode(read_evidence(self.xml)["CertificateBody"])

    def body(self) -> Body:
        first = self.day if self.first_seen is None else self.first_seen
        return Body(b"", date_of(first), _DELTA_PLACE * self.is_delta + self.later)

    def row(self) -> Row | None:
        """Return the record as a row; ``None`` if it cannot be understood."""
        found = read_evidence(self.xml)
        claims = Claims(
            name=found.get("CertificateSubjectAltName"),
            serial=found.get("CertificateSerial"),
            status=found.get("CertificateStatus"),
            role=found.get("CertificateRole"),
            usage=found.get("CertificateUsage"),
            manufacturing=found.get("ManufacturingFlag"),
            body=found.get("CertificateBody"),
        )
        entry = parse_record(self.number, claims)
        if not isinstance(entry, Entry):
            return None
        return row_of(entry._replace(flags=Flag(int(found.get("Flags", entry.flags)))))


def settle_bodies(
    db: apsw.Connection, verify_body: VerifyBody, *, digest: SetDigest, journal: Journal
) -> None:
    """Decide about each certificate of which another body is known, and exchange bodies if necessary.

    Args:
        db: a generation, in a transaction.
        verify_body: whether the issuer has signed a body.
        digest: changed with the rows.
        journal: called for each exchange.
    """
    found: list[tuple[Any, ...]] = db.execute(_IDENTITIES).fetchall()
    for serial, issuer in found:
        held = find_stored(db, serial, issuer)
        others: dict[bytes, list[_Record]] = {}
        for record in map(_Record._make, db.execute(_RECORDS, (serial, issuer)).fetchall()):
            others.setdefault(record.der, []).append(record)
        if held is None:
            _admit(db, verify_body, issuer, others, digest=digest, journal=journal)
            continue
        others.pop(held.der, None)
        bodies = [_body_of(db, held), *(min(map(_Record.body, said), key=_order) for said in others.values())]
        ders = [held.der, *others]
        judged = [
            body._replace(sha256=der, verifies=verify_body(db, der))
            for der, body in zip(ders, bodies, strict=True)
        ]
        chosen = ders[choose_body(judged)]
        if chosen != held.der:
            _exchange(db, held, others[chosen], digest=digest, journal=journal)


def _admit(
    db: apsw.Connection,
    verify_body: VerifyBody,
    issuer: int,
    others: dict[bytes, list[_Record]],
    *,
    digest: SetDigest,
    journal: Journal,
) -> None:
    """Serve a body of a certificate whose first body was refused for its signature."""
    found = [(der, said, verify_body(db, der)) for der, said in others.items()]
    found = [one for one in found if one[2] is not False]
    if not found:
        return
    bodies = [
        min(map(_Record.body, said), key=_order)._replace(sha256=der, verifies=verified)
        for der, said, verified in found
    ]
    _, said, _ = found[choose_body(bodies)]
    last = max(said, key=_rank)
    row = last.row()
    if row is None:
        return
    stamps = {"first": _first_seen(said), "changed": last.day, "extract": last.extract}
    db.execute(INSERT, values_of(row, issuer, **stamps))
    number = db.last_insert_rowid()
    db.executemany("DELETE FROM quarantine WHERE id = ?", [(record.id,) for record in said])
    db.execute(MOVE_CENSUS, (row.kind, row.status, 0, 1))
    if row.status == Status.IN_USE:
        digest.add(row.der)
    if holds_devices(db) or row.kind != DEVICE:
        rows.add(db, number, row.der)
    journal(JournalEntry(row=number, change=ChangeKind.ADDED, before=None, after=row.status))


def _rank(record: _Record) -> tuple[int, int, int]:
    return record.day, record.is_delta, record.id


def _first_seen(said: list[_Record]) -> int:
    return min(record.day if record.first_seen is None else record.first_seen for record in said)


def _order(body: Body) -> tuple[Any, ...]:
    return body.first_stated, body.place


def _body_of(db: apsw.Connection, held: StoredCertificate) -> Body:
    first = date_of(held.first_seen)
    is_of_full = db.execute(_IS_OF_FULL, (first.isoformat(),)).get
    return Body(held.der, first, 0 if is_of_full else _DELTA_PLACE)


def _exchange(
    db: apsw.Connection, held: StoredCertificate, said: list[_Record], *, digest: SetDigest, journal: Journal
) -> None:
    """Serve another body, and keep the one that was served as evidence."""
    last = max(said, key=_rank)
    row = last.row()
    if row is None:
        return
    stored: Any = db.execute(_STORED, (held.id,)).fetchone()
    served = Row._make((*stored, SERVED_BEFORE))
    evidence = conflict_of(served)
    quarantine_record(db, evidence, extract=held.last_statement, first_seen=held.first_seen)
    db.executemany("DELETE FROM quarantine WHERE id = ?", [(record.id,) for record in said])
    withdrawn = _withdrawn(db, held, row, last)
    db.execute(_REPLACE, (*row[2:-1], withdrawn, _first_seen(said), last.day, last.extract, held.id))
    write_disagreement(db, held.id, None)
    _count(db, served, held.withdrawn, -1)
    _count(db, row, withdrawn, 1)
    if held.in_use:
        digest.remove(held.der)
    if row.status == Status.IN_USE and withdrawn is None and held.revoked is None:
        digest.add(row.der)
    if holds_devices(db) or row.kind != DEVICE:
        rows.remove(db, held.der)
        rows.add(db, held.id, row.der)
    after = None if withdrawn is not None else row.status
    journal(JournalEntry(row=held.id, change=ChangeKind.BODY, before=held.listed, after=after))


def _withdrawn(db: apsw.Connection, held: StoredCertificate, row: Row, last: _Record) -> int | None:
    """Return since when the certificate is withdrawn once this body is served.

    A full does not list it, but the last statement about the new body may win over that full, or say that
    the certificate is not In-Use.
    """
    baseline = read_baseline(db)
    wins = last.extract in read_standing(db, baseline) or last.day >= days(baseline.full)
    return None if wins or row.status != Status.IN_USE else held.withdrawn


def _count(db: apsw.Connection, row: Row, withdrawn: int | None, moved: int) -> None:
    db.execute(MOVE_CENSUS, (row.kind, row.status, int(withdrawn is not None), moved))
