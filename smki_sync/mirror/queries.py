"""Open the mirror read-only; find certificates by identity or filter."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

import apsw

from smki_sync.errors import MirrorDamaged, OtherSchema
from smki_sync.mirror.connection import connect_to_read, disk_errors, mirror_errors
from smki_sync.mirror.journal import AfterLine, JournalLine
from smki_sync.mirror.rows import DEVICE, HASHES, OCTETS, holds_devices
from smki_sync.mirror.schema import (
    APPLICATION_ID,
    CERTIFICATES,
    IN_USE,
    KINDS,
    REVOCATION_UNKNOWN,
    SCHEMA_VERSION,
    Value,
    unusable_sql,
)
from smki_sync.mirror.set_digest import read_state
from smki_sync.model.certificate import Eui, Flag, KeyId, Kind, Serial, Usage
from smki_sync.usability import (
    RevocationState,
    StaleLists,
    UnusableReason,
    UsabilityRule,
    revocation_of,
    unusable_reason,
    usable_first,
)

if TYPE_CHECKING:
    from smki_sync.model.extract import FileKey
    from smki_sync.model.plan import Position
    from smki_sync.model.report import CertificateCounts

Connection = apsw.Connection
"""A read-only connection to a mirror, as :func:`open_mirror` returns it."""


@contextmanager
def open_mirror(link: Path) -> Iterator[Connection]:
    """Open the current mirror for reading, in one read transaction.

    Raises:
        MirrorDamaged: if the file is not a mirror of this program.
        OtherSchema: if another version of this program wrote it.
    """
    with closing(connect_mirror(link)) as db, mirror_errors(link), db:
        yield db


def connect_mirror(link: Path) -> Connection:
    """Open the current mirror for reading, without a transaction. Errors as of :func:`open_mirror`."""
    with disk_errors(link):
        db = connect_to_read(link)
    try:
        with mirror_errors(link):
            _check_schema(db, link)
    except BaseException:
        db.close()
        raise
    return db


def check_schema(link: Path) -> None:
    """Open and close the mirror; raise the errors of :func:`open_mirror`, such as :class:`OtherSchema`."""
    with open_mirror(link):
        pass


def _check_schema(db: apsw.Connection, link: Path) -> None:
    if db.pragma("application_id") != APPLICATION_ID:
        raise MirrorDamaged(f"{link} is no mirror of this program")
    version = db.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise OtherSchema(
            f"{link} was written by a newer version of this program: schema {version}; this one reads"
            f" {SCHEMA_VERSION}",
            code="schema-newer",
            hint="Use that version again. `smki-sync sync --full` makes a mirror for this one from a full;"
            " its journal begins anew.",
        )
    if version < SCHEMA_VERSION:
        raise OtherSchema(
            f"{link} was written by an earlier version of this program: schema {version}; this one reads"
            f" {SCHEMA_VERSION}",
            code="schema-older",
            hint="Run `smki-sync sync`: it makes the mirror anew from a full.",
        )


class Certificate(NamedTuple):
    """One row of the view ``certificates``. Dates ISO 8601, times UTC with ``Z``, ``role`` a number.

    ``revocation``, ``unusable``: at the time of the query, see :mod:`smki_sync.usability`.
    """

    eui: str | None
    kind: str
    role: int | None
    usage: str | None
    status: str
    in_use: bool
    serial: str
    issuer: str
    subject: str
    not_before: str
    not_after: str
    ski: str | None
    manufacturing: bool | None
    first_seen: str
    last_changed: str
    withdrawn: str | None
    flags: Flag
    file: str
    der: bytes
    revoked: str | None = None
    revoked_by: str | None = None
    revocation_reason: str | None = None
    issuer_revoked: str | None = None
    unproven: bool = False
    revoked_authority: str | None = None
    revocation_until: str | None = None
    revocation: RevocationState | None = None
    unusable: UnusableReason | None = None

    @property
    def usable(self) -> bool:
        """Whether it is usable at the time of the query; the signatures of its chain are not checked."""
        return self.unusable is None


_JUDGED: Final = ("revocation", "unusable")
"""Fields that depend on the time of the query. They are not stored."""
COLUMNS: Final = ", ".join(name for name in Certificate._fields if name not in _JUDGED)
"""Columns of the view ``certificates``, in the order that :func:`certificate_of` expects."""

_IN_USE: Final = Certificate._fields.index("in_use")
_MANUFACTURING: Final = Certificate._fields.index("manufacturing")
_FLAGS: Final = Certificate._fields.index("flags")
_UNPROVEN: Final = Certificate._fields.index("unproven")


def certificate_of(row: tuple[Any, ...], rule: UsabilityRule) -> Certificate:
    """Convert a row of :data:`COLUMNS` to a certificate, and judge whether it is usable."""
    values = list(row)
    values[_IN_USE] = bool(row[_IN_USE])
    made = row[_MANUFACTURING]
    values[_MANUFACTURING] = None if made is None else bool(made)
    values[_FLAGS] = Flag(row[_FLAGS])
    values[_UNPROVEN] = bool(row[_UNPROVEN])
    found = Certificate._make((*values, None, None))
    return Certificate._make((*values, revocation_of(found, rule.at), unusable_reason(found, rule)))


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


ROWS: Final = 50_000
"""Rows in a slice. Reading one takes a few tenths of a second, so that progress is shown often."""

Told = Callable[[int, int], None]
"""Progress callback: called with the number of rows read and the total."""


def ignore_progress(_done: int, _total: int) -> None:
    """Ignore progress."""


def slices(db: apsw.Connection, told: Told) -> Iterator[tuple[int, int]]:
    """Yield the first and last id of each slice, in order; call ``told`` after each slice was read."""
    total: int = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
    for low in range(1, total + 1, ROWS):
        high = min(low + ROWS - 1, total)
        yield low, high
        told(high, total)


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
    told: Told = ignore_progress,
) -> Iterator[Certificate]:
    """Yield the certificates that pass the filter, at most ``limit``; uses constant memory.

    ``newest_first``: usable first, then In-Use, then the latest notBefore; reads every row that the filter
    needs before the first result. Otherwise in stored order. ``told``: called with progress if every row
    must be read.
    """
    conditions = list(_conditions(wanted))
    values = {name: value for _, given in conditions for name, value in given.items()}
    where = " AND ".join(["TRUE", *(condition for condition, _ in conditions)])
    if newest_first:
        ids = _sorted_ids(db, wanted, rule, _SortQuery(where, values, limit, told))
        return (certificate_of(db.execute(_BY_ID, (row,)).get, rule) for row in ids)
    rows = _select_indexed(db, where, values) if _is_indexed(wanted) else _select_all(db, where, values, told)
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
    told: Told


def _sorted_ids(
    db: apsw.Connection, wanted: CertificateFilter, rule: UsabilityRule, query: _SortQuery
) -> Iterator[int]:
    """Yield ids in order. SQLite keeps them in a temporary table, which may be on disk."""
    at = int(datetime.fromisoformat(rule.at).timestamp())
    refuse = rule.stale_lists is StaleLists.REFUSE
    limit = -1 if query.limit is None else query.limit
    values = {**query.values, "at": at, "refuse": refuse, "limit": limit}
    sql = f"{_KEYS} WHERE {query.where}"
    if _is_indexed(wanted):
        yield from (row[-1] for row in db.execute(f"{sql} ORDER BY {_ORDER} LIMIT :limit", values))
        return
    db.execute("DROP TABLE IF EXISTS temp.found")
    db.execute("CREATE TEMP TABLE found (unusable INTEGER, unused INTEGER, begins INTEGER, row INTEGER)")
    for low, high in slices(db, query.told):
        part = f"{sql} AND c.id BETWEEN :low AND :high ORDER BY {_ORDER} LIMIT :limit"
        db.execute(f"INSERT INTO temp.found {part}", {**values, "low": low, "high": high})
    ordered = f"SELECT row FROM temp.found ORDER BY {_ORDER} LIMIT :limit"
    yield from (row for (row,) in db.execute(ordered, {"limit": limit}))


def _select_indexed(db: apsw.Connection, where: str, values: dict[str, Value]) -> Iterator[tuple[Value, ...]]:
    return db.execute(f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {where} ORDER BY c.id)", values)


def _select_all(
    db: apsw.Connection, where: str, values: dict[str, Value], told: Told
) -> Iterator[tuple[Value, ...]]:
    sql = (
        f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE c.id BETWEEN :low AND :high AND {where} ORDER BY c.id)"
    )
    for low, high in slices(db, told):
        yield from db.execute(sql, {**values, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A hash of the DER. ``algorithm``: ``sha1`` or ``sha256``. ``digest``: the bytes of the hash."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EuiIs:
    """Find by the EUI-64 of the subject."""

    eui: Eui


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialIs:
    """Find by serial number. More than one, because text of only digits may be hex or decimal."""

    serials: tuple[Serial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkiIs:
    """Find by subject key identifier."""

    ski: KeyId


Identity = EuiIs | SerialIs | SkiIs | Fingerprint

_HASHED: Final = (
    "c.id IN (SELECT certificate FROM fingerprint WHERE digest = :digest AND length(digest) = :octets)"
)
_NOT_DEVICE: Final = "c.kind <> 0 AND c.kind IN (1, 2, 3)"  # as in the WHERE clause of the partial index


def find_certificates(
    db: apsw.Connection,
    identity: Identity,
    rule: UsabilityRule,
    *,
    usage: str | None = None,
    role: int | None = None,
    any_status: bool = False,
    told: Told = ignore_progress,
) -> list[Certificate]:
    """Return the certificates with this identity: usable first, then In-Use, then newest.

    ``any_status``: include certificates that are not In-Use. ``told``: called with progress if every device
    must be read.
    """
    where, values = _by_index(db, identity)
    if isinstance(identity, SkiIs | Fingerprint) and not _index_answers(db, where, values):
        where, values = f"c.id IN ({', '.join(map(str, _scan_devices(db, identity, told)))})", {}
    sql = (
        f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {where} AND (:any OR {IN_USE})"
        " AND (:usage IS NULL OR c.usage = :usage) AND (:role IS NULL OR c.role = :role))"
    )
    found = db.execute(sql, {**values, "any": any_status, "usage": usage, "role": role})
    return usable_first(certificate_of(row, rule) for row in found)


def _by_index(db: apsw.Connection, identity: Identity) -> tuple[str, dict[str, Value]]:
    match identity:
        case EuiIs(eui=eui):
            return "c.eui = :eui", {"eui": eui}
        case SerialIs(serials=serials):
            names = [f"s{n}" for n in range(len(serials))]
            return f"c.serial IN ({', '.join(':' + n for n in names)})", dict(
                zip(names, serials, strict=True)
            )
        case SkiIs(ski=ski):
            kinds = "TRUE" if holds_devices(db) else _NOT_DEVICE
            return f"{kinds} AND c.ski = :ski", {"ski": ski}
        case Fingerprint(algorithm=algorithm, digest=digest):
            return _HASHED, {"digest": digest, "octets": OCTETS[algorithm]}
        case _:
            assert_never(identity)


def identity_scans(db: apsw.Connection, identity: Identity) -> bool:
    """Whether :func:`find_certificates` reads every device."""
    where, values = _by_index(db, identity)
    return isinstance(identity, SkiIs | Fingerprint) and not _index_answers(db, where, values)


def _index_answers(db: apsw.Connection, where: str, values: dict[str, Value]) -> bool:
    """Whether an index answers the query: it includes devices, or finds a certificate of any status."""
    if holds_devices(db):
        return True
    return bool(db.execute(f"SELECT EXISTS (SELECT 1 FROM certificate AS c WHERE {where})", values).get)


def _scan_devices(db: apsw.Connection, identity: SkiIs | Fingerprint, told: Told) -> Iterator[int]:
    """Read every device; yield the ids of those that match."""
    where, value = "ski = :value", identity.ski if isinstance(identity, SkiIs) else identity.digest
    if isinstance(identity, Fingerprint):
        db.create_scalar_function("fingerprint", HASHES[identity.algorithm], 1, deterministic=True)
        where = "fingerprint(der) = :value"
    sql = f"SELECT id FROM certificate WHERE id BETWEEN :low AND :high AND kind = {DEVICE} AND {where}"
    for low, high in slices(db, told):
        for (row,) in db.execute(sql, {"low": low, "high": high, "value": value}):
            yield row
