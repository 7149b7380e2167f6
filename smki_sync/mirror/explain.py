"""What the mirror knows of one certificate besides its row: lists that revoke it, records set aside.

For: ``show --explain``. Refuses: to judge.
"""

from dataclasses import dataclass
from typing import Final

import apsw

from smki_sync.mirror.held import each

_LISTS: Final = """
SELECT l.file, l.kind, l.number, strftime('%Y-%m-%dT%H:%M:%SZ', r.since, 'unixepoch'), r.reason
  FROM revocation AS r JOIN revocation_list AS l ON l.id = r.list JOIN issuer AS i ON i.id = r.issuer
 WHERE r.serial = ? AND i.name = ? ORDER BY r.since
"""
_RECORDS: Final = """
SELECT x.name, q.number, q.reason FROM quarantine AS q JOIN extract AS x ON x.id = q.extract
 WHERE instr(upper(CAST(q.xml AS TEXT)), ?1) OR instr(upper(q.detail), ?1) ORDER BY q.id LIMIT ?2
"""

RECORDS_LIMIT: Final = 5
"""Records in quarantine that are named; the quarantine itself has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoking:
    """A list in force that revokes a certificate. ``since``: UTC, ISO 8601. ``reason``: in its words."""

    file: str
    kind: str
    number: str | None
    since: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A record in quarantine that speaks of a serial number. ``number``: its place in ``file``."""

    file: str
    number: int
    reason: str


def lists_revoking(db: apsw.Connection, serial: str, issuer: str) -> list[Revoking]:
    """The lists in force that name a certificate."""
    return [
        Revoking(file=file, kind=kind, number=number, since=since, reason=reason)
        for file, kind, number, since, reason in each(db, _LISTS, serial, issuer)
    ]


def records_aside(db: apsw.Connection, serial: str) -> list[Aside]:
    """Records in quarantine in which a serial number stands."""
    found = each(db, _RECORDS, serial, RECORDS_LIMIT)
    return [Aside(file=file, number=number, reason=reason) for file, number, reason in found]
