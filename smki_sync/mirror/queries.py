"""Open the mirror read-only; find certificates by identity or filter."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw

from smki_sync.mirror.connection import indexes_ends
from smki_sync.mirror.identity_queries import (
    COLUMNS,
    ROWS,
    Certificate,
    Connection,
    EuiIs,
    Fingerprint,
    Identity,
    ProgressCallback,
    SerialIs,
    SkiIs,
    certificate_of,
    check_schema,
    connect_mirror,
    find_certificates,
    identity_scans,
    ignore_progress,
    open_mirror,
    slices,
)
from smki_sync.mirror.journal import AfterLine, JournalLine
from smki_sync.mirror.schema import (
    CERTIFICATES,
    DEVICE,
    IN_USE,
    KINDS,
    NEVER_ENDS,
    REVOCATION_UNKNOWN,
    Value,
    unusable_sql,
)
from smki_sync.mirror.set_digest import read_state
from smki_sync.model.certificate import Eui, Kind, Serial, Usage
from smki_sync.usability import StaleLists, UsabilityRule

if TYPE_CHECKING:
    from smki_sync.model.extract import FileKey
    from smki_sync.model.plan import Position
    from smki_sync.model.report import CertificateCounts

__all__ = [
    "COLUMNS",
    "ROWS",
    "Certificate",
    "CertificateFilter",
    "Connection",
    "EuiIs",
    "Fingerprint",
    "Identity",
    "ProgressCallback",
    "Quarantined",
    "SerialIs",
    "SkiIs",
    "Stamp",
    "StatusFilter",
    "certificate_of",
    "check_schema",
    "connect_mirror",
    "filter_scans",
    "find",
    "find_certificates",
    "find_changed",
    "find_of_line",
    "identity_scans",
    "ignore_progress",
    "open_mirror",
    "read_counts",
    "read_incidents",
    "read_issuers",
    "read_position",
    "read_quarantine",
    "read_stamp",
    "slices",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A quarantined record. ``number``: its place in ``file``. ``accepted``: when an operator accepted it."""

    file: str
    number: int
    reason: str
    detail: str
    xml: bytes
    accepted: str | None


def read_position(db: apsw.Connection) -> "Position":
    """Return the position of the mirror."""
    from smki_sync.mirror import ledger  # noqa: PLC0415 - a lookup does without it

    return ledger.read_position(db)


def read_counts(db: apsw.Connection) -> "CertificateCounts":
    """Return the certificate counts and the digest."""
    from smki_sync.mirror import ledger  # noqa: PLC0415 - a lookup does without it

    return ledger.read_census(db)


def read_incidents(db: apsw.Connection) -> "frozenset[FileKey]":
    """Return the applied files that were seen with other bytes since the last rebuild."""
    from smki_sync.mirror import ledger  # noqa: PLC0415 - a lookup does without it

    return ledger.read_incidents(db)


def read_quarantine(db: apsw.Connection) -> list[Quarantined]:
    """The records in quarantine of the files since the last full, oldest first."""
    from smki_sync.mirror import ledger  # noqa: PLC0415 - a lookup does without it

    rows: Iterator[tuple[Any, ...]] = db.execute(ledger.QUARANTINE)
    return [
        Quarantined(file=file, number=number, reason=reason, detail=detail, xml=xml, accepted=accepted)
        for file, number, reason, detail, xml, accepted in rows
    ]


_STAMP: Final = """
SELECT lineage, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0) FROM mirror WHERE one = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Identifies the state that was read. ``digest``: 64 hex digits over the In-Use certificates.

    ``lineage``: 16 hex digits, constant until the journal has a gap. ``sequence``: number of the last
    change in this state; 0 before the first.
    """

    position: date
    digest: str
    lineage: str
    sequence: int

    @property
    def token(self) -> str:
        """Place of this state in the journal, for ``changes --since``."""
        return AfterLine(sequence=self.sequence, lineage=self.lineage).token


def read_stamp(db: apsw.Connection) -> Stamp:
    """Return the stamp of this state; it does not change within one :func:`open_mirror`."""
    position, _, digest = read_state(db)
    lineage, sequence = db.execute(_STAMP).get
    return Stamp(position=position, digest=digest.hex, lineage=lineage, sequence=sequence)


class StatusFilter(StrEnum):
    """A status to filter by: the last one in the Repository, or withdrawn (not in the last full).

    ``REVOKED`` also includes every certificate that a revocation list revokes.
    """

    PENDING = "P"
    IN_USE = "I"
    NOT_IN_USE = "N"
    EXPIRED = "E"
    REVOKED = "R"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFilter:
    """Conditions on a certificate, which must all be met. Empty or ``None``: no condition.

    ``standings``: if empty, In-Use only, unless ``any_status``. ``issuer``: a name (RFC 4514); if no issuer
    has this name, a part of it, ignoring case. ``changed_since``: earliest date of the extract that last
    changed the certificate. ``ends_before``: end of validity in seconds since 1970, UTC.
    ``euis``: any of these subjects.
    """

    kinds: tuple[Kind, ...] = ()
    standings: tuple[StatusFilter, ...] = ()
    any_status: bool = False
    usage: Usage | None = None
    role: int | None = None
    issuer: str | None = None
    changed_since: date | None = None
    ends_before: int | None = None
    euis: tuple[Eui, ...] = ()


def find(
    db: apsw.Connection,
    wanted: CertificateFilter,
    rule: UsabilityRule,
    *,
    limit: int | None = None,
    newest_first: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> Iterator[Certificate]:
    """Yield the certificates that pass the filter, at most ``limit``; uses constant memory.

    ``newest_first``: usable first, then In-Use, then the latest notBefore; reads every row that the filter
    needs before the first result. Otherwise in stored order. ``progress``: called with progress if every row
    must be read.
    """
    by_end = wanted.ends_before is not None and wanted.ends_before <= NEVER_ENDS and indexes_ends(db)
    conditions = [*_conditions(wanted), *([(_ENDS_BY_INDEX, {})] if by_end else [])]
    values = {name: value for _, given in conditions for name, value in given.items()}
    where = " AND ".join(["TRUE", *(condition for condition, _ in conditions)])
    is_indexed = by_end or _is_indexed(wanted)
    if newest_first:
        ids = _sorted_ids(db, rule, _SortQuery(where, values, limit, progress, is_indexed))
        return (certificate_of(db.execute(_BY_ID, (row,)).get, rule) for row in ids)
    rows = _select_indexed(db, where, values) if is_indexed else _select_all(db, where, values, progress)
    return islice((certificate_of(row, rule) for row in rows), limit)


_CHANGED_AFTER: Final = """c.id IN (
SELECT n.id FROM change AS j CROSS JOIN certificate AS n ON n.serial = j.serial AND n.issuer = j.issuer
 WHERE j.sequence > :after)"""


def find_changed(db: apsw.Connection, after: int, rule: UsabilityRule) -> Iterator[Certificate]:
    """Yield each certificate that has a line in the journal after a number, once, as it is now."""
    sql = f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {_CHANGED_AFTER} ORDER BY c.id)"
    return (certificate_of(row, rule) for row in db.execute(sql, {"after": after}))


def find_of_line(db: apsw.Connection, line: JournalLine, rule: UsabilityRule) -> Certificate | None:
    """Return the certificate of a line of the journal, as it is now."""
    found = find_certificates(db, SerialIs(serials=(Serial(line.serial),)), rule, any_status=True)
    return next((c for c in found if c.issuer == line.issuer), None)


def read_issuers(db: apsw.Connection) -> list[str]:
    """Return the names of all issuers (RFC 4514)."""
    return [name for (name,) in db.execute("SELECT name FROM issuer ORDER BY name")]


def filter_scans(wanted: CertificateFilter) -> bool:
    """Whether :func:`find` reads every row."""
    return not _is_indexed(wanted)


def _is_indexed(wanted: CertificateFilter) -> bool:
    """Whether an index without devices can answer the query."""
    return wanted.role is not None or bool(wanted.euis) or _excludes_devices(wanted)


def _excludes_devices(wanted: CertificateFilter) -> bool:
    return bool(wanted.kinds) and Kind.DEVICE not in wanted.kinds


_ENDS_BY_INDEX: Final = f"""c.id IN (
SELECT id FROM certificate WHERE not_after < :ends AND not_after < {NEVER_ENDS})"""
"""Repeats the WHERE clause of the partial index, so that SQLite can use it."""

_CHANGED_SINCE: Final = """c.extract IN (SELECT id FROM extract WHERE committed >= :since)"""

_ISSUER: Final = """c.issuer IN (
SELECT id FROM issuer WHERE name = :issuer OR (instr(lower(name), lower(:issuer)) > 0
   AND NOT EXISTS (SELECT 1 FROM issuer WHERE name = :issuer)))"""


def _conditions(wanted: CertificateFilter) -> Iterator[tuple[str, dict[str, Value]]]:
    """Yield each SQL condition with its values."""
    if wanted.euis:
        names = {f"eui{number}": eui for number, eui in enumerate(wanted.euis)}
        yield f"c.eui IN ({', '.join(f':{name}' for name in names)})", dict(names)
    if _excludes_devices(wanted):
        yield f"c.kind <> {DEVICE}", {}  # as in the WHERE clause of the partial index
    if wanted.kinds:
        yield f"c.kind IN ({', '.join(str(KINDS.index(kind)) for kind in wanted.kinds)})", {}
    if wanted.standings or not wanted.any_status:
        yield _status_condition(wanted.standings or (StatusFilter.IN_USE,)), {}
    if wanted.usage:
        yield "c.usage = :usage", {"usage": wanted.usage.value}
    if wanted.role is not None:
        yield "c.role = :role", {"role": wanted.role}
    if wanted.issuer is not None:
        yield _ISSUER, {"issuer": wanted.issuer}
    if wanted.changed_since:
        yield _CHANGED_SINCE, {"since": wanted.changed_since.isoformat()}
    if wanted.ends_before is not None:
        yield "c.not_after < :ends", {"ends": wanted.ends_before}


def _status_condition(standings: tuple[StatusFilter, ...]) -> str:
    """SQL condition for any of the statuses. A withdrawn certificate does not match its last status."""
    letters = ", ".join(
        f"'{s.value}'" for s in standings if s not in (StatusFilter.IN_USE, StatusFilter.WITHDRAWN)
    )
    conditions = [
        *([IN_USE] if StatusFilter.IN_USE in standings else []),
        *(["c.withdrawn IS NOT NULL"] if StatusFilter.WITHDRAWN in standings else []),
        *(["c.revoked IS NOT NULL"] if StatusFilter.REVOKED in standings else []),
        *([f"(c.status IN ({letters}) AND c.withdrawn IS NULL)"] if letters else []),
    ]
    return f"({' OR '.join(conditions)})"


_BY_ID: Final = f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE c.id = ?)"
_ORDER: Final = "unusable, unused, begins DESC, row"
_KEYS: Final = f"""
SELECT {unusable_sql(":at")} IS NOT NULL OR (:refuse AND {REVOCATION_UNKNOWN}) AS unusable,
       NOT {IN_USE} AS unused, c.not_before AS begins, c.id AS row
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
"""


class _SortQuery(NamedTuple):
    where: str
    values: dict[str, Value]
    limit: int | None
    progress: ProgressCallback
    is_indexed: bool


def _sorted_ids(db: apsw.Connection, rule: UsabilityRule, query: _SortQuery) -> Iterator[int]:
    """Yield ids in order. SQLite keeps them in a temporary table, which may be on disk."""
    at = int(datetime.fromisoformat(rule.at).timestamp())
    refuse = rule.stale_lists is StaleLists.REFUSE
    limit = -1 if query.limit is None else query.limit
    values = {**query.values, "at": at, "refuse": refuse, "limit": limit}
    sql = f"{_KEYS} WHERE {query.where}"
    if query.is_indexed:
        yield from (row[-1] for row in db.execute(f"{sql} ORDER BY {_ORDER} LIMIT :limit", values))
        return
    db.execute("DROP TABLE IF EXISTS temp.found")
    db.execute("CREATE TEMP TABLE found (unusable INTEGER, unused INTEGER, begins INTEGER, row INTEGER)")
    for low, high in slices(db, query.progress):
        part = f"{sql} AND c.id BETWEEN :low AND :high ORDER BY {_ORDER} LIMIT :limit"
        db.execute(f"INSERT INTO temp.found {part}", {**values, "low": low, "high": high})
    ordered = f"SELECT row FROM temp.found ORDER BY {_ORDER} LIMIT :limit"
    yield from (row for (row,) in db.execute(ordered, {"limit": limit}))


def _select_indexed(db: apsw.Connection, where: str, values: dict[str, Value]) -> Iterator[tuple[Value, ...]]:
    return db.execute(f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {where} ORDER BY c.id)", values)


def _select_all(
    db: apsw.Connection, where: str, values: dict[str, Value], progress: ProgressCallback
) -> Iterator[tuple[Value, ...]]:
    sql = (
        f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE c.id BETWEEN :low AND :high AND {where} ORDER BY c.id)"
    )
    for low, high in slices(db, progress):
        yield from db.execute(sql, {**values, "low": low, "high": high})
