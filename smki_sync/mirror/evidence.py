"""Evidence for a past day: the journal lines of one certificate, and the files and lists behind them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.mirror.inspection import each_row
from smki_sync.timestamps import text_of

_LINES: Final = """
SELECT j.sequence, j.day, j.change, j.before, j.after,
       coalesce(j.recorded, CAST(strftime('%s', x.committed) AS INTEGER)),
       x.name, x.sha256, x.committed, l.file, l.number, l.sha256, l.applied, l.this_update
  FROM change AS j JOIN issuer AS i ON i.id = j.issuer
  JOIN extract AS x ON x.id = j.extract
  LEFT JOIN revocation_list AS l ON l.id = j.list
 WHERE j.serial = ? AND i.name = ? ORDER BY j.sequence
"""
_FULLS: Final = """
SELECT name, sha256, committed, day FROM extract
 WHERE kind <> 'delta' AND superseded <> 1 AND day <= ? ORDER BY day DESC, id DESC LIMIT 1
"""
_COVERAGE: Final = """
SELECT m.journal_from, m.position, m.lineage, (SELECT min(committed) FROM extract) FROM mirror AS m
"""


class SourceFile(NamedTuple):
    """A file that was applied. ``sha256``: as served, of a list: of its DER. ``applied``: UTC, ISO 8601."""

    name: str
    sha256: str
    applied: str


class HistoryLine(NamedTuple):
    """One line of the journal about a certificate.

    ``day``: of the extract; of a list, the day on which it was issued. ``recorded_at``: when the mirror
    recorded the change, UTC. ``source``: the extract or list that caused it.
    """

    sequence: int
    day: str
    change: str
    before: str | None
    after: str | None
    recorded_at: str
    source: SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """``first``: changes of this date and later are in the journal. ``begun``: first file applied, UTC."""

    first: date
    position: date
    lineage: str
    begun: str


def read_coverage(db: apsw.Connection) -> Coverage:
    """Return the days that the journal covers."""
    first, position, lineage, begun = db.execute(_COVERAGE).get
    return Coverage(
        first=date.fromisoformat(first),
        position=date.fromisoformat(position),
        lineage=lineage,
        begun=begun,
    )


def read_history(db: apsw.Connection, serial: str, issuer: str) -> list[HistoryLine]:
    """Return every journal line about a certificate, in the order in which they were recorded."""
    return [_line(row) for row in each_row(db, _LINES, serial, issuer)]


def _line(row: tuple[Any, ...]) -> HistoryLine:
    sequence, day, change, before, after, recorded_at, name, sha256, committed, *found = row
    file, number, list_sha256, applied, this_update = found
    source = SourceFile(name, sha256, committed)
    if file is not None:
        source = SourceFile(f"{file} number {number}" if number else file, list_sha256, applied)
        day = min(day, text_of(this_update)[:10])
    return HistoryLine(sequence, day, change, before, after, text_of(recorded_at), source)


def newest_full(db: apsw.Connection, day: date) -> SourceFile | None:
    """Return the newest full of this date or earlier that was applied."""
    rows: Iterator[tuple[Any, ...]] = each_row(db, _FULLS, day.isoformat())
    return next((SourceFile(name, sha256, applied) for name, sha256, applied, _ in rows), None)
