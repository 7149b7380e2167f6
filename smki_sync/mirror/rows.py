"""Row format, issuer ids, fingerprints, quarantine rows."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha1, sha256
from itertools import islice
from typing import Final, NamedTuple

import apsw

from smki_sync.mirror.schema import DEVICE_INDEX, KINDS, Value
from smki_sync.model.certificate import Entry, Rejected, RejectReason, Status, Usage

BATCH: Final = 500
"""Records in a batch: some 300 kB, enough that handing it over costs little for each."""

KIND_NUMBER: Final = {kind: number for number, kind in enumerate(KINDS)}


_EPOCH: Final = date(1970, 1, 1).toordinal()


_TEXTS: Final = {word: word.value for word in (*Status, *Usage)}


class Row(NamedTuple):
    """What an extract says of one certificate; ``number``: its place in the file, from 1.

    ``issuer``: its RFC 4514 name. ``kind``: index of :data:`~.schema.KINDS`. ``subject``: ``None`` where
    empty. Times in seconds since 1970, UTC. The fields but the last stand as in :data:`INSERT`.
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


INSERT: Final = (
    f"INSERT INTO certificate ({', '.join(Row._fields[:-1])}, first_seen, last_changed, extract)"
    f" VALUES ({', '.join('?' * (len(Row._fields) + 2))})"
)
"""Takes the values of :func:`values_of`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some records of an extract, in the file's order within each list."""

    rows: list[Row]
    rejected: list[Rejected]


def row_of(entry: Entry) -> Row:
    """Flatten a record."""
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
    """A date as days since 1970, as the rows hold it."""
    return day.toordinal() - _EPOCH


def values_of(row: Row, issuer: int, *, first: int, changed: int, extract: int) -> tuple[object, ...]:
    """The values that ``INSERT`` takes. ``first``, ``changed``: days since 1970."""
    return (row.serial, issuer, *row[2:-1], first, changed, extract)


def claims_of(row: Row) -> tuple[object, ...]:
    """What the Repository may change its word on: status, claims, flags; and the body."""
    return (row.status, row.eui, row.role, row.usage, row.manufacturing, row.flags, row.der)


def batches_of(records: Iterable[Entry | Rejected]) -> Iterator[Batch]:
    """Flatten records, some at a time."""
    rest = iter(records)
    while some := list(islice(rest, BATCH)):
        yield Batch(
            rows=[row_of(record) for record in some if isinstance(record, Entry)],
            rejected=[record for record in some if isinstance(record, Rejected)],
        )


class Issuers:
    """Issuer names and their row ids; few, so all are held in memory."""

    def __init__(self, db: apsw.Connection) -> None:
        """Read the ids that the generation has."""
        self._db = db
        self._ids: dict[str, int] = dict(db.execute("SELECT name, id FROM issuer"))

    def __getitem__(self, name: str) -> int:
        """The id of a name, given one if it is new."""
        found = self._ids.get(name)
        if found is None:
            self._db.execute("INSERT INTO issuer (name) VALUES (?)", (name,))
            found = self._ids[name] = self._db.last_insert_rowid()
        return found


_QUARANTINE: Final = "INSERT INTO quarantine (extract, number, reason, detail, xml) VALUES (?, ?, ?, ?, ?)"


def quarantine_record(db: apsw.Connection, record: Rejected, *, extract: int) -> None:
    """Keep a record that cannot be served, as evidence."""
    db.execute(_QUARANTINE, (extract, record.number, record.reason, record.detail, record.xml))


def conflict_of(number: int, serial: str, issuer: str, status: str, der: bytes) -> Rejected:
    """Issuer and serial are taken by another body: the evidence, as a record rebuilt from its parts."""
    return Rejected(
        number=number,
        reason=RejectReason.IDENTITY_CONFLICT,
        detail=f"serial {serial} of issuer {issuer} is held with another body",
        xml=f"<CertificateResponse><CertificateSerial>{serial}</CertificateSerial>"
        f"<CertificateStatus>{status}</CertificateStatus>"
        f"<CertificateBody>{b64encode(der).decode()}</CertificateBody></CertificateResponse>".encode(),
    )


DEVICE: Final = 0
"""The kind of a device, as it is stored."""

_INDEXED: Final = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'certificate_ski')"
_FILL: Final = """
INSERT OR IGNORE INTO fingerprint
SELECT sha1(der), id FROM certificate WHERE {few} UNION ALL
SELECT sha256(der), id FROM certificate WHERE {few} ORDER BY 1
"""
_ADD: Final = "INSERT OR IGNORE INTO fingerprint VALUES (?, ?), (?, ?)"


def index_devices(db: apsw.Connection) -> None:
    """Index devices by key identifier; :func:`fill` and :func:`add` then take them in too."""
    db.execute(DEVICE_INDEX)


def holds_devices(db: apsw.Connection) -> bool:
    """Whether devices can be looked up by key identifier and hash without reading every row."""
    return bool(db.execute(_INDEXED).get)


def fill(db: apsw.Connection) -> None:
    """Work out the hashes that a new generation lacks, sorted, so that they are written once."""
    db.create_scalar_function("sha1", _sha1, 1, deterministic=True)
    db.create_scalar_function("sha256", _sha256, 1, deterministic=True)
    few = "TRUE" if holds_devices(db) else f"kind <> {DEVICE}"
    db.execute(_FILL.format(few=few))


def add(db: apsw.Connection, row: int, der: bytes) -> None:
    """Take in one more certificate; ``row``: its id."""
    db.execute(_ADD, (_sha1(der), row, _sha256(der), row))


def remove(db: apsw.Connection, der: bytes) -> None:
    """Forget a body that its row no longer has."""
    db.execute("DELETE FROM fingerprint WHERE digest IN (?, ?)", (_sha1(der), _sha256(der)))


def _sha1(*der: Value) -> bytes:
    return sha1(_octets(*der), usedforsecurity=False).digest()


def _sha256(*der: Value) -> bytes:
    return sha256(_octets(*der)).digest()


def _octets(der: Value) -> bytes:
    assert isinstance(der, bytes)
    return der


HASHES: Final = {"sha1": _sha1, "sha256": _sha256}
"""Hash functions by their names."""
OCTETS: Final = {"sha1": 20, "sha256": 32}
"""How long their digests are."""
