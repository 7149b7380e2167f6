"""SHA-1 and SHA-256 of certificates, kept where somebody looks certificates up by them.

For: organisations and authorities always, of which there are thousands; devices only where the operator
asked for it (``mirror.index_devices``), for with an index by key identifier that costs 104 octets a
certificate. Refuses: an index on an expression, which every other SQLite tool would need our function for.
"""

from hashlib import sha1, sha256
from typing import Final

import apsw

from smki_sync.mirror.schema import DEVICE_INDEX, Value

DEVICE: Final = 0
"""The kind of a device, as it is stored."""

_INDEXED: Final = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'certificate_ski')"
_FILL: Final = """
INSERT OR IGNORE INTO fingerprint
SELECT sha1(der), id FROM certificate WHERE {few} UNION ALL
SELECT sha256(der), id FROM certificate WHERE {few} ORDER BY 1
"""
_ADD: Final = "INSERT OR IGNORE INTO fingerprint VALUES (?, ?), (?, ?)"


def index_devices(db: apsw.Connection) -> None:
    """Index devices by key identifier; :func:`fill` and :func:`add` then take them in too."""
    db.execute(DEVICE_INDEX)


def holds_devices(db: apsw.Connection) -> bool:
    """Whether devices can be looked up by key identifier and hash without reading every row."""
    return bool(db.execute(_INDEXED).get)


def fill(db: apsw.Connection) -> None:
    """Work out the hashes that a new generation lacks, sorted, so that they are written once."""
    db.create_scalar_function("sha1", _sha1, 1, deterministic=True)
    db.create_scalar_function("sha256", _sha256, 1, deterministic=True)
    few = "TRUE" if holds_devices(db) else f"kind <> {DEVICE}"
    db.execute(_FILL.format(few=few))


def add(db: apsw.Connection, row: int, der: bytes) -> None:
    """Take in one more certificate; ``row``: its id."""
    db.execute(_ADD, (_sha1(der), row, _sha256(der), row))


def remove(db: apsw.Connection, der: bytes) -> None:
    """Forget a body that its row no longer has."""
    db.execute("DELETE FROM fingerprint WHERE digest IN (?, ?)", (_sha1(der), _sha256(der)))


def _sha1(*der: Value) -> bytes:
    return sha1(_octets(*der), usedforsecurity=False).digest()


def _sha256(*der: Value) -> bytes:
    return sha256(_octets(*der)).digest()


def _octets(der: Value) -> bytes:
    assert isinstance(der, bytes)
    return der


HASHES: Final = {"sha1": _sha1, "sha256": _sha256}
"""Hash functions by their names."""
OCTETS: Final = {"sha1": 20, "sha256": 32}
"""How long their digests are."""
