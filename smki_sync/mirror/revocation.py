"""The lists in force, and the rows that they revoke.

For: ``certificate.revoked``, which takes a certificate out of every In-Use answer whatever its status says.
A list comes into force, its lines take the place of those before, and the rows follow with the digest and
the journal, all in the transaction of the caller. Rows that come later for a revoked serial number are
revoked by the same comparison, which :func:`enforce` makes at the end of every delta and every build: it
costs one look-up a revoked serial number, and nothing a record. Refuses: to read or to judge a list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.mirror.digest import SetDigest
from smki_sync.mirror.issuers import Issuers
from smki_sync.mirror.journal import Change, Changed
from smki_sync.model.certificate import Status
from smki_sync.model.identity import KeyId
from smki_sync.model.lists import HeldList, ListKind, RevocationList

_DUE: Final = """
SELECT c.id, c.serial, c.issuer, c.status, c.withdrawn, c.revoked, min(r.since), c.der
  FROM revocation AS r CROSS JOIN certificate AS c ON c.serial = r.serial AND c.issuer = r.issuer
 GROUP BY c.id HAVING c.revoked IS NOT min(r.since) ORDER BY c.id
"""
"""CROSS: SQLite would rather read the whole of ``certificate``, which comes in the order of its ids."""
_OVER: Final = """
SELECT c.id, c.serial, c.issuer, c.status, c.withdrawn, c.revoked, NULL, c.der
  FROM certificate AS c INDEXED BY certificate_revoked WHERE c.revoked IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM revocation AS r WHERE r.serial = c.serial AND r.issuer = c.issuer)
 ORDER BY c.id
"""
"""INDEXED BY: as above."""
_SET: Final = "UPDATE certificate SET revoked = ? WHERE id = ?"
_HELD: Final = """
SELECT l.file, l.kind, l.issuer, l.key_id, l.number, l.this_update, l.next_update, l.entries, l.sha256,
       l.applied, EXISTS (SELECT 1 FROM certificate AS c
                WHERE c.kind <> 0 AND c.kind = 2 AND c.subject = l.issuer
                  AND coalesce(c.ski, l.key_id) = l.key_id
                  AND c.status = 'I' AND c.withdrawn IS NULL AND c.revoked IS NULL)
  FROM revocation_list AS l WHERE l.in_force ORDER BY l.kind, l.issuer, l.key_id
"""
_BEFORE: Final = "SELECT id FROM revocation_list WHERE in_force AND kind = ? AND issuer = ? AND key_id = ?"
_LIST: Final = """
INSERT INTO revocation_list (file, kind, issuer, key_id, number, this_update, next_update, entries, sha256,
                             applied, in_force, der)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
"""
_LINE: Final = "INSERT OR IGNORE INTO revocation (serial, issuer, list, since, reason) VALUES (?, ?, ?, ?, ?)"


class Identity(NamedTuple):
    """Serial number and issuer id of a certificate."""

    serial: str
    issuer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A certificate that has become revoked, or is so no longer."""

    identity: Identity
    changed: Changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A list that is to come into force: judged good by whoever hands it over.

    ``file``: its name on offer. ``signer``: key identifier of the authority that has signed it. ``at``: UTC,
    ISO 8601.
    """

    file: str
    kind: ListKind
    signer: KeyId
    list: RevocationList
    at: str


def enforce(db: apsw.Connection, digest: SetDigest) -> list[Moved]:
    """Make every row say what the lists in force say; what has changed by that, for the journal."""
    rows: list[tuple[Any, ...]] = [*db.execute(_DUE), *db.execute(_OVER)]
    return [moved for row in rows for moved in _move(db, digest, row)]


def _move(db: apsw.Connection, digest: SetDigest, found: tuple[Any, ...]) -> Iterator[Moved]:
    row, serial, issuer, status, withdrawn, before, since, der = found
    db.execute(_SET, (since, row))
    if before is not None and since is not None:
        return  # revoked as before, only that the list now states another time
    if status == Status.IN_USE and withdrawn is None:
        (digest.add if since is None else digest.remove)(der)
    changed = (
        Changed(row=row, change=Change.UNREVOKED, before=None, after=status)
        if since is None
        else Changed(row=row, change=Change.REVOKED, before=status, after=None)
    )
    yield Moved(identity=Identity(serial, issuer), changed=changed)


def bring_into_force(db: apsw.Connection, arrival: Arrival) -> int:
    """Put a list in the place of the one of the same kind, name and key; its id.

    The rows follow by :func:`enforce`.
    """
    found, signer = arrival.list, arrival.signer
    for (before,) in db.execute(_BEFORE, (arrival.kind, found.issuer, signer)).fetchall():
        db.execute("DELETE FROM revocation WHERE list = ?", (before,))
        db.execute("UPDATE revocation_list SET in_force = 0, der = NULL WHERE id = ?", (before,))
    number = None if found.number is None else str(found.number)
    times = (found.this_update, found.next_update)
    what = (number, *times, len(found.revoked), sha256(found.der).hexdigest(), arrival.at, found.der)
    db.execute(_LIST, (arrival.file, arrival.kind, found.issuer, signer, *what))
    row = db.last_insert_rowid()
    issuer = Issuers(db)[found.issuer]
    db.executemany(_LINE, [(line.serial, issuer, row, line.since, line.reason) for line in found.revoked])
    return row


def read_lists(db: apsw.Connection) -> tuple[HeldList, ...]:
    """The lists in force."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_HELD)
    return tuple(_held(row) for row in rows)


def _held(row: tuple[Any, ...]) -> HeldList:
    file, kind, issuer, key_id, number, this_update, next_update, entries, digest, applied, in_use = row
    return HeldList(
        file=file,
        kind=ListKind(kind),
        issuer=issuer,
        key_id=KeyId(key_id),
        number=None if number is None else int(number),
        this_update=this_update,
        next_update=next_update,
        entries=entries,
        sha256=digest,
        applied=applied,
        signer_in_use=bool(in_use),
    )
