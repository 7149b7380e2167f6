"""Applied files, position, counts, set digest."""

from datetime import UTC, date, datetime
from hashlib import sha256, shake_128
from typing import Final, Self

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.schema import KINDS, Value
from smki_sync.model.certificate import Status
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile, Position
from smki_sync.model.report import CertificateCounts, ChangeCounts

_OCTETS: Final = 256
_MODULUS: Final = 1 << (8 * _OCTETS)
_DOMAIN: Final = b"smki-sync set digest 1\0"


class SetDigest:
    """A multiset of certificates as one number and a count."""

    __slots__ = ("_sum", "count")

    def __init__(self) -> None:
        """Start with the empty set."""
        self._sum = 0
        self.count = 0

    @classmethod
    def load(cls, state: bytes) -> Self:
        """Take up a state that :meth:`dump` wrote; ``ValueError`` for one of another length."""
        if len(state) != 8 + _OCTETS:
            raise ValueError(f"a digest state has {8 + _OCTETS} octets, this has {len(state)}")
        self = cls()
        self.count = int.from_bytes(state[:8])
        self._sum = int.from_bytes(state[8:])
        return self

    def dump(self) -> bytes:
        """The state as 264 octets: count, sum."""
        return self.count.to_bytes(8) + (self._sum % _MODULUS).to_bytes(_OCTETS)

    def add(self, der: bytes) -> None:
        """Take a certificate into the set."""
        self._sum += expand(der)
        self.count += 1

    def add_expanded(self, expansion: int) -> None:
        """Take a certificate into the set whose expansion is known."""
        self._sum += expansion
        self.count += 1

    def remove(self, der: bytes) -> None:
        """Take a certificate out of the set; the caller knows that it is a member."""
        self._sum -= expand(der)
        self.count -= 1

    def merge(self, other: Self) -> None:
        """Take every member of another set in."""
        self._sum += other._sum
        self.count += other.count

    @property
    def hex(self) -> str:
        """The digest: 64 hex digits."""
        return sha256(_DOMAIN + self.dump()).hexdigest()


def expand(der: bytes) -> int:
    """A certificate as a number of 2048 bits, as good as chosen by chance."""
    return int.from_bytes(shake_128(der).digest(_OCTETS))


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


def read_census(db: apsw.Connection) -> CertificateCounts:
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
    return CertificateCounts(
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
    db: apsw.Connection, entry: int, counts: ChangeCounts, *, began: datetime, committed: datetime
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
