"""What a page about the mirror asks of it: the ledger, holdings, roles, the quarantine in short.

For: ``report``. Every question is answered from small tables, but for the roles, which read the
certificates of organisations and authorities. Refuses: to write, to judge.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import apsw

from smki_sync.mirror.schema import IN_USE, KINDS
from smki_sync.model.certificate import Kind, Status
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
SELECT c.kind, count(DISTINCT c.id)
  FROM revocation AS r JOIN certificate AS c ON c.serial = r.serial AND c.issuer = r.issuer
 WHERE c.status = 'I' AND c.withdrawn IS NULL AND c.revoked IS NOT NULL GROUP BY c.kind
"""
_ROLES: Final = f"""
SELECT c.kind, c.role, count(*), sum({IN_USE})
  FROM certificate AS c WHERE c.kind <> 0 GROUP BY c.kind, c.role ORDER BY c.kind, c.role
"""
_STANDING: Final = " FROM quarantine WHERE extract >= (SELECT max(id) FROM extract WHERE kind = 'full')"
_REASONS: Final = (
    f"SELECT reason, count(*), sum(accepted IS NULL) {_STANDING} GROUP BY reason ORDER BY reason"
)
_SET_ASIDE: Final = """
SELECT x.name, q.number, q.reason, q.detail, q.accepted
  FROM quarantine AS q JOIN extract AS x ON x.id = q.extract
 WHERE q.extract >= (SELECT max(id) FROM extract WHERE kind = 'full') ORDER BY q.id DESC LIMIT ?
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
class Holding:
    """How many certificates there are of a kind and a status.

    ``status``: its letter; ``withdrawn``; or ``listed``: In-Use by its status, and revoked by a list.
    """

    kind: Kind
    status: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleHolding:
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
class SetAside:
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


def read_holdings(db: apsw.Connection) -> tuple[Holding, ...]:
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
        Holding(kind=KINDS[kind], status=status, count=n) for (kind, status), n in counts.items() if n
    )


def read_roles(db: apsw.Connection) -> tuple[RoleHolding, ...]:
    """Organisations and authorities by Remote Party Role."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_ROLES)
    return tuple(
        RoleHolding(kind=KINDS[kind], role=role, total=total, in_use=in_use)
        for kind, role, total, in_use in rows
    )


def read_quarantine_reasons(db: apsw.Connection) -> tuple[QuarantineReason, ...]:
    """What lies in quarantine of the files since the last full, by reason."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_REASONS)
    return tuple(QuarantineReason(reason=reason, total=total, open=left) for reason, total, left in rows)


def read_set_aside(db: apsw.Connection, *, limit: int) -> tuple[SetAside, ...]:
    """The newest records in quarantine of the files since the last full."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_SET_ASIDE, (limit,))
    return tuple(
        SetAside(file=file, number=number, reason=reason, detail=detail, accepted=accepted)
        for file, number, reason, detail, accepted in rows
    )
