"""Change journal: write, prune, read as a feed, tokens."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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
_LEAVE: Final = """
DELETE FROM change WHERE sequence < coalesce(
    (SELECT sequence FROM change WHERE day >= ? ORDER BY sequence LIMIT 1),
    (SELECT max(sequence) + 1 FROM change))
"""


class ChangeKind(StrEnum):
    """What happened to a certificate, as the journal names it."""

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

    ``row``: id of the certificate. ``before``, ``after``: the status it was and is listed with, ``None``
    where it was or is not listed.
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
        self.recorded = max(int(at.timestamp()), last or 0)
        """Seconds since 1970, UTC, that the lines carry."""

    def write(self, changed: JournalEntry) -> None:
        """Append one line."""
        self._db.execute(
            _CHANGE,
            (
                *(self._day, changed.change, changed.before, changed.after),
                *(self._extract, self._by, self.recorded, changed.row),
            ),
        )


def begin(db: apsw.Connection, *, reached: date) -> None:
    """The first generation stands at ``reached``: from the next day on, every change is written down."""
    db.execute(_BEGIN, ((reached + timedelta(days=1)).isoformat(),))


def prune(db: apsw.Connection, *, position: date, keep_days: int | None) -> None:
    """Leave the lines of the last ``keep_days`` days up to ``position``; ``None`` leaves all."""
    if keep_days is None:
        return
    first = (position - timedelta(days=keep_days - 1)).isoformat()
    if db.execute(_MOVE + " RETURNING TRUE", (first, first)).get:
        db.execute(_LEAVE, (first,))


_TOKEN: Final = re.compile(r"(?:(?P<lineage>[0-9a-f]{16}):)?(?P<sequence>[0-9]{1,18})", re.ASCII)
"""LINEAGE:SEQUENCE, or a number alone; 18 digits fit SQLite's integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterLine:
    """After the line of this number. ``lineage``: of which journal; ``None`` where nobody said."""

    sequence: int
    lineage: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token, or a number alone; raises ``ValueError``."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r:.60} is no token of a journal")
        return cls(sequence=int(found["sequence"]), lineage=found["lineage"])

    @property
    def token(self) -> str:
        """The same as text, for the next time."""
        return f"{self.lineage}:{self.sequence}" if self.lineage else str(self.sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromDate:
    """From the first line of an extract of this date or a later one."""

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
    """What the journal holds. ``first``, ``last``: numbers of its lines; without any, ``first`` is the next.

    ``since``: every change dated so or later is in it. ``lineage``: 16 hex digits, another after the
    journal began anew.
    """

    first: int
    last: int
    since: date
    lineage: str

    def token(self, sequence: int) -> str:
        """A place in this journal, and in no other."""
        return AfterLine(sequence=sequence, lineage=self.lineage).token


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalGapError:
    """The journal cannot go on from there without a gap. ``why``: what is so; ``hint``: what to do."""

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
_FIRST_FILE: Final = "SELECT min(id) FROM extract WHERE day >= ?"
_FILE_OF: Final = "SELECT extract FROM change WHERE sequence = ?"
_FIRST_BY_LIST: Final = "SELECT min(sequence) FROM change WHERE list IS NOT NULL AND day >= ?"

_TAKE_ALL: Final = "Take the whole state once with `smki-sync export`, and go on from the token that it says."


def read_journal(db: apsw.Connection) -> JournalFeed:
    """What the journal holds now."""
    row = db.execute(_JOURNAL).fetchone()
    if row is None or row[1] is None:
        raise MirrorDamaged(f"{db.filename} does not say from when its journal is whole")
    lineage, since, first, last = row
    return JournalFeed(
        first=last + 1 if first is None else first,
        last=last,
        since=date.fromisoformat(since),
        lineage=lineage,
    )


def start_after(db: apsw.Connection, journal: JournalFeed, place: Place) -> int | JournalGapError:
    """The number of the line after which to read, or why there is none."""
    if isinstance(place, FromDate):
        if place.day < journal.since:
            return _too_old(f"{place.day}", journal)
        return _before_day(db, journal, place.day)
    if place.lineage not in (None, journal.lineage):
        return JournalGapError(
            why="That token is of another journal: this one began anew since, or is another mirror's.",
            hint=_TAKE_ALL,
        )
    if place.sequence > journal.last:
        return JournalGapError(
            why=f"The journal has not come to line {place.sequence}, its last is {journal.last}: it is"
            " another mirror's, or began anew.",
            hint=_TAKE_ALL,
        )
    return (
        _too_old(f"line {place.sequence}", journal) if place.sequence < journal.first - 1 else place.sequence
    )


def read_changes(db: apsw.Connection, after: int) -> Iterator[JournalLine]:
    """Every line after that number, in order, as a stream."""
    return map(JournalLine._make, db.execute(_LINES, (after,)))


def _too_old(what: str, journal: JournalFeed) -> JournalGapError:
    lines = f"lines {journal.first} to {journal.last}" if journal.last >= journal.first else "no line"
    return JournalGapError(
        why=f"The journal does not reach back to {what}: it is whole from {journal.since} on"
        f" and keeps {lines}.",
        hint=f"`--since {journal.since}` shows all of it. {_TAKE_ALL}",
    )


def _before_day(db: apsw.Connection, journal: JournalFeed, day: date) -> int:
    """Lines are in the order of the ledger, so the first of a date is found by halving.

    What a list changed stands under the file before it, whose date is earlier, and has its own index.
    """
    listed = db.execute(_FIRST_BY_LIST, (day.isoformat(),)).get
    file = db.execute(_FIRST_FILE, (day.isoformat(),)).get
    lines = range(journal.first, journal.last + 1)
    before = journal.last
    if file is not None:
        before = journal.first - 1 + bisect_left(lines, file, key=lambda n: db.execute(_FILE_OF, (n,)).get)
    return before if listed is None else min(before, listed - 1)
