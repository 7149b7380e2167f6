"""Where a generation stands: position, date of its full, set digest.

For: reading and moving them inside a transaction that somebody else owns. Refuses: to open or to commit
anything, and to load what a look-up does without.
"""

from datetime import date
from typing import Final

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.digest import SetDigest

_STATE: Final = "SELECT position, full_day, digest FROM mirror WHERE one = 1"


def read_state(db: apsw.Connection) -> tuple[date, date, SetDigest]:
    """Position, date of the full and digest; :class:`MirrorDamaged` where they are not there."""
    row = db.execute(_STATE).fetchone()
    if row is None or row[0] is None or row[1] is None:
        raise MirrorDamaged(f"{db.filename} holds no position")
    try:
        return date.fromisoformat(row[0]), date.fromisoformat(row[1]), SetDigest.load(row[2])
    except (TypeError, ValueError) as exc:
        raise MirrorDamaged(f"{db.filename} holds a position that cannot be read: {exc}") from exc


def read_digest(db: apsw.Connection) -> SetDigest:
    """The set digest as it stands, also while a generation is being built."""
    return SetDigest.load(db.execute("SELECT digest FROM mirror WHERE one = 1").get)


def write_state(db: apsw.Connection, *, position: date, digest: SetDigest) -> None:
    """Move the position and the digest; part of the transaction that moved the rows."""
    db.execute(
        "UPDATE mirror SET position = ?, digest = ? WHERE one = 1", (position.isoformat(), digest.dump())
    )
    db.execute("UPDATE extract SET digest = ? WHERE id = (SELECT max(id) FROM extract)", (digest.hex,))
