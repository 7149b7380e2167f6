"""Change journal: write, prune, read as a feed, tokens."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Self

import apsw

from smki_sync.errors import MirrorDamaged

_CHANGE: Final = """
INSERT INTO change (day, change, kind, eui, serial, issuer, before, after, extract, list, recorded)
SELECT ?, ?, kind, eui, serial, issuer, ?, ?, ?, ?, ? FROM certificate WHERE id = ?
"""


_BEGIN: Final = "UPDATE mirror SET journal_from = ? WHERE journal_from IS NULL"
_MOVE: Final = "UPDATE mirror SET journal_from = ? WHERE journal_from < ?"
_KEEP: Final = "DELETE FROM change WHERE sequence < ?"


class ChangeKind(StrEnum):
    """What happened to a certificate. Codes of the journal."""

    ADDED = "added"
    STATUS = "status"
    WITHDRAWN = "withdrawn"
    REINSTATED = "reinstated"
    REVOKED = "revoked"
    UNREVOKED = "unrevoked"
    CLAIMS = "claims"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One line of the journal before it has a sequence number.

    ``row``: id of the certificate. ``before``, ``after``: its status, ``None`` if it was or is not listed.
    """

    row: int
    change: ChangeKind
    before: str | None
    after: str | None


Journal = Callable[[JournalEntry], None]


class JournalWriter:
    """Writes changes into the journal under one extract and date."""

    def __init__(
        self, db: apsw.Connection, extract: int, day: date, *, at: datetime, by: int | None = None
    ) -> None:
        """Prepare to write.

        Args:
            db: a generation, in a transaction.
            extract: ledger id of the file that makes the changes.
            day: its date.
            at: the time; if the clock was set back, the time of the last line is used.
            by: id of the list that makes them; then ``extract`` is the newest file before it.
        """
        self._db = db
        self._extract = extract
        self._day = day.isoformat()
        self._by = by
        last = db.execute("SELECT max(recorded) FROM change").get
        self.recorded_at = max(int(at.timestamp()), last or 0)
        """Seconds since 1970, UTC, that the lines carry."""

    def write(self, changed: JournalEntry) -> None:
        """Append one line."""
        self._db.execute(
            _CHANGE,
            (
                *(self._day, changed.change, changed.before, changed.after),
                *(self._extract, self._by, self.recorded_at, changed.row),
            ),
        )


def begin(db: apsw.Connection, *, reached: date) -> None:
    """Begin the journal: it contains every change after the position ``reached`` of the first generation."""
    db.execute(_BEGIN, ((reached + timedelta(days=1)).isoformat(),))


def prune(db: apsw.Connection, *, position: date, keep_days: int | None) -> None:
    """Keep the lines recorded in the last ``keep_days`` days up to ``position``; ``None`` keeps all."""
    if keep_days is None:
        return
    first = position - timedelta(days=keep_days - 1)
    day = first.isoformat()
    if db.execute(_MOVE + " RETURNING TRUE", (day, day)).get:
        db.execute(_KEEP, (_first_recorded(db, first),))


_TOKEN: Final = re.compile(r"(?:(?P<lineage>[0-9a-f]{16}):)?(?P<sequence>[0-9]{1,18})", re.ASCII)
"""LINEAGE:SEQUENCE, or a number alone; 18 digits fit SQLite's integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterLine:
    """After the line of this number. ``lineage``: of the journal; ``None`` if it is not known."""

    sequence: int
    lineage: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token, or a number alone; raises ``ValueError``."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r:.60} is not a token of a journal")
        return cls(sequence=int(found["sequence"]), lineage=found["lineage"])

    @property
    def token(self) -> str:
        """The same as text."""
        return f"{self.lineage}:{self.sequence}" if self.lineage else str(self.sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromDate:
    """From the first line that was recorded on this date or later, UTC."""

    day: date


Place = AfterLine | FromDate


class JournalLine(NamedTuple):
    """One change. ``sequence``: its number, growing by one; ``day``: ISO 8601, of the extract, ``file``.

    ``change``: ``added``, ``status``, ``withdrawn``, ``reinstated``, ``revoked`` or ``unrevoked``.
    ``before``, ``after``: the status it was and is listed with; ``None`` where it was or is not listed, or
    was or is revoked by a list.
    """

    sequence: int
    day: str
    change: str
    kind: str
    eui: str | None
    serial: str
    issuer: str
    before: str | None
    after: str | None
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFeed:
    """The content of the journal.

    ``first``, ``last``: numbers of its lines; without any, ``first`` is the next one.
    ``since``: every change of this date or later is in it. ``lineage``: 16 hex digits, which change if the
    journal begins again.
    """

    first: int
    last: int
    since: date
    lineage: str

    def token(self, sequence: int) -> str:
        """Return the token of a place in this journal."""
        return AfterLine(sequence=sequence, lineage=self.lineage).token


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalGapError:
    """The journal cannot continue from a place without a gap. ``why``: the reason; ``hint``: what to do."""

    why: str
    hint: str


_JOURNAL: Final = """
SELECT m.lineage, m.journal_from,
       (SELECT min(sequence) FROM change),
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0)
  FROM mirror AS m
"""
_LINES: Final = """
SELECT sequence, date, change, kind, eui, serial, issuer, "from", "to", file
  FROM changes WHERE sequence > ? ORDER BY sequence
"""
_FIRST: Final = """
SELECT sequence FROM change WHERE recorded >= ? ORDER BY recorded, sequence LIMIT 1
"""
_LAST_UNDATED: Final = "SELECT max(sequence) FROM change WHERE recorded IS NULL"
_FIRST_UNDATED: Final = "SELECT min(sequence) FROM change"
_FILE_BEFORE: Final = "SELECT coalesce(max(id), 0) FROM extract WHERE committed < ?"
_FILE_OF: Final = "SELECT extract FROM change WHERE sequence = ?"

_TAKE_ALL: Final = (
    "Load everything once with `smki-sync export`, and continue from the token that it returns."
)


def read_journal(db: apsw.Connection) -> JournalFeed:
    """Return the content of the journal."""
    row = db.execute(_JOURNAL).fetchone()
    if row is None or row[1] is None:
        raise MirrorDamaged(f"{db.filename} has no date for the start of its journal")
    lineage, since, first, last = row
    return JournalFeed(
        first=last + 1 if first is None else first,
        last=last,
        since=date.fromisoformat(since),
        lineage=lineage,
    )


def start_after(db: apsw.Connection, journal: JournalFeed, place: Place) -> int | JournalGapError:
    """Return the number of the line after which to read, or why there is none."""
    if isinstance(place, FromDate):
        if place.day < journal.since:
            return _too_old(f"{place.day}", journal)
        return _before_day(db, place.day)
    if place.lineage not in (None, journal.lineage):
        return JournalGapError(
            why="That token belongs to another journal: this one began again, or is another mirror's.",
            hint=_TAKE_ALL,
        )
    if place.sequence > journal.last:
        return JournalGapError(
            why=f"The journal has no line {place.sequence} yet, its last is {journal.last}: it belongs to"
            " another mirror, or began again.",
            hint=_TAKE_ALL,
        )
    return (
        _too_old(f"line {place.sequence}", journal) if place.sequence < journal.first - 1 else place.sequence
    )


def read_changes(db: apsw.Connection, after: int) -> Iterator[JournalLine]:
    """Return every line after that number, in order, as a stream."""
    return map(JournalLine._make, db.execute(_LINES, (after,)))


def _too_old(what: str, journal: JournalFeed) -> JournalGapError:
    lines = f"lines {journal.first} to {journal.last}" if journal.last >= journal.first else "no line"
    return JournalGapError(
        why=f"The journal does not reach back to {what}: it is complete from {journal.since} on"
        f" and has {lines}.",
        hint=f"`--since {journal.since}` shows all of it. {_TAKE_ALL}",
    )


def _before_day(db: apsw.Connection, day: date) -> int:
    """Return the number of the line before the first one that was recorded on a date or later."""
    return _first_recorded(db, day) - 1


def _first_recorded(db: apsw.Connection, day: date) -> int:
    """Return the number of the first line recorded on a date or later; the next number if there is none.

    Lines of an upgraded mirror have no time; there the file counts, and lists count with the file before
    them.
    """
    begin = datetime.combine(day, time(), UTC)
    last: int = db.execute(_LAST_UNDATED).get or 0
    if last:
        before = db.execute(_FILE_BEFORE, (begin.strftime("%Y-%m-%dT%H:%M:%SZ"),)).get
        first: int = db.execute(_FIRST_UNDATED).get
        undated = range(first, last + 1)
        place = bisect_left(undated, before, key=lambda n: db.execute(_FILE_OF, (n,)).get)
        if place < len(undated):
            return undated[place]
    found = db.execute(_FIRST, (int(begin.timestamp()),)).get
    newest: int = db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'change'").get
    return newest + 1 if found is None else int(found)
