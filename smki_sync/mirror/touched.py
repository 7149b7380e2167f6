"""Certificates that a new generation may show otherwise than the old one did, compared once all is loaded.

For: one journal line for each true difference, whatever came and went while it was loaded. The old generation
is attached under the name ``old``. Refuses: to compare what nobody has touched: that is as it was.
"""

from collections.abc import Iterator
from itertools import starmap
from typing import Any, Final

import apsw

from smki_sync.mirror.aside import conflict_of, set_aside
from smki_sync.mirror.journal import Change, Changed
from smki_sync.model.certificate import Status

SAID: Final = "status, eui, role, usage, manufacturing, flags, der"
"""What the Repository says of a certificate, as columns."""

_BEGIN: Final = """
CREATE TEMP TABLE touched (serial TEXT, issuer INTEGER, PRIMARY KEY (serial, issuer)) WITHOUT ROWID;
"""
_TOUCH: Final = "INSERT OR IGNORE INTO touched VALUES (?, ?)"
_BOTH: Final = """
  FROM touched AS t
 CROSS JOIN certificate AS n ON n.serial = t.serial AND n.issuer = t.issuer
 CROSS JOIN old.certificate AS o ON o.serial = t.serial AND o.issuer = t.issuer
"""
"""CROSS: SQLite would rather read the whole of ``certificate``, which comes in the order of its ids."""
_SAME: Final = " AND ".join(
    ["o.withdrawn IS NULL", *(f"n.{name.strip()} IS o.{name.strip()}" for name in SAID.split(","))]
)
_DIFFERENCES: Final = f"""
SELECT n.id, o.status, o.withdrawn, n.status {_BOTH.replace("CROSS JOIN old", "LEFT JOIN old")} ORDER BY n.id
"""
_OTHER_BODIES: Final = f"""
SELECT o.serial, i.name, o.status, o.der {_BOTH} JOIN issuer AS i ON i.id = o.issuer
 WHERE n.der <> o.der ORDER BY n.id
"""
_KEPT: Final = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE extract = ? AND xml = ?)"
_KEEP_SINCE: Final = f"""
UPDATE certificate SET first_seen = (
       SELECT o.first_seen FROM old.certificate AS o
        WHERE o.serial = certificate.serial AND o.issuer = certificate.issuer)
 WHERE id IN (SELECT n.id {_BOTH})
"""
_KEEP_CHANGED: Final = f"""
UPDATE certificate SET (last_changed, extract) = (
       SELECT o.last_changed,
              iif(certificate.extract IN (SELECT id FROM main.extract WHERE kind = 'delta'),
                  certificate.extract, o.extract)
         FROM old.certificate AS o
        WHERE o.serial = certificate.serial AND o.issuer = certificate.issuer)
 WHERE id IN (SELECT n.id {_BOTH} WHERE {_SAME})
"""
"""What ended as it was before keeps its dates. What a delta put right against the full keeps that delta as
its file: nothing else explains to a comparison why it is not as the full says."""

HELD_BEFORE: Final = 0
"""Record number of evidence that is not of the file: a body that was held before."""


def begin(db: apsw.Connection) -> None:
    """None is touched yet."""
    db.execute(_BEGIN)


def touch(db: apsw.Connection, serial: str, issuer: int) -> None:
    """Compare this certificate at the end."""
    db.execute(_TOUCH, (serial, issuer))


def compare(db: apsw.Connection, *, extract: int) -> tuple[Iterator[Changed], int]:
    """Give touched certificates their memory back, and find what has truly become of them."""
    replaced = _set_aside_bodies(db, extract)
    db.execute(_KEEP_SINCE)
    db.execute(_KEEP_CHANGED)
    found: Iterator[Any] = db.execute(_DIFFERENCES)
    return filter(None, starmap(_difference, found)), replaced


def _set_aside_bodies(db: apsw.Connection, extract: int) -> int:
    """Keep bodies that others have replaced, but for those that this file listed and lost too."""
    bodies: list[tuple[Any, ...]] = db.execute(_OTHER_BODIES).fetchall()
    evidence = [conflict_of(HELD_BEFORE, *body) for body in bodies]
    news = [one for one in evidence if not db.execute(_KEPT, (extract, one.xml)).get]
    for one in news:
        set_aside(db, one, extract=extract)
    return len(news)


def _difference(row: int, before: str | None, withdrawn: int | None, after: str) -> Changed | None:
    if before is None:
        return Changed(row=row, change=Change.ADDED, before=None, after=after)
    if before != after:
        return Changed(row=row, change=Change.STATUS, before=before, after=after)
    if withdrawn is not None and after == Status.IN_USE:
        return Changed(row=row, change=Change.REINSTATED, before=None, after=after)
    return None
