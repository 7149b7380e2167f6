"""Applied files, position, proof, counts and set digest."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Final

import apsw

from smki_sync.merge import Baseline
from smki_sync.mirror.schema import COUNTING, KINDS, Value
from smki_sync.mirror.set_digest import read_state
from smki_sync.model.certificate import Status
from smki_sync.model.extract import Extract, ExtractKind, FileKey
from smki_sync.model.plan import AppliedFile, Position, Unproven
from smki_sync.model.report import CertificateCounts, ChangeCounts

_BASELINE: Final = "SELECT full_day, overlap_days FROM mirror WHERE one = 1"
_STANDING: Final = "SELECT id, day FROM extract WHERE kind = 'delta' AND superseded <> 1 AND day >= ?"
_PROVING: Final = """
SELECT day FROM extract
 WHERE kind = 'delta' AND day >= ? AND (superseded = 0 OR superseded = 2 AND day > ?)
"""
_UNPROVEN: Final = "SELECT unproven_since, missing, until_full FROM mirror WHERE one = 1"
_SET_UNPROVEN: Final = "UPDATE mirror SET unproven_since = ?, missing = ? WHERE one = 1"


def read_baseline(db: apsw.Connection) -> Baseline:
    """Return the newest full that this generation has used."""
    full, overlap_days = db.execute(_BASELINE).get
    return Baseline(full=date.fromisoformat(full), overlap_days=overlap_days)


def write_baseline(db: apsw.Connection, baseline: Baseline, *, is_unclear: bool) -> None:
    """Record that a full was merged. ``is_unclear``: it left rows of which it says nothing in service."""
    db.execute(
        "UPDATE mirror SET full_day = ?, overlap_days = ?, until_full = ? WHERE one = 1",
        (baseline.full.isoformat(), baseline.overlap_days, int(is_unclear)),
    )


def read_standing(db: apsw.Connection, baseline: Baseline) -> dict[int, date]:
    """Map ledger ids of the deltas that win over the full to their dates."""
    rows = db.execute(_STANDING, (baseline.first_delta.isoformat(),))
    return {entry: date.fromisoformat(day) for entry, day in rows}


def read_unproven(db: apsw.Connection) -> Unproven | None:
    """Return why the mirror is unproven; ``None`` if it is proven."""
    since, missing, _ = db.execute(_UNPROVEN).get
    if since is None:
        return None
    return Unproven(since=date.fromisoformat(since), missing=tuple(map(date.fromisoformat, missing.split())))


def update_proof(db: apsw.Connection, position: date) -> None:
    """Set which deltas are missing, after a file was merged. The mirror is proven if none is."""
    baseline = read_baseline(db)
    since, _, until_full = db.execute(_UNPROVEN).get
    rows = db.execute(_PROVING, (baseline.first_delta.isoformat(), baseline.full.isoformat()))
    missing = baseline.missing({date.fromisoformat(day) for (day,) in rows}, position)
    if not missing and not until_full:
        db.execute(_SET_UNPROVEN, (None, None))
    else:
        days = " ".join(day.isoformat() for day in missing)
        db.execute(_SET_UNPROVEN, (since or baseline.full.isoformat(), days))


def supersede(db: apsw.Connection, days: Iterable[date]) -> None:
    """Let the statements of applied deltas not count any more."""
    db.executemany(
        "UPDATE extract SET superseded = 1 WHERE kind = 'delta' AND day = ?",
        [(day.isoformat(),) for day in days],
    )


_APPLIED: Final = """
SELECT iif(kind = 'repair', 'full', kind), day, name, size, modified, sha256, superseded FROM extract
 WHERE superseded <> 1 AND (kind = 'delta' AND day >= ? OR kind IN ('full', 'repair') AND day = ?) ORDER BY id
"""
_OF_NAME: Final = """
SELECT kind, day, name, size, modified, sha256, superseded FROM extract
 WHERE name = ? AND kind <> 'repair' ORDER BY id
"""
_OPEN_QUARANTINE: Final = (
    f"SELECT count(*) FROM quarantine WHERE accepted IS NULL AND extract IN ({COUNTING})"
)
QUARANTINE: Final = f"""
SELECT x.name, q.number, q.reason, q.detail, q.xml, q.accepted
  FROM quarantine AS q JOIN extract AS x ON x.id = q.extract WHERE q.extract IN ({COUNTING}) ORDER BY q.id
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

_DIGEST_OF: Final = "SELECT digest FROM extract WHERE position = ? ORDER BY id DESC LIMIT 1"


def utc(moment: datetime) -> str:
    """Format a time as the ledger does: ISO 8601, UTC, ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_digest_of(db: apsw.Connection, day: date) -> str | None:
    """Return the last digest of this mirror at a position, 64 hex digits; ``None`` if it was never there."""
    found = db.execute(_DIGEST_OF, (day.isoformat(),)).get
    return None if found is None else str(found)


def read_position(db: apsw.Connection) -> Position:
    """Return the position, with the files whose statements count against the newest full."""
    position, _, _ = read_state(db)
    baseline = read_baseline(db)
    rows = db.execute(_APPLIED, (baseline.first_delta.isoformat(), baseline.full.isoformat()))
    newest = {file.extract.key: file for file in map(_applied, rows)}
    return Position(
        day=position,
        full=baseline.full,
        applied=tuple(sorted(newest.values(), key=_by_effect)),
        unproven=read_unproven(db),
        overlap_days=baseline.overlap_days,
    )


def _by_effect(file: AppliedFile) -> tuple[bool, date]:
    """The full first: the deltas win over it."""
    return file.extract.kind is ExtractKind.DELTA, file.extract.day


def read_applied(db: apsw.Connection, name: str) -> tuple[AppliedFile, ...]:
    """Return every applied file of that name; more than one if it changed."""
    return tuple(_applied(row) for row in db.execute(_OF_NAME, (name,)))


def _applied(row: tuple[Value, ...]) -> AppliedFile:
    kind, day, name, size, modified, sha256, superseded = row
    extract = Extract(
        kind=ExtractKind(str(kind)),
        day=date.fromisoformat(str(day)),
        name=str(name),
        size=int(str(size)),
        modified=datetime.fromisoformat(str(modified)) if modified else None,
    )
    return AppliedFile(extract=extract, size=extract.size, sha256=str(sha256), proves=not superseded)


def read_census(db: apsw.Connection) -> CertificateCounts:
    """Return counts by kind and status, the open quarantine, the digest, and the proof."""
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
    return CertificateCounts(
        total=sum(by_kind.values()),
        in_use=digest.count,
        quarantined=db.execute(_OPEN_QUARANTINE).get,
        digest=digest.hex,
        by_kind=by_kind,
        by_status=by_status,
        unproven=read_unproven(db),
    )


def open_entry(db: apsw.Connection, file: AppliedFile, *, is_repair: bool = False) -> int:
    """Begin the ledger entry of a file; rows and journal refer to its id.

    ``is_repair``: the file is a full that is merged by a comparison.
    """
    extract = file.extract
    kind = "repair" if is_repair else extract.kind.value
    db.execute(_OPEN, (extract.name, kind, extract.day.isoformat(), *_bytes_of(file)))
    return db.last_insert_rowid()


def name_entry(db: apsw.Connection, entry: int, file: AppliedFile) -> None:
    """Record the size and hash of a file whose entry was begun during its download."""
    db.execute(
        "UPDATE extract SET size = ?, modified = ?, sha256 = ? WHERE id = ?", (*_bytes_of(file), entry)
    )


def _bytes_of(file: AppliedFile) -> tuple[int, str | None, str]:
    modified = file.extract.modified
    return file.size, modified.isoformat() if modified else None, file.sha256


def newest_entry(db: apsw.Connection) -> int:
    """Return the ledger id of the file that was applied last."""
    entry: int = db.execute("SELECT max(id) FROM extract").get
    return entry


def close_entry(
    db: apsw.Connection, entry: int, counts: ChangeCounts, *, began: datetime, committed: datetime
) -> None:
    """Complete the ledger entry of a file with its counts."""
    done = (counts.records, counts.inserted, counts.updated, counts.unchanged, counts.withdrawn)
    seconds = (committed - began).total_seconds()
    db.execute(_CLOSE, (*done, counts.quarantined, utc(committed), seconds, entry))


def read_incidents(db: apsw.Connection) -> frozenset[FileKey]:
    """Return the applied files that were seen with other bytes since the last full."""
    rows = db.execute("SELECT kind, day FROM incident")
    return frozenset((ExtractKind(kind), date.fromisoformat(day)) for kind, day in rows)


_INCIDENT: Final = """
INSERT INTO incident (kind, day, seen, was, now) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET now = coalesce(excluded.now, now)
"""


def note_incidents(
    db: apsw.Connection, changed: Mapping[FileKey, str | None], applied: Iterable[AppliedFile], at: datetime
) -> None:
    """Record applied files that have other bytes now. ``changed``: the other SHA-256 if it is known."""
    for file in applied:
        if file.extract.key in changed:
            kind, day = file.extract.key
            values = (kind.value, day.isoformat(), utc(at), file.sha256, changed[file.extract.key])
            db.execute(_INCIDENT, values)


def note_modified(db: apsw.Connection, extract: Extract) -> None:
    """Record another modification time of the same bytes, so that they are not downloaded again."""
    if extract.modified:
        db.execute(
            "UPDATE extract SET modified = ? WHERE iif(kind = 'repair', 'full', kind) = ? AND day = ?",
            (extract.modified.isoformat(), extract.kind.value, extract.day.isoformat()),
        )
