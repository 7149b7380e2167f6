"""Find the certificates of thousands of subjects with a few statements."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import apsw

from smki_sync.mirror.connection import holds_devices
from smki_sync.mirror.queries import (
    COLUMNS,
    Certificate,
    EuiIs,
    Fingerprint,
    Identity,
    SerialIs,
    SkiIs,
    certificate_of,
    ignore_progress,
    slices,
)
from smki_sync.mirror.rows import HASHES
from smki_sync.mirror.schema import CERTIFICATES, DEVICE, Value
from smki_sync.usability import UsabilityRule

ProgressCallback = Callable[[int, int], None]
"""Called with the number of rows read and the total."""

Matches = Mapping[str, Sequence[Certificate]]
"""Certificates of any status by the key of :func:`keys_of`."""
_Rows = dict[str, list[tuple[Any, ...]]]
_EUI, _SERIAL, _SKI = (Certificate._fields.index(name) for name in ("eui", "serial", "ski"))

_BY_EUI: Final = "c.eui IN (SELECT value FROM json_each(?))"
_BY_SERIAL: Final = "c.serial IN (SELECT value FROM json_each(?))"
_BY_SKI: Final = "c.ski IN (SELECT value FROM json_each(?))"
_OTHERS: Final = "c.kind <> 0 AND c.kind IN (1, 2, 3)"  # as in the WHERE clause of the partial index
_BY_ID: Final = "c.id IN (SELECT value FROM json_each(?))"
_DIGESTS: Final = """
SELECT lower(hex(f.digest)), f.certificate FROM fingerprint AS f
 WHERE f.digest IN (SELECT unhex(value) FROM json_each(?))
"""


def keys_of(identity: Identity) -> tuple[str, ...]:
    """Return the keys under which the matches of an identity are found."""
    match identity:
        case EuiIs(eui=eui):
            return (eui,)
        case SerialIs(serials=serials):
            return tuple(f"serial:{serial}" for serial in serials)
        case SkiIs(ski=ski):
            return (f"ski:{ski}",)
        case Fingerprint(digest=digest):
            return (digest.hex(),)


def find_many(
    db: apsw.Connection,
    identities: Collection[Identity],
    rule: UsabilityRule,
    *,
    progress: ProgressCallback = ignore_progress,
) -> Matches:
    """Return the certificates of any status of many identities, in no order.

    ``progress``: called with progress if every device must be read: for key identifiers and hashes of devices
    that are not indexed. All of them are answered by one pass.
    """
    euis = {one.eui for one in identities if isinstance(one, EuiIs)}
    serials = {serial for one in identities if isinstance(one, SerialIs) for serial in one.serials}
    skis = {one.ski for one in identities if isinstance(one, SkiIs)}
    digests = {one.digest.hex() for one in identities if isinstance(one, Fingerprint)}
    found: _Rows = defaultdict(list)
    for row in _select(db, _BY_EUI, euis):
        found[row[_EUI]].append(row)
    for row in _select(db, _BY_SERIAL, serials):
        found[f"serial:{row[_SERIAL]}"].append(row)
    for row in _select(db, _BY_SKI if holds_devices(db) else f"{_OTHERS} AND {_BY_SKI}", skis):
        found[f"ski:{row[_SKI]}"].append(row)
    _add_digests(db, found, digests)
    if not holds_devices(db):
        missing_skis = {ski for ski in skis if f"ski:{ski}" not in found}
        _add_devices(db, found, missing_skis, {digest for digest in digests if digest not in found}, progress)
    return {key: [certificate_of(row, rule) for row in rows] for key, rows in found.items()}


def _select(db: apsw.Connection, where: str, values: Collection[object]) -> Iterator[tuple[Any, ...]]:
    if values:
        sql = f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {where})"
        yield from db.execute(sql, (json.dumps(sorted(values, key=str)),))


def _add_digests(db: apsw.Connection, found: _Rows, digests: Collection[str]) -> None:
    if digests:
        rows: list[tuple[Any, ...]] = db.execute(_DIGESTS, (json.dumps(sorted(digests)),)).fetchall()
        _add_rows(db, found, rows)


def _add_rows(db: apsw.Connection, found: _Rows, rows: Collection[tuple[str, int]]) -> None:
    """Add certificates under their keys; ``rows``: key and id."""
    for key, row in rows:
        found[key] += _select(db, _BY_ID, [row])


def _add_devices(
    db: apsw.Connection,
    found: _Rows,
    skis: Collection[str],
    digests: Collection[str],
    progress: ProgressCallback,
) -> None:
    """Read every device once, and add those with one of the key identifiers or hashes."""
    if not skis and not digests:
        return
    sizes = {len(digest) // 2 for digest in digests}
    functions = [HASHES[name] for name, size in (("sha1", 20), ("sha256", 32)) if size in sizes]
    wanted = {bytes.fromhex(digest) for digest in digests}

    def digest_of(*der: Value) -> str | None:
        return next((d.hex() for function in functions if (d := function(*der)) in wanted), None)

    db.create_scalar_function("wanted_digest", digest_of, 1, deterministic=True)
    sql = f"""
SELECT iif(ski IN (SELECT value FROM json_each(:skis)), 'ski:' || ski, NULL),
       {"wanted_digest(der)" if functions else "NULL"}, id
  FROM certificate WHERE id BETWEEN :low AND :high AND kind = {DEVICE}
"""
    rows: list[tuple[str, int]] = []
    text = json.dumps(sorted(skis))
    for low, high in slices(db, progress):
        for ski, digest, row in db.execute(sql, {"low": low, "high": high, "skis": text}):
            rows += [(key, row) for key in (ski, digest) if key is not None]
    _add_rows(db, found, rows)


__all__ = ["Matches", "ProgressCallback", "find_many", "keys_of"]
