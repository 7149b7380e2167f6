"""What a generation knows of itself: its ledger of files, and its counts.

For: reading and writing these inside a transaction that somebody else owns. Refuses: to open or to
commit anything. Where it stands is in :mod:`.state`.
"""

from datetime import UTC, date, datetime
from typing import Final

import apsw

from smki_sync.mirror.schema import KINDS, Value
from smki_sync.mirror.state import read_state
from smki_sync.model.certificate import Status
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile, Position
from smki_sync.model.report import Census, Counts

_CHAIN: Final = """
SELECT kind, day, name, size, modified, sha256 FROM extract
 WHERE id >= (SELECT max(id) FROM extract WHERE kind = 'full') AND kind <> 'repair' ORDER BY id
"""
_OF_NAME: Final = """
SELECT kind, day, name, size, modified, sha256 FROM extract WHERE name = ? AND kind <> 'repair' ORDER BY id
"""
_STANDING: Final = """
SELECT count(*) FROM quarantine WHERE accepted IS NULL
   AND extract >= (SELECT max(id) FROM extract WHERE kind = 'full')
"""
QUARANTINE: Final = """
SELECT x.name, q.number, q.reason, q.detail, q.xml, q.accepted
  FROM quarantine AS q JOIN extract AS x ON x.id = q.extract
 WHERE q.extract >= (SELECT max(id) FROM extract WHERE kind = 'full') ORDER BY q.id
"""
_OPEN: Final = """
INSERT INTO extract (name, kind, day, size, modified, sha256, records, inserted, updated, unchanged,
                     withdrawn, quarantined, committed, seconds)
VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, '', 0)
"""
_CLOSE: Final = """
UPDATE extract SET records = ?, inserted = ?, updated = ?, unchanged = ?, withdrawn = ?, quarantined = ?,
                   committed = ?, seconds = ? WHERE id = ?
"""

_DIGEST_OF: Final = "SELECT digest FROM extract WHERE day = ? ORDER BY id DESC LIMIT 1"


def utc(moment: datetime) -> str:
    """A time as the ledger writes it: ISO 8601, UTC, ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_digest_of(db: apsw.Connection, day: date) -> str | None:
    """The set digest that this mirror had at a position, 64 hex digits; ``None`` where it was never there."""
    found = db.execute(_DIGEST_OF, (day.isoformat(),)).get
    return None if found is None else str(found)


def read_position(db: apsw.Connection) -> Position:
    """Position with the chain of files since the last full."""
    position, full, _ = read_state(db)
    return Position(day=position, full=full, chain=tuple(_applied(row) for row in db.execute(_CHAIN)))


def read_applied(db: apsw.Connection, name: str) -> tuple[AppliedFile, ...]:
    """Every file of that name that was applied, also before the last full; more than one where it changed."""
    return tuple(_applied(row) for row in db.execute(_OF_NAME, (name,)))


def _applied(row: tuple[Value, ...]) -> AppliedFile:
    kind, day, name, size, modified, sha256 = row
    extract = Extract(
        kind=ExtractKind(str(kind)),
        day=date.fromisoformat(str(day)),
        name=str(name),
        size=int(str(size)),
        modified=datetime.fromisoformat(str(modified)) if modified else None,
    )
    return AppliedFile(extract=extract, size=extract.size, sha256=str(sha256))


def read_census(db: apsw.Connection) -> Census:
    """Counts by kind and status, the standing quarantine, and the digest."""
    _, _, digest = read_state(db)
    by_kind: dict[str, int] = {}
    by_status: dict[str, int] = {}
    listed = 0
    for kind, status, withdrawn, count in db.execute(
        "SELECT kind, status, withdrawn, count FROM census WHERE count > 0 ORDER BY kind, status, withdrawn"
    ):
        by_kind[KINDS[kind]] = by_kind.get(KINDS[kind], 0) + count
        word = "withdrawn" if withdrawn else status
        by_status[word] = by_status.get(word, 0) + count
        listed += count if word == Status.IN_USE else 0
    if listed > digest.count:  # listed as In-Use, and revoked by a list
        by_status |= {Status.IN_USE.value: digest.count, "revoked": listed - digest.count}
        by_status = {word: count for word, count in by_status.items() if count}
    return Census(
        total=sum(by_kind.values()),
        in_use=digest.count,
        quarantined=db.execute(_STANDING).get,
        digest=digest.hex,
        by_kind=by_kind,
        by_status=by_status,
    )


def open_entry(db: apsw.Connection, file: AppliedFile) -> int:
    """Begin the ledger entry of a file; its id is what rows and journal refer to."""
    extract = file.extract
    day = extract.day.isoformat()
    db.execute(_OPEN, (extract.name, extract.kind, day, *_bytes_of(file)))
    return db.last_insert_rowid()


def name_entry(db: apsw.Connection, entry: int, file: AppliedFile) -> None:
    """Say of which bytes an entry is that was begun before they had all come."""
    db.execute(
        "UPDATE extract SET size = ?, modified = ?, sha256 = ? WHERE id = ?", (*_bytes_of(file), entry)
    )


def _bytes_of(file: AppliedFile) -> tuple[int, str | None, str]:
    modified = file.extract.modified
    return file.size, modified.isoformat() if modified else None, file.sha256


def newest_entry(db: apsw.Connection) -> int:
    """The ledger entry of the file that was applied last."""
    entry: int = db.execute("SELECT max(id) FROM extract").get
    return entry


def open_repair(db: apsw.Connection, file: AppliedFile) -> int:
    """Begin the entry of a repair from a full: it is in the ledger, and no part of the chain."""
    entry = open_entry(db, file)
    db.execute("UPDATE extract SET kind = 'repair' WHERE id = ?", (entry,))
    return entry


def close_entry(
    db: apsw.Connection, entry: int, counts: Counts, *, began: datetime, committed: datetime
) -> None:
    """Complete the ledger entry of a file with what it did."""
    done = (counts.records, counts.inserted, counts.updated, counts.unchanged, counts.withdrawn)
    seconds = (committed - began).total_seconds()
    db.execute(_CLOSE, (*done, counts.quarantined, utc(committed), seconds, entry))


def read_incidents(db: apsw.Connection) -> frozenset[str]:
    """Names of applied deltas that were seen with other bytes since the last full."""
    return frozenset(str(name) for (name,) in db.execute("SELECT name FROM incident"))


def note_modified(db: apsw.Connection, extract: Extract) -> None:
    """Remember another time for the same bytes, so that they are not fetched and hashed again."""
    if extract.modified:
        db.execute(
            "UPDATE extract SET modified = ? WHERE name = ?", (extract.modified.isoformat(), extract.name)
        )
