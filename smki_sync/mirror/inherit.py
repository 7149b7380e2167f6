"""What a new generation takes over from the old one, and what has changed between the two.

For: ledger, journal and quarantine carried on; since when a certificate is known; certificates that
the full no longer lists; one journal line for each true difference. Refuses: to write to the old
generation, which readers have open: it is attached read-only.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Protocol

import apsw

from smki_sync.mirror.apply import Change, Changed, days
from smki_sync.model.certificate import Status

_CARRY: Final = """
INSERT INTO issuer SELECT * FROM old.issuer;
INSERT INTO extract SELECT * FROM old.extract;
INSERT INTO quarantine SELECT * FROM old.quarantine;
INSERT INTO change SELECT * FROM old.change;
CREATE TEMP TABLE touched (serial TEXT, issuer INTEGER, PRIMARY KEY (serial, issuer)) WITHOUT ROWID;
"""
_KNOWN: Final = (
    "SELECT status, withdrawn, first_seen, last_changed, extract, der FROM old.certificate"
    " WHERE serial = ? AND issuer = ?"
)
_TOUCH: Final = "INSERT OR IGNORE INTO touched VALUES (?, ?)"
_TOUCH_ROW: Final = "INSERT OR IGNORE INTO touched SELECT serial, issuer FROM certificate WHERE id = ?"
_DIFFERENCES: Final = """
SELECT n.id, o.status, o.withdrawn, n.status
  FROM touched AS t
  JOIN certificate AS n ON n.serial = t.serial AND n.issuer = t.issuer
  LEFT JOIN old.certificate AS o ON o.serial = t.serial AND o.issuer = t.issuer
 ORDER BY n.id
"""
_COLUMNS: Final = (
    "serial, issuer, eui, kind, role, usage, status, subject, not_before, not_after, ski, manufacturing,"
    " flags, first_seen"
)
_UNLISTED: Final = f"""
INSERT INTO certificate ({_COLUMNS}, last_changed, withdrawn, extract, der)
SELECT {_COLUMNS},
       iif(status = 'I' AND withdrawn IS NULL, :day, last_changed),
       iif(status = 'I' AND withdrawn IS NULL, :day, withdrawn),
       iif(status = 'I' AND withdrawn IS NULL, :extract, extract),
       der
  FROM old.certificate AS o
 WHERE NOT EXISTS (SELECT 1 FROM main.certificate AS n WHERE n.serial = o.serial AND n.issuer = o.issuer)
 ORDER BY o.serial, o.issuer
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is known of a certificate from before. Days since 1970.

    ``extract``: ledger id of the file that last changed it. ``body``: the DER held before.
    """

    status: str
    withdrawn: int | None
    first_seen: int
    last_changed: int
    extract: int
    body: bytes


class Inheritance(Protocol):
    """The memory that a build draws on: an old generation's, or none at bootstrap."""

    def recall(self, serial: str, issuer: int) -> Memory | None:
        """What is known of this certificate."""

    def touch(self, serial: str, issuer: int) -> None:
        """The full says other than the old generation: look at it again at the end."""

    def touch_row(self, changed: Changed) -> None:
        """A :data:`~smki_sync.mirror.apply.Journal` for overlap deltas."""

    def carry_unlisted(self, *, extract: int, day: date) -> list[int]:
        """Take over what the full does not list; the row ids of those that are withdrawn by it."""

    def differences(self) -> list[Changed]:
        """What the touched certificates have become, against the old generation."""


class Nothing:
    """Bootstrap: there is no old generation. The first full is the journal's ground, not an entry in it."""

    def recall(self, serial: str, issuer: int) -> None:
        """Nothing is known."""

    def touch(self, serial: str, issuer: int) -> None:
        """Nothing to compare with."""

    def touch_row(self, changed: Changed) -> None:
        """Nothing to compare with."""

    def carry_unlisted(self, *, extract: int, day: date) -> list[int]:  # noqa: ARG002 - the protocol's names
        """Nothing to carry."""
        return []

    def differences(self) -> list[Changed]:
        """None."""
        return []


class Predecessor:
    """The old generation, attached to the new one under the name ``old``."""

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        """Attach it read-only and take over ledger, journal, quarantine and issuer ids."""
        self._db = db
        db.execute("ATTACH ? AS old", (f"{path.absolute().as_uri()}?mode=ro",))
        db.execute(_CARRY)

    def recall(self, serial: str, issuer: int) -> Memory | None:
        """What the old generation knows of this certificate."""
        row = self._db.execute(_KNOWN, (serial, issuer)).fetchone()
        if row is None:
            return None
        status, withdrawn, first_seen, last_changed, extract, body = row
        return Memory(
            status=status,
            withdrawn=withdrawn,
            first_seen=first_seen,
            last_changed=last_changed,
            extract=extract,
            body=body,
        )

    def touch(self, serial: str, issuer: int) -> None:
        """Look at this certificate again at the end."""
        self._db.execute(_TOUCH, (serial, issuer))

    def touch_row(self, changed: Changed) -> None:
        """Look at the certificate of this row again at the end."""
        self._db.execute(_TOUCH_ROW, (changed.row,))

    def carry_unlisted(self, *, extract: int, day: date) -> list[int]:
        """Insert every old row that the new generation lacks; In-Use ones become withdrawn."""
        last = self._db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
        self._db.execute(_UNLISTED, {"day": days(day), "extract": extract})
        self._db.execute(
            "INSERT INTO census SELECT kind, status, withdrawn IS NOT NULL, count(*) FROM certificate"
            " WHERE id > ? GROUP BY 1, 2, 3 ON CONFLICT DO UPDATE SET count = count + excluded.count",
            (last,),
        )
        gone = self._db.execute(
            "SELECT id FROM certificate WHERE id > ? AND withdrawn IS NOT NULL AND extract = ? ORDER BY id",
            (last, extract),
        )
        return [row for (row,) in gone]

    def differences(self) -> list[Changed]:
        """Added, status or reinstated, for each touched certificate that is not as it was."""
        found = (_difference(*row) for row in self._db.execute(_DIFFERENCES))
        return [changed for changed in found if changed]


def _difference(row: int, before: str | None, withdrawn: int | None, after: str) -> Changed | None:
    if before is None:
        return Changed(row=row, change=Change.ADDED, before=None, after=after)
    if before != after:
        return Changed(row=row, change=Change.STATUS, before=before, after=after)
    if withdrawn is not None and after == Status.IN_USE:
        return Changed(row=row, change=Change.REINSTATED, before=None, after=after)
    return None
