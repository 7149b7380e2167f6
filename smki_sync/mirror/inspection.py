"""Raw rows for verification; figures for status pages."""

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
    """One file that was applied. ``size`` in bytes, ``seconds`` it took, the rest in certificates.

    ``ground``: it belongs to the first full, which is what later changes are counted from.
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
    """How many certificates there are of a kind and a status.

    ``status``: its letter; ``withdrawn``; or ``listed``: In-Use by its status, and revoked by a list.
    """

    kind: Kind
    status: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCount:
    """How many certificates of a kind carry a Remote Party Role; ``role``: ``None`` where there is none."""

    kind: Kind
    role: int | None
    total: int
    in_use: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineReason:
    """How many records lie in quarantine for one reason; ``open``: of them, not accepted."""

    reason: str
    total: int
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """One record in quarantine, without its XML."""

    file: str
    number: int
    reason: str
    detail: str
    accepted: str | None


def read_ledger(db: apsw.Connection) -> tuple[LedgerFile, ...]:
    """Every file that was applied since the journal began, in order; a repair is no file."""
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
    """The counts that are kept row by row, and among them what lists revoke."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_HOLDINGS)
    counts: dict[tuple[int, str], int] = {}
    for kind, status, withdrawn, count in rows:
        where = kind, "withdrawn" if withdrawn else status
        counts[where] = counts.get(where, 0) + count
    for kind, count in db.execute(_REVOKED):
        counts[kind, Status.IN_USE.value] -= count
        counts[kind, "listed"] = count
    return tuple(
        CertificateCount(kind=KINDS[kind], status=status, count=n)
        for (kind, status), n in counts.items()
        if n
    )


def read_roles(db: apsw.Connection) -> tuple[RoleCount, ...]:
    """Organisations and authorities by Remote Party Role."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_ROLES)
    return tuple(
        RoleCount(kind=KINDS[kind], role=role, total=total, in_use=in_use)
        for kind, role, total, in_use in rows
    )


def read_quarantine_reasons(db: apsw.Connection) -> tuple[QuarantineReason, ...]:
    """What lies in quarantine of the files since the last full, by reason."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_REASONS)
    return tuple(QuarantineReason(reason=reason, total=total, open=left) for reason, total, left in rows)


def read_quarantine_rows(db: apsw.Connection, *, limit: int) -> tuple[QuarantineRow, ...]:
    """The newest records in quarantine of the files since the last full."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_QUARANTINE, (limit,))
    return tuple(
        QuarantineRow(file=file, number=number, reason=reason, detail=detail, accepted=accepted)
        for file, number, reason, detail, accepted in rows
    )


Db = apsw.Connection
"""An open mirror, for rooms that pass one on and know no SQLite."""

AUTHORITY_KINDS: Final = tuple(n for n, kind in enumerate(KINDS) if kind in (Kind.OCA, Kind.DCA))

FURTHER_ROWS: Final = 8
"""Certificates with one key identifier that are looked at: more than that were made to be many."""


class StoredRow(NamedTuple):
    """One row of ``certificate``. ``issuer``: its RFC 4514 name; ``kind``: index of :data:`~.schema.KINDS`.

    Times in seconds since 1970, UTC. ``in_use``: 1 where the certificate is In-Use.
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
    """Every row, whatever its status."""
    return _rows(db, f"{_SELECT} ORDER BY c.id")


def read_sample(db: apsw.Connection, number: int, chance: Random, *, any_status: bool) -> list[StoredRow]:
    """About ``number`` rows by chance; all of them where there are no more. Each is read by its id."""
    last = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
    wanted = "" if any_status else f"AND {IN_USE}"
    if last <= number:
        return list(_rows(db, f"{_SELECT} WHERE 1 {wanted} ORDER BY c.id"))
    found: dict[int, StoredRow] = {}
    for at in sorted(chance.sample(range(1, last + 1), number)):
        for row in _rows(db, f"{_SELECT} WHERE c.id >= ? {wanted} ORDER BY c.id LIMIT 1", at):
            found[row.id] = row
    return list(found.values())


def read_row(db: apsw.Connection, serial: str, issuer: str) -> StoredRow | None:
    """The row of one certificate."""
    return next(_rows(db, f"{_SELECT} WHERE c.serial = ? AND i.name = ?", serial, issuer), None)


def read_authorities(db: apsw.Connection) -> list[StoredRow]:
    """Every authority's row, whatever its status; an index that leaves devices out finds them."""
    return list(_rows(db, f"{_SELECT} WHERE c.kind <> 0 AND c.kind IN {AUTHORITY_KINDS}"))


def find_by_key_id(db: apsw.Connection, ski: KeyId) -> list[StoredRow]:
    """Some rows with a subject key identifier; a pass through the table where none but a device has it."""
    few = f"LIMIT {FURTHER_ROWS}"
    others = tuple(range(1, len(KINDS)))
    found = list(_rows(db, f"{_SELECT} WHERE c.kind <> 0 AND c.kind IN {others} AND c.ski = ? {few}", ski))
    return found or list(_rows(db, f"{_SELECT} WHERE c.kind = 0 AND c.ski = ? {few}", ski))


def _rows(db: apsw.Connection, sql: str, *values: Value) -> Iterator[StoredRow]:
    return map(StoredRow._make, each_row(db, sql, *values))


def each_row(db: apsw.Connection, sql: str, *values: Value) -> Iterator[tuple[Any, ...]]:
    """What a statement gives; where that breaks off, it breaks off here and not when ``db`` is closed."""
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
"""Records in quarantine that are named; the quarantine itself has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokingList:
    """A list in force that revokes a certificate. ``since``: UTC, ISO 8601. ``reason``: in its words."""

    file: str
    kind: str
    number: str | None
    since: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedBody:
    """A record in quarantine that speaks of a serial number. ``number``: its place in ``file``."""

    file: str
    number: int
    reason: str


def lists_revoking(db: apsw.Connection, serial: str, issuer: str) -> list[RevokingList]:
    """The lists in force that name a certificate."""
    return [
        RevokingList(file=file, kind=kind, number=number, since=since, reason=reason)
        for file, kind, number, since, reason in each_row(db, _LISTS, serial, issuer)
    ]


def quarantined_bodies(db: apsw.Connection, serial: str) -> list[QuarantinedBody]:
    """Records in quarantine in which a serial number stands."""
    found = each_row(db, _RECORDS, serial, RECORDS_LIMIT)
    return [QuarantinedBody(file=file, number=number, reason=reason) for file, number, reason in found]
