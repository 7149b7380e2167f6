"""The previous generation: merge its statements with a full, and find what has changed."""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Final, Protocol

import apsw

from smki_sync.merge import Baseline
from smki_sync.mirror import ledger
from smki_sync.mirror.apply import StoredCertificate, find_stored
from smki_sync.mirror.disagreement import RejectedIdentities
from smki_sync.mirror.rows import CLAIMS, days
from smki_sync.mirror.set_digest import SetDigest

Identity = tuple[str, int]
"""Serial number, issuer id."""


class History(Protocol):
    """What a build takes from the previous generation, or nothing if there is none."""

    standing: dict[int, date]
    """Ledger ids and dates of the deltas that win over the full."""

    def in_use(self) -> int:
        """Return the number of In-Use certificates in it."""

    def leads_to(self, baseline: Baseline) -> bool:
        """Whether it is proven, and no delta is missing between it and the overlap of a full."""

    def find_previous(self, serial: str, issuer: int) -> StoredCertificate | None:
        """Return a certificate as it has it."""

    def touch(self, rows: Iterable[int]) -> None:
        """Record rows that may differ from it."""

    def forget(self, row: int) -> None:
        """A touched row was removed."""

    def refuse(self, serial: str, issuer: int) -> None:
        """A listed certificate was refused: if it is In-Use here, it is withdrawn."""

    def carry_unlisted(self, baseline: Baseline, *, extract: int, digest: SetDigest) -> int:
        """Copy the rows that the full does not list; return how many the full withdraws."""

    def write_journal(self, *, recorded_at: int) -> None:
        """Write one line for each certificate that differs from it."""

    def revoked(self) -> set[Identity]:
        """Return the certificates that a list revokes in it."""


class NoPreviousGeneration:
    """There is no previous generation. The journal begins with the first full."""

    standing: dict[int, date] = {}  # noqa: RUF012 - never changed

    def in_use(self) -> int:
        """Return 0."""
        return 0

    def leads_to(self, baseline: Baseline) -> bool:  # noqa: ARG002 - the protocol's name
        """Nothing leads to it."""
        return False

    def find_previous(self, serial: str, issuer: int) -> None:
        """Return nothing."""

    def touch(self, rows: Iterable[int]) -> None:
        """Do nothing."""

    def forget(self, row: int) -> None:
        """Do nothing."""

    def refuse(self, serial: str, issuer: int) -> None:
        """Do nothing."""

    def carry_unlisted(self, baseline: Baseline, *, extract: int, digest: SetDigest) -> int:  # noqa: ARG002 - the protocol's names
        """Return 0."""
        return 0

    def write_journal(self, *, recorded_at: int) -> None:
        """Do nothing."""

    def revoked(self) -> set[Identity]:
        """Return none."""
        return set()


_CARRIED: Final = (
    *("issuer", "extract", "quarantine", "change", "revocation_list", "revocation", "companion"),
    *("refused_companion", "slot_publication", "slot_body", "slot_certificate"),
)
_CARRY: Final = "\n".join(f"INSERT INTO {table} SELECT * FROM old.{table};" for table in _CARRIED)
_SEQUENCE: Final = """
DELETE FROM sqlite_sequence WHERE name = 'change';
INSERT INTO sqlite_sequence SELECT name, seq FROM old.sqlite_sequence WHERE name = 'change';
UPDATE mirror SET (lineage, journal_from, unproven_since) =
       (SELECT lineage, journal_from, unproven_since FROM old.mirror);
"""
_TEMPORARY: Final = """
CREATE TEMP TABLE touched (row INTEGER PRIMARY KEY);
CREATE TEMP TABLE standing (id INTEGER PRIMARY KEY, day TEXT NOT NULL);
CREATE TEMP TABLE rejected (serial TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE refused (serial TEXT, issuer INTEGER, PRIMARY KEY (serial, issuer)) WITHOUT ROWID;
"""
_COPIED: Final = (
    "serial, issuer, eui, kind, role, usage, status, subject, not_before, not_after, ski, manufacturing,"
    " flags, first_seen, der"
)
_LEAVES: Final = """(o.status = 'I' AND o.withdrawn IS NULL AND (
           NOT :unclear
           AND coalesce(o.stated, o.extract) NOT IN (SELECT id FROM standing)
           AND o.serial NOT IN (SELECT serial FROM rejected)
           OR (o.serial, o.issuer) IN (SELECT serial, issuer FROM refused)))"""
"""Whether the full withdraws old row ``o``, which it does not list."""
_UNLISTED: Final = f"""
INSERT INTO certificate ({_COPIED}, last_changed, withdrawn, extract, stated)
SELECT {_COPIED},
       iif({_LEAVES}, :day, last_changed), iif({_LEAVES}, :day, withdrawn),
       iif({_LEAVES}, :extract, extract), iif({_LEAVES}, NULL, stated)
  FROM old.certificate AS o
 WHERE NOT EXISTS (SELECT 1 FROM main.certificate AS n WHERE n.serial = o.serial AND n.issuer = o.issuer)
 ORDER BY o.serial, o.issuer
"""
_COUNT_UNLISTED: Final = """
INSERT INTO census SELECT kind, status, withdrawn IS NOT NULL, count(*) FROM certificate
 WHERE id > ? GROUP BY 1, 2, 3 ON CONFLICT DO UPDATE SET count = count + excluded.count
"""
_IN_USE_UNLISTED: Final = """
SELECT der FROM certificate WHERE id > ? AND status = 'I' AND withdrawn IS NULL
"""
_DISAGREE: Final = """
INSERT INTO disagreement (certificate, says)
SELECT id, CASE WHEN serial IN (SELECT serial FROM rejected) THEN 'silent'
                WHEN :unclear THEN 'unclear' ELSE 'not-in-use' END
  FROM certificate
 WHERE id > :last AND coalesce(stated, extract) NOT IN (SELECT id FROM standing WHERE day > :full)
   AND (status = 'I' AND withdrawn IS NULL OR serial IN (SELECT serial FROM rejected))
"""
_NOW_WITHDRAWN: Final = """
INSERT INTO touched SELECT id FROM certificate WHERE id > ? AND withdrawn IS NOT NULL AND extract = ?
"""
_SAME_CLAIMS: Final = " AND ".join(f"n.{name} IS o.{name}" for name in CLAIMS)
_JOURNAL: Final = f"""
INSERT INTO change (day, change, kind, eui, serial, issuer, before, after, extract, recorded)
SELECT x.day,
       CASE WHEN o.id IS NULL THEN 'added'
            WHEN n.withdrawn IS NOT NULL THEN 'withdrawn'
            WHEN o.withdrawn IS NOT NULL AND n.status = 'I' THEN 'reinstated'
            WHEN o.withdrawn IS NOT NULL OR n.status <> o.status THEN 'status'
            WHEN n.der <> o.der THEN 'body'
            ELSE 'claims' END,
       n.kind, n.eui, n.serial, n.issuer,
       iif(o.withdrawn IS NULL, o.status, NULL), iif(n.withdrawn IS NULL, n.status, NULL), n.extract, ?
  FROM touched AS t
 CROSS JOIN certificate AS n ON n.id = t.row
  JOIN extract AS x ON x.id = n.extract
  LEFT JOIN old.certificate AS o ON o.serial = n.serial AND o.issuer = n.issuer
 WHERE o.id IS NULL OR n.status <> o.status OR (n.withdrawn IS NULL) <> (o.withdrawn IS NULL)
    OR n.der <> o.der OR NOT ({_SAME_CLAIMS})
 ORDER BY t.row
"""
"""CROSS: SQLite would rather read the whole table ``certificate``, which is in the order of its ids."""
_REVOKED: Final = "SELECT serial, issuer FROM old.certificate WHERE revoked IS NOT NULL"


class PreviousGeneration:
    """The previous generation, attached to the new one under the name ``old``."""

    def __init__(
        self, db: apsw.Connection, path: Path, baseline: Baseline, *, superseded: Iterable[date] = ()
    ) -> None:
        """Attach it read-only and copy ledger, journal, quarantine, lists and issuer ids.

        ``superseded``: dates of deltas whose statements do not count any more.
        """
        self._db = db
        db.execute("ATTACH ? AS old", (f"{path.absolute().as_uri()}?mode=ro",))
        db.execute(_CARRY)
        db.execute(_SEQUENCE)
        db.execute(_TEMPORARY)
        ledger.supersede(db, superseded)
        self.standing = ledger.read_standing(db, baseline)
        db.executemany(
            "INSERT INTO standing VALUES (?, ?)",
            [(entry, day.isoformat()) for entry, day in self.standing.items()],
        )

    def position(self) -> date:
        """Return the position of the previous generation."""
        return date.fromisoformat(self._db.execute("SELECT position FROM old.mirror").get)

    def leads_to(self, baseline: Baseline) -> bool:
        """Whether it is proven, and no delta is missing between it and the overlap of a full."""
        proven = self._db.execute("SELECT unproven_since IS NULL FROM old.mirror").get
        return bool(proven) and self.position() >= baseline.first_delta - timedelta(days=1)

    def in_use(self) -> int:
        """Return the number of In-Use certificates in it: members of its digest."""
        return SetDigest.load(self._db.execute("SELECT digest FROM old.mirror WHERE one = 1").get).count

    def find_previous(self, serial: str, issuer: int) -> StoredCertificate | None:
        """Return a certificate as it has it."""
        return find_stored(self._db, serial, issuer, table="old.certificate")

    def touch(self, rows: Iterable[int]) -> None:
        """Record rows that may differ from it."""
        self._db.executemany("INSERT OR IGNORE INTO touched VALUES (?)", [(row,) for row in rows])

    def forget(self, row: int) -> None:
        """A touched row was removed."""
        self._db.execute("DELETE FROM touched WHERE row = ?", (row,))

    def refuse(self, serial: str, issuer: int) -> None:
        """A listed certificate was refused: if it is In-Use here, it is withdrawn."""
        self._db.execute("INSERT OR IGNORE INTO refused VALUES (?, ?)", (serial, issuer))

    def carry_unlisted(self, baseline: Baseline, *, extract: int, digest: SetDigest) -> int:
        """Copy the rows that the full does not list; return how many the full withdraws.

        ``extract``: ledger id of the full. ``digest``: gets the rows that stay In-Use, because a delta says
        so or the full is not clear. What the full says about them is recorded.
        """
        rejected = RejectedIdentities(self._db, extract)
        self._db.executemany("INSERT INTO rejected VALUES (?)", [(serial,) for serial in rejected.serials])
        last = self._db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
        unclear = int(not rejected.is_complete)
        values = {"day": days(baseline.full), "extract": extract, "unclear": unclear}
        self._db.execute(_UNLISTED, values)
        self._db.execute(_COUNT_UNLISTED, (last,))
        self._db.execute(_DISAGREE, {"unclear": unclear, "last": last, "full": baseline.full.isoformat()})
        for (der,) in self._db.execute(_IN_USE_UNLISTED, (last,)):
            digest.add(der)
        self._db.execute(_NOW_WITHDRAWN, (last, extract))
        return self._db.changes()

    def write_journal(self, *, recorded_at: int) -> None:
        """Write one line for each certificate that differs from it."""
        self._db.execute(_JOURNAL, (recorded_at,))

    def revoked(self) -> set[Identity]:
        """Return the certificates that a list revokes in it."""
        return set(self._db.execute(_REVOKED))
