"""Questions for people and programs, answered from ``mirror.db``, read-only.

For: ``show``, ``status`` and whoever embeds the mirror. A reader opens the link, sees one state for as
long as it keeps its transaction, never waits for a writer. Refuses: to write, to talk to the network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any, Final, assert_never

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror import ledger
from smki_sync.mirror.faults import named, sqlite_named
from smki_sync.mirror.schema import APPLICATION_ID, SCHEMA_VERSION, Value
from smki_sync.mirror.store import connect_to_read
from smki_sync.model.certificate import Flag
from smki_sync.model.identity import Eui, KeyId, Serial
from smki_sync.model.plan import Position
from smki_sync.model.report import Census

_COLUMNS: Final = (
    "eui, kind, role, usage, status, in_use, serial, issuer, subject, not_before, not_after, ski,"
    " manufacturing, first_seen, last_changed, withdrawn, flags, file, der"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record in quarantine. ``number``: its place in ``file``; ``accepted``: when it was taken note of."""

    file: str
    number: int
    reason: str
    detail: str
    xml: bytes
    accepted: str | None


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


@contextmanager
def open_mirror(link: Path) -> Iterator[apsw.Connection]:
    """Open the current mirror for reading; :class:`MirrorDamaged` where it is none of ours."""
    with named(link):
        db = connect_to_read(link)
    try:
        with sqlite_named(link):
            _check_ours(db, link)
            with db:
                yield db
    finally:
        db.close()


def _check_ours(db: apsw.Connection, link: Path) -> None:
    if db.pragma("application_id") != APPLICATION_ID:
        raise MirrorDamaged(f"{link} is no mirror of this program")
    version = db.pragma("user_version")
    if version != SCHEMA_VERSION:
        raise MirrorDamaged(
            f"{link} has schema {version}, this program reads {SCHEMA_VERSION}",
            hint="Run `smki-sync sync`: it rebuilds the mirror from a full.",
        )


def read_position(db: apsw.Connection) -> Position:
    """How far the mirror is."""
    return ledger.read_position(db)


def read_census(db: apsw.Connection) -> Census:
    """Counts and digest."""
    return ledger.read_census(db)


def read_incidents(db: apsw.Connection) -> frozenset[str]:
    """Names of applied deltas that were seen with other bytes since the last full."""
    return ledger.read_incidents(db)


def read_quarantine(db: apsw.Connection) -> list[Quarantined]:
    """The records in quarantine of the files since the last full, oldest first."""
    rows: Iterator[tuple[Any, ...]] = db.execute(ledger.QUARANTINE)
    return [
        Quarantined(file=file, number=number, reason=reason, detail=detail, xml=xml, accepted=accepted)
        for file, number, reason, detail, xml, accepted in rows
    ]


def find_certificates(
    db: apsw.Connection,
    identity: Identity,
    *,
    usage: str | None = None,
    role: int | None = None,
    any_status: bool = False,
) -> list[Certificate]:
    """The certificates of one identity, In-Use only unless ``any_status``; newest first.

    EUI and serial use an index; a key identifier and a fingerprint scan the table.
    """
    where, values = _condition(db, identity)
    sql = (
        f"SELECT {_COLUMNS} FROM certificates WHERE {where} AND (:any OR in_use)"
        " AND (:usage IS NULL OR usage = :usage) AND (:role IS NULL OR role = :role)"
        " ORDER BY in_use DESC, first_seen DESC, serial"
    )
    found = db.execute(sql, {**values, "any": any_status, "usage": usage, "role": role})
    return [_certificate(row) for row in found]


def _condition(db: apsw.Connection, identity: Identity) -> tuple[str, dict[str, Value]]:
    match identity:
        case EuiIs(eui=eui):
            return "eui = :eui", {"eui": eui}
        case SerialIs(serials=serials):
            names = [f"s{n}" for n in range(len(serials))]
            return f"serial IN ({', '.join(':' + n for n in names)})", dict(zip(names, serials, strict=True))
        case SkiIs(ski=ski):
            return "ski = :ski", {"ski": ski}
        case Fingerprint(algorithm=algorithm, digest=digest):
            db.create_scalar_function("fingerprint", _HASHES[algorithm], 1, deterministic=True)
            return "fingerprint(der) = :digest", {"digest": digest}
        case _:
            assert_never(identity)


def _sha1(*args: Value) -> bytes:
    return sha1(_octets(args), usedforsecurity=False).digest()


def _sha256(*args: Value) -> bytes:
    return sha256(_octets(args)).digest()


def _octets(args: tuple[Value, ...]) -> bytes:
    (der,) = args
    assert isinstance(der, bytes)
    return der


_HASHES: Final = {"sha1": _sha1, "sha256": _sha256}


def _certificate(row: tuple[Any, ...]) -> Certificate:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    made = values["manufacturing"]
    return Certificate(
        **values
        | {
            "in_use": bool(values["in_use"]),
            "manufacturing": None if made is None else bool(made),
            "flags": Flag(values["flags"]),
        }
    )
