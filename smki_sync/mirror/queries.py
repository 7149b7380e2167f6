"""Open the mirror read-only; find certificates by identity or filter."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

import apsw

from smki_sync.errors import MirrorDamaged, OtherSchema
from smki_sync.mirror.connection import connect_to_read, disk_errors, mirror_errors
from smki_sync.mirror.journal import AfterLine
from smki_sync.mirror.rows import DEVICE, HASHES, OCTETS, holds_devices
from smki_sync.mirror.schema import APPLICATION_ID, CERTIFICATES, IN_USE, KINDS, SCHEMA_VERSION, Value
from smki_sync.mirror.set_digest import read_state
from smki_sync.model.certificate import Eui, Flag, KeyId, Kind, Serial, Usage

if TYPE_CHECKING:
    from smki_sync.model.extract import FileKey
    from smki_sync.model.plan import Position
    from smki_sync.model.report import CertificateCounts

Connection = apsw.Connection
"""What :func:`open_mirror` gives and every question takes."""


@contextmanager
def open_mirror(link: Path) -> Iterator[Connection]:
    """Open the current mirror for reading.

    Raises :class:`MirrorDamaged` where it is none of ours, :class:`OtherSchema` where another version's.
    """
    with disk_errors(link):
        db = connect_to_read(link)
    with mirror_errors(link), closing(db):
        _check_ours(db, link)
        with db:
            yield db


def check_schema(link: Path) -> None:
    """Raise what :func:`open_mirror` raises, :class:`OtherSchema` among it."""
    with open_mirror(link):
        pass


def _check_ours(db: apsw.Connection, link: Path) -> None:
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
    """One row of ``certificates``. Dates ISO 8601, times UTC with ``Z``, ``role`` a number."""

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


COLUMNS: Final = ", ".join(Certificate._fields)
"""The columns of the view ``certificates`` that :func:`certificate_of` takes, in this order."""

_IN_USE: Final = Certificate._fields.index("in_use")
_MANUFACTURING: Final = Certificate._fields.index("manufacturing")
_FLAGS: Final = Certificate._fields.index("flags")
_UNPROVEN: Final = Certificate._fields.index("unproven")


def certificate_of(row: tuple[Any, ...]) -> Certificate:
    """Give a row its types."""
    values = list(row)
    values[_IN_USE] = bool(row[_IN_USE])
    made = row[_MANUFACTURING]
    values[_MANUFACTURING] = None if made is None else bool(made)
    values[_FLAGS] = Flag(row[_FLAGS])
    values[_UNPROVEN] = bool(row[_UNPROVEN])
    return Certificate._make(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record in quarantine. ``number``: its place in ``file``; ``accepted``: when it was taken note of."""

    file: str
    number: int
    reason: str
    detail: str
    xml: bytes
    accepted: str | None


def read_position(db: apsw.Connection) -> "Position":
    """How far the mirror is."""
    from smki_sync.mirror import ledger  # noqa: PLC0415 - a lookup does without it

    return ledger.read_position(db)


def read_counts(db: apsw.Connection) -> "CertificateCounts":
    """Counts and digest."""
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
    """Which state was read. ``position``: date; ``digest``: 64 hex digits over the In-Use certificates.

    ``lineage``: 16 hex digits, the same for as long as the journal goes on without a break.
    ``sequence``: number of the last change that this state holds; 0 before the first.
    """

    position: date
    digest: str
    lineage: str
    sequence: int

    @property
    def token(self) -> str:
        """The place in the journal that this state stands at, for ``changes --since``."""
        return AfterLine(sequence=self.sequence, lineage=self.lineage).token


def read_stamp(db: apsw.Connection) -> Stamp:
    """Which state this is: the same for every question inside one :func:`~.opening.open_mirror`."""
    position, _, digest = read_state(db)
    lineage, sequence = db.execute(_STAMP).get
    return Stamp(position=position, digest=digest.hex, lineage=lineage, sequence=sequence)


ROWS: Final = 50_000
"""Rows in a slice: a few tenths of a second, so that progress moves and nothing is lost by asking anew."""

Told = Callable[[int, int], None]
"""Takes how many rows have been read, and of how many."""


def ignore_progress(_done: int, _total: int) -> None:
    """Tell nobody."""


def slices(db: apsw.Connection, told: Told) -> Iterator[tuple[int, int]]:
    """First and last id of each slice, in order; ``told`` after each that was read."""
    total: int = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
    for low in range(1, total + 1, ROWS):
        high = min(low + ROWS - 1, total)
        yield low, high
        told(high, total)


class StatusFilter(StrEnum):
    """How a certificate stands: the Repository's last word, or withdrawn: no longer listed by a full.

    Revoked is also what a list revokes, whatever that word is.
    """

    PENDING = "P"
    IN_USE = "I"
    NOT_IN_USE = "N"
    EXPIRED = "E"
    REVOKED = "R"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFilter:
    """What a certificate must be to pass: all of it. Empty, or ``None``, asks for nothing.

    ``standings``: In-Use only where empty, unless ``any_status``. ``issuer``: a name (RFC 4514), or part
    of one in any case where no issuer has it whole. ``changed_since``: date of the extract that last
    changed it. ``ends_before``: end of validity in seconds since 1970, UTC.
    """

    kinds: tuple[Kind, ...] = ()
    standings: tuple[StatusFilter, ...] = ()
    any_status: bool = False
    usage: Usage | None = None
    role: int | None = None
    issuer: str | None = None
    changed_since: date | None = None
    ends_before: int | None = None


def find(
    db: apsw.Connection, wanted: CertificateFilter, *, limit: int | None = None, told: Told = ignore_progress
) -> Iterator[Certificate]:
    """Everything that passes, at most ``limit``; memory does not grow with it.

    ``told``: how many rows have been read, and of how many, where every row must be.
    """
    terms = list(_terms(wanted))
    values = {name: value for _, given in terms for name, value in given.items()}
    where = " AND ".join(["TRUE", *(term for term, _ in terms)])
    rows = _narrow(db, where, values) if _is_few(wanted) else _every(db, where, values, told)
    return islice(map(certificate_of, rows), limit)


def read_issuers(db: apsw.Connection) -> list[str]:
    """The names of all issuers (RFC 4514)."""
    return [name for (name,) in db.execute("SELECT name FROM issuer ORDER BY name")]


def _is_few(wanted: CertificateFilter) -> bool:
    """Whether an index that leaves devices out has the answer."""
    return wanted.role is not None or _leaves_devices_out(wanted)


def _leaves_devices_out(wanted: CertificateFilter) -> bool:
    return bool(wanted.kinds) and Kind.DEVICE not in wanted.kinds


_CHANGED_SINCE: Final = """c.extract IN (SELECT id FROM extract WHERE committed >= :since)"""

_ISSUER: Final = """c.issuer IN (
SELECT id FROM issuer WHERE name = :issuer OR (instr(lower(name), lower(:issuer)) > 0
   AND NOT EXISTS (SELECT 1 FROM issuer WHERE name = :issuer)))"""


def _terms(wanted: CertificateFilter) -> Iterator[tuple[str, dict[str, Value]]]:
    """Each condition with its values."""
    if _leaves_devices_out(wanted):
        yield f"c.kind <> {DEVICE}", {}  # in these words: the index holds no device
    if wanted.kinds:
        yield f"c.kind IN ({', '.join(str(KINDS.index(kind)) for kind in wanted.kinds)})", {}
    if wanted.standings or not wanted.any_status:
        yield _standing(wanted.standings or (StatusFilter.IN_USE,)), {}
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


def _standing(standings: tuple[StatusFilter, ...]) -> str:
    """Any of these: a withdrawn one keeps its last status, and is found as withdrawn alone."""
    said = ", ".join(
        f"'{s.value}'" for s in standings if s not in (StatusFilter.IN_USE, StatusFilter.WITHDRAWN)
    )
    arms = [
        *([IN_USE] if StatusFilter.IN_USE in standings else []),
        *(["c.withdrawn IS NOT NULL"] if StatusFilter.WITHDRAWN in standings else []),
        *(["c.revoked IS NOT NULL"] if StatusFilter.REVOKED in standings else []),
        *([f"(c.status IN ({said}) AND c.withdrawn IS NULL)"] if said else []),
    ]
    return f"({' OR '.join(arms)})"


def _narrow(db: apsw.Connection, where: str, values: dict[str, Value]) -> Iterator[tuple[Value, ...]]:
    return db.execute(f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {where} ORDER BY c.id)", values)


def _every(
    db: apsw.Connection, where: str, values: dict[str, Value], told: Told
) -> Iterator[tuple[Value, ...]]:
    sql = (
        f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE c.id BETWEEN :low AND :high AND {where} ORDER BY c.id)"
    )
    for low, high in slices(db, told):
        yield from db.execute(sql, {**values, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A hash of the DER; ``algorithm``: ``sha1`` or ``sha256``; ``digest``: its octets."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EuiIs:
    """The subject's EUI-64."""

    eui: Eui


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialIs:
    """One of these serial numbers: a text of digits alone may be hex or decimal."""

    serials: tuple[Serial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkiIs:
    """The subject key identifier."""

    ski: KeyId


Identity = EuiIs | SerialIs | SkiIs | Fingerprint

_HASHED: Final = (
    "c.id IN (SELECT certificate FROM fingerprint WHERE digest = :digest AND length(digest) = :octets)"
)
_OTHERS: Final = "c.kind <> 0 AND c.kind IN (1, 2, 3)"  # in these words: the index holds no device


def find_certificates(
    db: apsw.Connection,
    identity: Identity,
    *,
    usage: str | None = None,
    role: int | None = None,
    any_status: bool = False,
    told: Told = ignore_progress,
) -> list[Certificate]:
    """The certificates of one identity, In-Use only unless ``any_status``; In-Use first, then newest.

    ``told``: how many rows have been read, and of how many, where every device must be read.
    """
    where, values = _by_index(db, identity)
    if isinstance(identity, SkiIs | Fingerprint) and not _is_answered(db, where, values):
        where, values = f"c.id IN ({', '.join(map(str, _scan(db, identity, told)))})", {}
    sql = (
        f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {where} AND (:any OR {IN_USE})"
        " AND (:usage IS NULL OR c.usage = :usage) AND (:role IS NULL OR c.role = :role))"
        " ORDER BY in_use DESC, first_seen DESC, serial"
    )
    found = db.execute(sql, {**values, "any": any_status, "usage": usage, "role": role})
    return [certificate_of(row) for row in found]


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
            among = "TRUE" if holds_devices(db) else _OTHERS
            return f"{among} AND c.ski = :ski", {"ski": ski}
        case Fingerprint(algorithm=algorithm, digest=digest):
            return _HASHED, {"digest": digest, "octets": OCTETS[algorithm]}
        case _:
            assert_never(identity)


def _is_answered(db: apsw.Connection, where: str, values: dict[str, Value]) -> bool:
    """Whether an index has the answer, of whatever status, or would have it."""
    if holds_devices(db):
        return True
    return bool(db.execute(f"SELECT EXISTS (SELECT 1 FROM certificate AS c WHERE {where})", values).get)


def _scan(db: apsw.Connection, identity: SkiIs | Fingerprint, told: Told) -> Iterator[int]:
    """Read every device; ids of those that match."""
    where, value = "ski = :value", identity.ski if isinstance(identity, SkiIs) else identity.digest
    if isinstance(identity, Fingerprint):
        db.create_scalar_function("fingerprint", HASHES[identity.algorithm], 1, deterministic=True)
        where = "fingerprint(der) = :value"
    sql = f"SELECT id FROM certificate WHERE id BETWEEN :low AND :high AND kind = {DEVICE} AND {where}"
    for low, high in slices(db, told):
        for (row,) in db.execute(sql, {"low": low, "high": high, "value": value}):
            yield row
