"""Lists in force, revoked rows, companion files as published."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.mirror.journal import ChangeKind, JournalEntry
from smki_sync.mirror.ledger import SetDigest
from smki_sync.mirror.rows import Issuers
from smki_sync.mirror.schema import IN_USE
from smki_sync.model.certificate import KeyId, Status
from smki_sync.model.extract import ListInForce, ListKind, RemoteFile, RevocationList
from smki_sync.trust.anchor_slots import SlotCertificate, slot_of
from smki_sync.trust.revocation_lists import ListSigner, Refusal

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


class RevokedIdentity(NamedTuple):
    """Serial number and issuer id of a certificate."""

    serial: str
    issuer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationMove:
    """A certificate that has become revoked, or is so no longer."""

    identity: RevokedIdentity
    changed: JournalEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ListArrival:
    """A list that is to come into force: judged good by whoever hands it over.

    ``file``: its name on offer. ``signer``: key identifier of the authority that has signed it. ``at``: UTC,
    ISO 8601.
    """

    file: str
    kind: ListKind
    signer: KeyId
    list: RevocationList
    at: str


def enforce(db: apsw.Connection, digest: SetDigest) -> list[RevocationMove]:
    """Make every row say what the lists in force say; what has changed by that, for the journal."""
    rows: list[tuple[Any, ...]] = [*db.execute(_DUE), *db.execute(_OVER)]
    return [moved for row in rows for moved in _move(db, digest, row)]


def _move(db: apsw.Connection, digest: SetDigest, found: tuple[Any, ...]) -> Iterator[RevocationMove]:
    row, serial, issuer, status, withdrawn, before, since, der = found
    db.execute(_SET, (since, row))
    if before is not None and since is not None:
        return  # revoked as before, only that the list now states another time
    if status == Status.IN_USE and withdrawn is None:
        (digest.add if since is None else digest.remove)(der)
    changed = (
        JournalEntry(row=row, change=ChangeKind.UNREVOKED, before=None, after=status)
        if since is None
        else JournalEntry(row=row, change=ChangeKind.REVOKED, before=status, after=None)
    )
    yield RevocationMove(identity=RevokedIdentity(serial, issuer), changed=changed)


def bring_into_force(db: apsw.Connection, arrival: ListArrival) -> int:
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


def read_lists(db: apsw.Connection) -> tuple[ListInForce, ...]:
    """The lists in force."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_HELD)
    return tuple(_held(row) for row in rows)


def _held(row: tuple[Any, ...]) -> ListInForce:
    file, kind, issuer, key_id, number, this_update, next_update, entries, digest, applied, in_use = row
    return ListInForce(
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


EVIDENCE_KEPT: Final = 100
"""Refused files that are kept, the newest: a list a day that is wrong for a quarter."""

_KEEP: Final = "INSERT OR REPLACE INTO companion VALUES (?, ?, ?, ?, ?, ?)"
_SET_ASIDE: Final = """
INSERT OR IGNORE INTO refused_companion (name, sha256, code, why, seen, content) VALUES (?, ?, ?, ?, ?, ?)
"""
_FORGET: Final = "DELETE FROM refused_companion WHERE id <= (SELECT max(id) FROM refused_companion) - ?"
_SIGNERS: Final = f"""
SELECT coalesce(c.subject, ''), c.ski, c.role, {IN_USE}, c.der FROM certificate AS c
 WHERE c.kind <> 0 AND c.kind = 2 ORDER BY c.id
"""
_PUBLISHED: Final = "SELECT id, file, region, day, sha256 FROM slot_publication ORDER BY region, id DESC"
_NEWEST: Final = "SELECT sha256 FROM slot_publication WHERE file = ? AND region = ? ORDER BY id DESC LIMIT 1"
_PUBLISH: Final = "INSERT INTO slot_publication (file, region, day, sha256) VALUES (?, ?, ?, ?)"
_BODY: Final = "INSERT OR IGNORE INTO slot_body VALUES (?, ?)"
_BODIES: Final = """
SELECT b.der FROM slot_certificate AS s JOIN slot_body AS b ON b.sha256 = s.sha256
 WHERE s.publication = ? ORDER BY s.place
"""
_USED: Final = f"""
SELECT {IN_USE} FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.serial = ? AND i.name = ? AND c.der = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCompanion:
    """A companion as it was fetched last. ``content``: the octets as served."""

    file: RemoteFile
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the content, 64 hex digits."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One publication of a region's anchor slots. ``day``: date of the run that took it in, ISO 8601."""

    file: str
    region: str
    day: str
    sha256: str
    certificates: tuple[SlotCertificate, ...]


def read_companions(db: apsw.Connection) -> dict[str, StoredCompanion]:
    """What was fetched last, by name."""
    rows: Iterator[tuple[Any, ...]] = db.execute("SELECT name, size, modified, content FROM companion")
    return {
        name: StoredCompanion(
            file=RemoteFile(
                name=name, size=size, modified=datetime.fromisoformat(modified) if modified else None
            ),
            content=content,
        )
        for name, size, modified, content in rows
    }


def keep(db: apsw.Connection, kept: StoredCompanion, at: str) -> None:
    """Remember a companion in the place of what its name had before."""
    file = kept.file
    modified = file.modified.isoformat() if file.modified else None
    db.execute(_KEEP, (file.name, file.size, modified, kept.sha256, at, kept.content))


def set_aside(db: apsw.Connection, kept: StoredCompanion, refusal: Refusal, at: str) -> None:
    """Keep a refused companion as evidence, once for each reason."""
    db.execute(_SET_ASIDE, (kept.file.name, kept.sha256, refusal.code, refusal.why, at, kept.content))
    db.execute(_FORGET, (EVIDENCE_KEPT,))


def read_signers(db: apsw.Connection) -> list[ListSigner]:
    """The organisation authorities of the mirror, whatever their status."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_SIGNERS)
    return [
        ListSigner(subject=subject, ski=ski and KeyId(ski), role=role, in_use=bool(used), der=der)
        for subject, ski, role, used, der in rows
    ]


def publish(db: apsw.Connection, publication: Publication) -> None:
    """Add a publication to the history, unless the newest of that file is the same."""
    file, region, digest = publication.file, publication.region, publication.sha256
    if db.execute(_NEWEST, (file, region)).get == digest:
        return
    db.execute(_PUBLISH, (file, region, publication.day, digest))
    row = db.last_insert_rowid()
    db.executemany(_BODY, [(one.sha256, one.der) for one in publication.certificates])
    places = enumerate(publication.certificates, 1)
    db.executemany(
        "INSERT INTO slot_certificate VALUES (?, ?, ?)", [(row, place, one.sha256) for place, one in places]
    )


def read_publications(db: apsw.Connection) -> list[Publication]:
    """The whole history: regions by name, in each the newest publication first."""
    rows: list[tuple[Any, ...]] = db.execute(_PUBLISHED).fetchall()
    return [
        Publication(
            file=file,
            region=region,
            day=day,
            sha256=digest,
            certificates=tuple(slot_of(der) for (der,) in db.execute(_BODIES, (row,))),
        )
        for row, file, region, day, digest in rows
    ]


def is_in_use(db: apsw.Connection, one: SlotCertificate) -> bool | None:
    """Whether the mirror holds a certificate as In-Use; ``None`` where it does not hold it."""
    found = db.execute(_USED, (one.serial, one.issuer, one.der)).get
    return None if found is None else bool(found)
