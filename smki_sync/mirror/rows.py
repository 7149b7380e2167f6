"""Format of certificate rows, issuer ids, fingerprints and quarantine rows."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha1, sha256
from html import escape
from itertools import islice
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.mirror.connection import holds_devices
from smki_sync.mirror.schema import DEVICE, DEVICE_INDEX, KINDS, Value
from smki_sync.model.certificate import Entry, Rejected, RejectReason, Serial, Status, Usage

BATCH: Final = 500
"""Records in a batch, about 300 kB: large enough that the cost of passing a batch is small."""

KIND_NUMBER: Final = {kind: number for number, kind in enumerate(KINDS)}


_EPOCH: Final = date(1970, 1, 1).toordinal()


_TEXTS: Final = {word: word.value for word in (*Status, *Usage)}


class Row(NamedTuple):
    """One record of an extract as a row. ``number``: its place in the file, from 1.

    ``issuer``: its RFC 4514 name. ``kind``: index of :data:`~.schema.KINDS`. ``subject``: ``None`` if empty.
    Times in seconds since 1970, UTC. The fields except the last are in the order of :data:`INSERT`.
    """

    serial: str
    issuer: str
    eui: str | None
    kind: int
    role: int | None
    usage: str | None
    status: str
    subject: str | None
    not_before: int
    not_after: int
    ski: str | None
    manufacturing: int | None
    flags: int
    der: bytes
    number: int


CLAIMS: Final = ("eui", "role", "usage", "manufacturing", "flags")
"""Columns that a later record can change, in addition to the status."""

_COLUMNS: Final = (*Row._fields[:-1], "first_seen", "last_changed", "extract")
INSERT: Final = f"INSERT INTO certificate ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
"""Inserts the values of :func:`values_of`."""
INSERT_STATED: Final = (
    f"INSERT INTO certificate ({', '.join(_COLUMNS)}, stated) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
)
"""Inserts the values of :func:`values_of` and the ledger id of the file with the last statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some records of an extract. Each list is in the order of the file."""

    rows: list[Row]
    rejected: list[Rejected]


def row_of(entry: Entry) -> Row:
    """Convert a record to a row."""
    facts, made = entry.facts, entry.manufacturing
    return Row(
        facts.serial,
        facts.issuer,
        entry.eui,
        KIND_NUMBER[facts.kind],
        entry.role,
        entry.usage and _TEXTS[entry.usage],
        _TEXTS[entry.status],
        facts.subject or None,
        facts.not_before,
        facts.not_after,
        facts.ski,
        None if made is None else int(made),
        int(entry.flags),
        entry.der,
        entry.number,
    )


def days(day: date) -> int:
    """Convert a date to days since 1970, as rows store it."""
    return day.toordinal() - _EPOCH


def date_of(day: int) -> date:
    """Convert days since 1970 to a date."""
    return date.fromordinal(day + _EPOCH)


def values_of(row: Row, issuer: int, *, first: int, changed: int, extract: int) -> tuple[object, ...]:
    """Return the values that ``INSERT`` takes. ``first``, ``changed``: days since 1970."""
    return (row.serial, issuer, *row[2:-1], first, changed, extract)


def claims_of(row: Row) -> tuple[Any, ...]:
    """Return the claims of a row, in the order of :data:`CLAIMS`."""
    return (row.eui, row.role, row.usage, row.manufacturing, row.flags)


def batches_of(records: Iterable[Entry | Rejected]) -> Iterator[Batch]:
    """Convert records to rows, one batch at a time."""
    rest = iter(records)
    while some := list(islice(rest, BATCH)):
        yield Batch(
            rows=[row_of(record) for record in some if isinstance(record, Entry)],
            rejected=[record for record in some if isinstance(record, Rejected)],
        )


class Issuers:
    """Issuer names and their row ids. All are in memory, because there are few."""

    def __init__(self, db: apsw.Connection) -> None:
        """Read the ids of the generation."""
        self._db = db
        self._ids: dict[str, int] = dict(db.execute("SELECT name, id FROM issuer"))

    def __getitem__(self, name: str) -> int:
        """Return the id of a name; insert a new name."""
        found = self._ids.get(name)
        if found is None:
            self._db.execute("INSERT INTO issuer (name) VALUES (?)", (name,))
            found = self._ids[name] = self._db.last_insert_rowid()
        return found


_QUARANTINE: Final = """
INSERT INTO quarantine (extract, number, reason, detail, xml, serial, issuer, record, later, first_seen,
                        accepted)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, (SELECT id FROM issuer WHERE name = ?7), ?8, ?9, ?10,
       (SELECT max(accepted) FROM quarantine WHERE record = ?8)
"""
_RECORD_BYTES: Final = 16


def quarantine_record(
    db: apsw.Connection,
    record: Rejected,
    *,
    extract: int,
    later: bool = False,
    first_seen: int | None = None,
) -> None:
    """Store a record that is not served, as evidence. A record that an operator accepted stays accepted.

    Args:
        db: a generation, in a transaction.
        record: the record.
        extract: ledger id of its file.
        later: whether the served body came earlier in the same file.
        first_seen: earliest date of this body in days since 1970, if it is not the date of the file.
    """
    mark = sha256(f"{record.reason}\0".encode() + record.xml).digest()[:_RECORD_BYTES]
    values = (record.number, record.reason.value, record.detail, record.xml, record.serial, record.issuer)
    db.execute(_QUARANTINE, (extract, *values, mark, int(later), first_seen))


_ELEMENTS: Final = (
    ("eui", "CertificateSubjectAltName"),
    ("serial", "CertificateSerial"),
    ("status", "CertificateStatus"),
    ("role", "CertificateRole"),
    ("usage", "CertificateUsage"),
    ("manufacturing", "ManufacturingFlag"),
    ("flags", "Flags"),
)


def evidence_of(row: Row, reason: RejectReason, detail: str) -> Rejected:
    """Make the evidence for a parsed record that is not served, with all of its claims."""
    values = row._asdict() | {"manufacturing": {0: "false", 1: "true"}.get(row.manufacturing or 0)}
    if row.manufacturing is None:
        values["manufacturing"] = None
    claims = "".join(
        f"<{element}>{escape(str(values[name]))}</{element}>"
        for name, element in _ELEMENTS
        if values[name] is not None
    )
    body = b64encode(row.der).decode()
    return Rejected(
        number=row.number,
        reason=reason,
        detail=detail,
        xml=f"<CertificateResponse>{claims}<CertificateBody>{body}</CertificateBody></CertificateResponse>".encode(),
        serial=Serial(row.serial),
        issuer=row.issuer,
    )


def conflict_of(row: Row) -> Rejected:
    """Make the evidence for a record with the issuer and serial number of another body."""
    detail = f"serial {row.serial} of issuer {row.issuer} has another body in the mirror"
    return evidence_of(row, RejectReason.IDENTITY_CONFLICT, detail)


_ELEMENT: Final = re.compile(rb"<(\w+)>([^<]*)</\1>")


def read_evidence(xml: bytes) -> dict[str, str]:
    """Read the elements of a record that :func:`evidence_of` wrote."""
    return {name.decode(): text.decode() for name, text in _ELEMENT.findall(xml)}


_FILL: Final = """
INSERT OR IGNORE INTO fingerprint
SELECT sha1(der), id FROM certificate WHERE {condition} UNION ALL
SELECT sha256(der), id FROM certificate WHERE {condition} ORDER BY 1
"""
_ADD: Final = "INSERT OR IGNORE INTO fingerprint VALUES (?, ?), (?, ?)"


def index_devices(db: apsw.Connection) -> None:
    """Index devices by key identifier; :func:`fill` and :func:`add` then include them."""
    db.execute(DEVICE_INDEX)


def fill(db: apsw.Connection) -> None:
    """Add the hashes of a new generation, sorted so that each page is written once."""
    db.create_scalar_function("sha1", _sha1, 1, deterministic=True)
    db.create_scalar_function("sha256", _sha256, 1, deterministic=True)
    condition = "TRUE" if holds_devices(db) else f"kind <> {DEVICE}"
    db.execute(_FILL.format(condition=condition))


def add(db: apsw.Connection, row: int, der: bytes) -> None:
    """Add the hashes of one certificate. ``row``: its id."""
    db.execute(_ADD, (_sha1(der), row, _sha256(der), row))


def remove(db: apsw.Connection, der: bytes) -> None:
    """Remove the hashes of a body that is no longer served."""
    db.execute("DELETE FROM fingerprint WHERE digest IN (?, ?)", (_sha1(der), _sha256(der)))


def _sha1(*der: Value) -> bytes:
    return sha1(_bytes_of(*der), usedforsecurity=False).digest()


def _sha256(*der: Value) -> bytes:
    return sha256(_bytes_of(*der)).digest()


def _bytes_of(der: Value) -> bytes:
    assert isinstance(der, bytes)
    return der


HASHES: Final = {"sha1": _sha1, "sha256": _sha256}
"""Hash functions by name."""
OCTETS: Final = {"sha1": 20, "sha256": 32}
"""Length of each digest in bytes."""
