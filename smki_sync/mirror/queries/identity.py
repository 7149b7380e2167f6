"""What names one certificate or one subject, and the look-up by it.

For: ``show``, and whoever embeds the mirror. Refuses: to parse what a person wrote.

EUI-64 and serial number have an index. A key identifier and a hash are looked up among organisations and
authorities first, which have one; only where nobody there has it, devices are read row by row, unless the
operator has had them indexed (``mirror.index_devices``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, assert_never

import apsw

from smki_sync.mirror.fingerprints import DEVICE, HASHES, OCTETS, holds_devices
from smki_sync.mirror.queries.row import COLUMNS, Certificate, certificate_of
from smki_sync.mirror.queries.slices import Told, nobody, slices
from smki_sync.mirror.schema import CERTIFICATES, IN_USE, Value
from smki_sync.model.identity import Eui, KeyId, Serial


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
    told: Told = nobody,
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
