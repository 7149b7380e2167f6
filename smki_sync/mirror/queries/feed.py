"""The journal, in order: what has changed since a place in it.

For: ``changes``, and whoever keeps a copy. A consumer that keeps the token of the last line it has seen
gets every later line once, across deltas and resyncs. Refuses: to begin where lines are missing; then
the answer is a :class:`Gap`, in words.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.queries.place import AfterLine, OnDay, Place


class Line(NamedTuple):
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
class Journal:
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
class Gap:
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


def read_journal(db: apsw.Connection) -> Journal:
    """What the journal holds now."""
    row = db.execute(_JOURNAL).fetchone()
    if row is None or row[1] is None:
        raise MirrorDamaged(f"{db.filename} does not say from when its journal is whole")
    lineage, since, first, last = row
    return Journal(
        first=last + 1 if first is None else first,
        last=last,
        since=date.fromisoformat(since),
        lineage=lineage,
    )


def start_after(db: apsw.Connection, journal: Journal, place: Place) -> int | Gap:
    """The number of the line after which to read, or why there is none."""
    if isinstance(place, OnDay):
        if place.day < journal.since:
            return _too_old(f"{place.day}", journal)
        return _before_day(db, journal, place.day)
    if place.lineage not in (None, journal.lineage):
        return Gap(
            why="That token is of another journal: this one began anew since, or is another mirror's.",
            hint=_TAKE_ALL,
        )
    if place.sequence > journal.last:
        return Gap(
            why=f"The journal has not come to line {place.sequence}, its last is {journal.last}: it is"
            " another mirror's, or began anew.",
            hint=_TAKE_ALL,
        )
    return (
        _too_old(f"line {place.sequence}", journal) if place.sequence < journal.first - 1 else place.sequence
    )


def read_changes(db: apsw.Connection, after: int) -> Iterator[Line]:
    """Every line after that number, in order, as a stream."""
    return map(Line._make, db.execute(_LINES, (after,)))


def _too_old(what: str, journal: Journal) -> Gap:
    lines = f"lines {journal.first} to {journal.last}" if journal.last >= journal.first else "no line"
    return Gap(
        why=f"The journal does not reach back to {what}: it is whole from {journal.since} on"
        f" and keeps {lines}.",
        hint=f"`--since {journal.since}` shows all of it. {_TAKE_ALL}",
    )


def _before_day(db: apsw.Connection, journal: Journal, day: date) -> int:
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
