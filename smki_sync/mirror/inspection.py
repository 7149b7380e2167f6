"""Read raw rows for verification, and figures for status pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from random import Random
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.mirror.schema import COUNTING, IN_USE, KINDS, Value
from smki_sync.model.certificate import KeyId, Kind, Status
from smki_sync.model.extract import ExtractKind

_LEDGER: Final = """
SELECT name, kind, day, committed, size, seconds, records, inserted, updated, withdrawn, quarantined,
       id = (SELECT min(id) FROM extract) OR day <= (SELECT day FROM extract ORDER BY id LIMIT 1)
  FROM extract WHERE kind <> 'repair' ORDER BY id
"""
_HOLDINGS: Final = (
    "SELECT kind, status, withdrawn, count FROM census WHERE count > 0 ORDER BY kind, status, withdrawn"
)
_REVOKED: Final = """
SELECT c.kind, count(*) FROM certificate AS c INDEXED BY certificate_revoked
 WHERE c.revoked IS NOT NULL AND c.status = 'I' AND c.withdrawn IS NULL GROUP BY c.kind
"""
_ROLES: Final = f"""
SELECT c.kind, c.role, count(*), sum({IN_USE})
  FROM certificate AS c WHERE c.kind <> 0 GROUP BY c.kind, c.role ORDER BY c.kind, c.role
"""
_REASONS: Final = f"""
SELECT reason, count(*), sum(accepted IS NULL) FROM quarantine WHERE extract IN ({COUNTING})
 GROUP BY reason ORDER BY reason
"""
_QUARANTINE: Final = f"""
SELECT x.name, q.number, q.reason, q.detail, q.accepted
  FROM quarantine AS q JOIN extract AS x ON x.id = q.extract
 WHERE q.extract IN ({COUNTING}) ORDER BY q.id DESC LIMIT ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFile:
    """A file that was applied. ``size`` is in bytes; the other counts are numbers of certificates.

    ``seconds`` is the time taken to apply it. ``ground`` is true if the file belongs to the initial full
    extract, from which later changes are counted.
    """

    name: str
    kind: ExtractKind
    day: date
    committed: datetime
    size: int
    seconds: float
    records: int
    inserted: int
    updated: int
    withdrawn: int
    quarantined: int
    ground: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCount:
    """The number of certificates of a kind and a status.

    ``status`` is the status letter, ``withdrawn`` or ``listed`` (In-Use by status but revoked by a list).
    """

    kind: Kind
    status: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCount:
    """The number of certificates of a kind with a Remote Party Role. ``role`` is ``None`` without a role."""

    kind: Kind
    role: int | None
    total: int
    in_use: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineReason:
    """The number of records in quarantine for one reason. ``open`` is the number not yet accepted."""

    reason: str
    total: int
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """A record in quarantine, without its XML."""

    file: str
    number: int
    reason: str
    detail: str
    accepted: str | None


def read_ledger(db: apsw.Connection) -> tuple[LedgerFile, ...]:
    """Return every file applied since the journal began, in order, without repairs."""
    return tuple(_ledger_file(row) for row in db.execute(_LEDGER))


def _ledger_file(row: tuple[Any, ...]) -> LedgerFile:
    name, kind, day, committed, size, seconds, records, inserted, updated, withdrawn, bad, ground = row
    return LedgerFile(
        name=name,
        kind=ExtractKind(kind),
        day=date.fromisoformat(day),
        committed=datetime.fromisoformat(committed),
        size=size,
        seconds=seconds,
        records=records,
        inserted=inserted,
        updated=updated,
        withdrawn=withdrawn,
        quarantined=bad,
        ground=bool(ground),
    )


def read_certificate_counts(db: apsw.Connection) -> tuple[CertificateCount, ...]:
    """Return the stored counts, with the In-Use certificates that lists revoke counted as ``listed``."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_HOLDINGS)
    counts: dict[tuple[int, str], int] = {}
    for kind, status, withdrawn, count in rows:
        key = kind, "withdrawn" if withdrawn else status
        counts[key] = counts.get(key, 0) + count
    for kind, count in db.execute(_REVOKED):
        counts[kind, Status.IN_USE.value] -= count
        counts[kind, "listed"] = count
    return tuple(
        CertificateCount(kind=KINDS[kind], status=status, count=n)
        for (kind, status), n in counts.items()
        if n
    )


def read_roles(db: apsw.Connection) -> tuple[RoleCount, ...]:
    """Count organisations and authorities by Remote Party Role."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_ROLES)
    return tuple(
        RoleCount(kind=KINDS[kind], role=role, total=total, in_use=in_use)
        for kind, role, total, in_use in rows
    )


def read_quarantine_reasons(db: apsw.Connection) -> tuple[QuarantineReason, ...]:
    """Count the quarantined records of the files since the last full extract, by reason."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_REASONS)
    return tuple(QuarantineReason(reason=reason, total=total, open=left) for reason, total, left in rows)


def read_quarantine_rows(db: apsw.Connection, *, limit: int) -> tuple[QuarantineRow, ...]:
    """Return the newest ``limit`` quarantined records of the files since the last full extract."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_QUARANTINE, (limit,))
    return tuple(
        QuarantineRow(file=file, number=number, reason=reason, detail=detail, accepted=accepted)
        for file, number, reason, detail, accepted in rows
    )


Db = apsw.Connection
"""An open mirror, for packages that pass it on and do not import SQLite."""

AUTHORITY_KINDS: Final = tuple(n for n, kind in enumerate(KINDS) if kind in (Kind.OCA, Kind.DCA))

FURTHER_ROWS: Final = 8
"""Maximum number of certificates read for one key identifier. More would only occur in an attack."""


class StoredRow(NamedTuple):
    """A row of ``certificate``. ``issuer`` is an RFC 4514 name.

    ``kind`` is an index of :data:`~.schema.KINDS`. Times are in seconds since 1970, UTC. ``in_use`` is 1
    if the certificate is In-Use.
    """

    id: int
    serial: str
    issuer: str
    eui: str | None
    kind: int
    role: int | None
    usage: str | None
    status: str
    withdrawn: int | None
    revoked: int | None
    in_use: int
    subject: str | None
    not_before: int
    not_after: int
    ski: str | None
    der: bytes


_SELECT: Final = f"""
SELECT c.id, c.serial, i.name, c.eui, c.kind, c.role, c.usage, c.status, c.withdrawn,
       c.revoked, {IN_USE}, c.subject,
       c.not_before, c.not_after, c.ski, CAST(c.der AS BLOB)
  FROM certificate AS c LEFT JOIN issuer AS i ON i.id = c.issuer
"""


def read_rows(db: apsw.Connection) -> Iterator[StoredRow]:
    """Yield every row, of any status."""
    return _rows(db, f"{_SELECT} ORDER BY c.id")


def read_sample(db: apsw.Connection, number: int, chance: Random, *, any_status: bool) -> list[StoredRow]:
    """Return about ``number`` random rows, or all rows if there are fewer. Reads each row by its id."""
    last = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
    condition = "" if any_status else f"AND {IN_USE}"
    if last <= number:
        return list(_rows(db, f"{_SELECT} WHERE 1 {condition} ORDER BY c.id"))
    found: dict[int, StoredRow] = {}
    for first in sorted(chance.sample(range(1, last + 1), number)):
        for row in _rows(db, f"{_SELECT} WHERE c.id >= ? {condition} ORDER BY c.id LIMIT 1", first):
            found[row.id] = row
    return list(found.values())


def read_row(db: apsw.Connection, serial: str, issuer: str) -> StoredRow | None:
    """Return the row of a certificate, or ``None``."""
    return next(_rows(db, f"{_SELECT} WHERE c.serial = ? AND i.name = ?", serial, issuer), None)


def read_authorities(db: apsw.Connection) -> list[StoredRow]:
    """Return the rows of all authorities, of any status. Uses the index that excludes devices."""
    return list(_rows(db, f"{_SELECT} WHERE c.kind <> 0 AND c.kind IN {AUTHORITY_KINDS}"))


def find_by_key_id(db: apsw.Connection, ski: KeyId) -> list[StoredRow]:
    """Return up to :data:`FURTHER_ROWS` rows with a subject key identifier.

    Reads the whole table if no certificate other than a device's has the identifier.
    """
    limit = f"LIMIT {FURTHER_ROWS}"
    others = tuple(range(1, len(KINDS)))
    found = list(_rows(db, f"{_SELECT} WHERE c.kind <> 0 AND c.kind IN {others} AND c.ski = ? {limit}", ski))
    return found or list(_rows(db, f"{_SELECT} WHERE c.kind = 0 AND c.ski = ? {limit}", ski))


def _rows(db: apsw.Connection, sql: str, *values: Value) -> Iterator[StoredRow]:
    return map(StoredRow._make, each_row(db, sql, *values))


def each_row(db: apsw.Connection, sql: str, *values: Value) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement. An error is raised here and not when ``db`` is closed."""
    cursor = db.cursor()
    try:
        yield from cursor.execute(sql, values)
    finally:
        cursor.close(force=True)


_LISTS: Final = """
SELECT l.file, l.kind, l.number, strftime('%Y-%m-%dT%H:%M:%SZ', r.since, 'unixepoch'), r.reason
  FROM revocation AS r JOIN revocation_list AS l ON l.id = r.list
  JOIN issuer AS i ON coalesce(i.same_as, i.id) = r.issuer
 WHERE r.serial = ? AND i.name = ? ORDER BY r.since
"""
_RECORDS: Final = """
SELECT x.name, q.number, q.reason FROM quarantine AS q JOIN extract AS x ON x.id = q.extract
 WHERE instr(upper(CAST(q.xml AS TEXT)), ?1) OR instr(upper(q.detail), ?1) ORDER BY q.id LIMIT ?2
"""

RECORDS_LIMIT: Final = 5
"""Maximum number of quarantined records returned by :func:`quarantined_bodies`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokingList:
    """A list in force that revokes a certificate. ``since``: UTC, ISO 8601. ``reason``: as in the list."""

    file: str
    kind: str
    number: str | None
    since: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedBody:
    """A quarantined record that contains a serial number. ``number`` is its position in ``file``."""

    file: str
    number: int
    reason: str


def lists_revoking(db: apsw.Connection, serial: str, issuer: str) -> list[RevokingList]:
    """Return the lists in force that revoke a certificate."""
    return [
        RevokingList(file=file, kind=kind, number=number, since=since, reason=reason)
        for file, kind, number, since, reason in each_row(db, _LISTS, serial, issuer)
    ]


def quarantined_bodies(db: apsw.Connection, serial: str) -> list[QuarantinedBody]:
    """Return the first quarantined records that contain a serial number."""
    found = each_row(db, _RECORDS, serial, RECORDS_LIMIT)
    return [QuarantinedBody(file=file, number=number, reason=reason) for file, number, reason in found]
