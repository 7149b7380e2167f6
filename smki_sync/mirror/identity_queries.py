"""Open the mirror read-only; find certificates by identity.

The command `show` imports this module, so it imports nothing slow: dataclasses alone take 20 ms.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple, assert_never

import apsw

from smki_sync.errors import MirrorDamaged, OtherSchema
from smki_sync.mirror.connection import connect_to_read, disk_errors, holds_devices, mirror_errors
from smki_sync.mirror.schema import (
    APPLICATION_ID,
    CERTIFICATES,
    DEVICE,
    IN_USE,
    SCHEMA_VERSION,
    Value,
)
from smki_sync.model.certificate import Eui, Flag, KeyId, Serial
from smki_sync.usability import (
    RevocationState,
    UnusableReason,
    UsabilityRule,
    revocation_of,
    unusable_reason,
    usable_first,
)

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
            " its journal starts again.",
        )
    if version < SCHEMA_VERSION:
        raise OtherSchema(
            f"{link} was written by an earlier version of this program: schema {version}; this one reads"
            f" {SCHEMA_VERSION}",
            code="schema-older",
            hint="Run `smki-sync sync`: it upgrades the mirror, or rebuilds it from a full.",
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


_DAY: Final = "SELECT position, length(digest) FROM mirror WHERE one = 1 AND full_day IS NOT NULL"
_DIGEST_BYTES: Final = 264


def read_day(db: apsw.Connection) -> date:
    """Return the position of the mirror, without its digest, which needs hashlib.

    Raises:
        MirrorDamaged: The position or the digest is missing or invalid.
    """
    position, size = db.execute(_DAY).fetchone() or (None, None)
    if position is None:
        raise MirrorDamaged(f"{db.filename} has no position")
    if size != _DIGEST_BYTES:
        raise MirrorDamaged(f"{db.filename} has an invalid digest of {size} bytes, not {_DIGEST_BYTES}")
    try:
        return date.fromisoformat(position)
    except (TypeError, ValueError) as exc:
        raise MirrorDamaged(f"{db.filename} has an invalid position: {exc}") from exc


ROWS: Final = 50_000
"""Rows in a slice. Reading one takes a few tenths of a second, so that progress is shown often."""

ProgressCallback = Callable[[int, int], None]
"""Progress callback: called with the number of rows read and the total."""


def ignore_progress(_done: int, _total: int) -> None:
    """Ignore progress."""


def slices(db: apsw.Connection, progress: ProgressCallback) -> Iterator[tuple[int, int]]:
    """Yield the first and last id of each slice, in order; call ``progress`` after each slice was read."""
    total: int = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
    for low in range(1, total + 1, ROWS):
        high = min(low + ROWS - 1, total)
        yield low, high
        progress(high, total)


class Fingerprint(NamedTuple):
    """A hash of the DER. ``algorithm``: ``sha1`` or ``sha256``. ``digest``: the bytes of the hash."""

    algorithm: str
    digest: bytes


class EuiIs(NamedTuple):
    """Find by the EUI-64 of the subject."""

    eui: Eui


class SerialIs(NamedTuple):
    """Find by serial number. More than one, because text of only digits may be hex or decimal."""

    serials: tuple[Serial, ...]


class SkiIs(NamedTuple):
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
    progress: ProgressCallback = ignore_progress,
) -> list[Certificate]:
    """Return the certificates with this identity: usable first, then In-Use, then newest.

    ``any_status``: include certificates that are not In-Use. ``progress``: called if every device must
    be read.
    """
    where, values = _by_index(db, identity)
    if isinstance(identity, SkiIs | Fingerprint) and not _index_answers(db, where, values):
        where, values = f"c.id IN ({', '.join(map(str, _scan_devices(db, identity, progress)))})", {}
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
            from smki_sync.mirror.rows import OCTETS  # noqa: PLC0415 - only a hash needs it

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


def _scan_devices(
    db: apsw.Connection, identity: SkiIs | Fingerprint, progress: ProgressCallback
) -> Iterator[int]:
    """Read every device; yield the ids of those that match."""
    where, value = "ski = :value", identity.ski if isinstance(identity, SkiIs) else identity.digest
    if isinstance(identity, Fingerprint):
        from smki_sync.mirror.rows import HASHES  # noqa: PLC0415 - only a hash needs it

        db.create_scalar_function("fingerprint", HASHES[identity.algorithm], 1, deterministic=True)
        where = "fingerprint(der) = :value"
    sql = f"SELECT id FROM certificate WHERE id BETWEEN :low AND :high AND kind = {DEVICE} AND {where}"
    for low, high in slices(db, progress):
        for (row,) in db.execute(sql, {"low": low, "high": high, "value": value}):
            yield row
