"""Lists in force, the rows that they revoke, revoked authorities, and companion files as published."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import apsw

from smki_sync.mirror.journal import ChangeKind, JournalEntry
from smki_sync.mirror.rows import Issuers
from smki_sync.mirror.schema import BELOW, IN_USE
from smki_sync.mirror.set_digest import SetDigest
from smki_sync.model.certificate import KeyId, Status
from smki_sync.model.extract import ListInForce, ListKind, RemoteFile, RevocationList
from smki_sync.trust.anchor_slots import SlotCertificate, slot_of
from smki_sync.trust.authority_revocation import AuthorityRecord, RevokedAuthorities, RevokedAuthority
from smki_sync.trust.revocation_lists import ListSigner, Refusal, is_complete, is_successor, read_list
from smki_sync.x509 import NotACertificate, read_facts
from smki_sync.x509.fields import normalise_name
from smki_sync.x509.revocation_list import NotAList

# Lists in force.

_HELD: Final = """
SELECT l.file, l.kind, l.issuer, l.key_id, l.number, l.this_update, l.next_update, l.entries, l.sha256,
       l.applied, l.scope, l.in_force, l.id
  FROM revocation_list AS l WHERE l.in_force ORDER BY l.kind, l.issuer, l.key_id, l.scope, l.id
"""
_ACTIVE: Final = f"""
SELECT coalesce(c.subject, ''), c.ski FROM certificate AS c WHERE c.kind <> 0 AND c.kind = 2 AND {IN_USE}
"""
_LIST: Final = """
INSERT INTO revocation_list (file, kind, issuer, key_id, number, this_update, next_update, entries, sha256,
                             applied, in_force, der, scope, complete)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)
"""
_ENTRY: Final = (
    "INSERT OR IGNORE INTO revocation (serial, issuer, list, since, reason) VALUES (?, ?, ?, ?, ?)"
)
_FORGOTTEN: Final = 2
"""``in_force`` of a list that any other list may replace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListArrival:
    """A list that comes into force, after all checks.

    ``file``: its name in the Repository. ``signer``: key identifier of the authority that has signed it.
    ``at``: UTC, ISO 8601.
    """

    file: str
    kind: ListKind
    signer: KeyId
    list: RevocationList
    at: str


def bring_into_force(db: apsw.Connection, arrival: ListArrival) -> int:
    """Replace the list of the same kind, issuer, key and scope. Return the id of the new list.

    The rows follow with :func:`enforce`.
    """
    found, signer = arrival.list, arrival.signer
    for number, before in _lists(db):
        if is_successor(found, arrival.kind, signer, before):
            _retire(db, number)
    digits = None if found.number is None else str(found.number)
    times = (found.this_update, found.next_update)
    content = (digits, *times, len(found.revoked), sha256(found.der).hexdigest(), arrival.at, found.der)
    scope = (found.scope, is_complete(arrival.kind, found.scope))
    db.execute(_LIST, (arrival.file, arrival.kind, found.issuer, signer, *content, *scope))
    row = db.last_insert_rowid()
    own = Issuers(db)[found.issuer]
    link_equal_issuers(db)
    issuer: int = db.execute("SELECT coalesce(same_as, id) FROM issuer WHERE id = ?", (own,)).get
    entries = ((entry.serial, issuer, row, entry.since, entry.reason) for entry in found.revoked)
    db.executemany(_ENTRY, entries)
    return row


def mark_forgotten(db: apsw.Connection, issuer: str) -> int:
    """Let any list replace those in force of an issuer, by name or key identifier. Return how many.

    They stay in force until then, or until :func:`drop_forgotten`.
    """
    name = normalise_name(issuer)
    found = [
        row
        for row, held in _lists(db)
        if normalise_name(held.issuer) == name or held.key_id == issuer.strip().upper()
    ]
    for row in found:
        db.execute("UPDATE revocation_list SET in_force = ? WHERE id = ?", (_FORGOTTEN, row))
    return len(found)


def drop_forgotten(db: apsw.Connection) -> int:
    """Put every forgotten list that was not replaced out of force. Return how many."""
    rows = [row for row, held in _lists(db) if held.forgotten]
    for row in rows:
        _retire(db, row)
    return len(rows)


def newest_list(db: apsw.Connection) -> int | None:
    """Return the id of the list that was applied last."""
    newest: int | None = db.execute("SELECT max(id) FROM revocation_list").get
    return newest


def _retire(db: apsw.Connection, row: int) -> None:
    db.execute("DELETE FROM revocation WHERE list = ?", (row,))
    db.execute("UPDATE revocation_list SET in_force = 0, der = NULL WHERE id = ?", (row,))


def read_lists(db: apsw.Connection) -> tuple[ListInForce, ...]:
    """Read the lists in force."""
    return tuple(held for _, held in _lists(db))


def _lists(db: apsw.Connection) -> list[tuple[int, ListInForce]]:
    rows: list[tuple[Any, ...]] = db.execute(_HELD).fetchall()
    active: list[tuple[Any, ...]] = db.execute(_ACTIVE).fetchall() if rows else []
    signers = {(normalise_name(subject), ski) for subject, ski in active}
    return [(row[-1], _list_in_force(row, signers)) for row in rows]


def _list_in_force(row: tuple[Any, ...], signers: Collection[tuple[str, str | None]]) -> ListInForce:
    file, kind, issuer, key_id, number, *times, entries, digest, applied, scope, state, _ = row
    this_update, next_update = times
    name = normalise_name(issuer)
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
        signer_in_use=(name, key_id) in signers or (name, None) in signers,
        scope=scope,
        forgotten=state == _FORGOTTEN,
    )


_SIGNERS: Final = f"""
SELECT coalesce(c.subject, ''), c.ski, c.role, {IN_USE}, c.der FROM certificate AS c
 WHERE c.kind <> 0 AND c.kind = 2 ORDER BY c.id
"""


def read_signers(db: apsw.Connection) -> list[ListSigner]:
    """Read the organisation authorities of the mirror, of any status."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_SIGNERS)
    return [
        ListSigner(subject=subject, ski=ski and KeyId(ski), role=role, in_use=bool(used), der=der)
        for subject, ski, role, used, der in rows
    ]


# Rows that the lists revoke.

_DUE: Final = """
SELECT c.id, c.serial, c.issuer, c.status, c.withdrawn, c.revoked, min(r.since), c.der
  FROM revocation AS r CROSS JOIN issuer AS i ON coalesce(i.same_as, i.id) = r.issuer
 CROSS JOIN certificate AS c ON c.serial = r.serial AND c.issuer = i.id
 GROUP BY c.id HAVING c.revoked IS NOT min(r.since) ORDER BY c.id
"""
"""CROSS: without it, SQLite reads the whole of ``certificate``, because that has the order of its ids."""
_OVER: Final = """
SELECT c.id, c.serial, c.issuer, c.status, c.withdrawn, c.revoked, NULL, c.der
  FROM certificate AS c INDEXED BY certificate_revoked WHERE c.revoked IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM issuer AS i CROSS JOIN revocation AS r
                    WHERE i.id = c.issuer AND r.serial = c.serial AND r.issuer = coalesce(i.same_as, i.id))
 ORDER BY c.id
"""
"""INDEXED BY: for the same reason."""
_SET: Final = "UPDATE certificate SET revoked = ? WHERE id = ?"


class RevokedIdentity(NamedTuple):
    """Serial number and issuer id of a certificate."""

    serial: str
    issuer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationMove:
    """A certificate that has become revoked, or is no longer."""

    identity: RevokedIdentity
    changed: JournalEntry


def enforce(db: apsw.Connection, digest: SetDigest) -> list[RevocationMove]:
    """Make every row agree with the lists in force. Return what has changed, for the journal."""
    link_equal_issuers(db)
    rows: list[tuple[Any, ...]] = [*db.execute(_DUE), *db.execute(_OVER)]
    moves = [move for row in rows for move in _move(db, digest, row)]
    _write_revoked_authorities(db)
    return moves


def _move(db: apsw.Connection, digest: SetDigest, found: tuple[Any, ...]) -> Iterator[RevocationMove]:
    row, serial, issuer, status, withdrawn, before, since, der = found
    db.execute(_SET, (since, row))
    if before is not None and since is not None:
        return  # revoked as before; only the time has changed
    if status == Status.IN_USE and withdrawn is None:
        (digest.add if since is None else digest.remove)(der)
    changed = (
        JournalEntry(row=row, change=ChangeKind.UNREVOKED, before=None, after=status)
        if since is None
        else JournalEntry(row=row, change=ChangeKind.REVOKED, before=status, after=None)
    )
    yield RevocationMove(identity=RevokedIdentity(serial, issuer), changed=changed)


def link_equal_issuers(db: apsw.Connection) -> None:
    """Mark issuers whose names RFC 5280 7.1 calls equal, so that the lists of one revoke for all."""
    rows: list[tuple[Any, ...]] = db.execute("SELECT id, name, same_as FROM issuer ORDER BY id").fetchall()
    first: dict[str, int] = {}
    for row, name, same_as in rows:
        earlier = first.setdefault(normalise_name(name), row)
        if earlier not in (row, same_as):
            db.execute("UPDATE issuer SET same_as = ? WHERE id = ?", (earlier, row))


_CONTENT: Final = "SELECT id, kind, der FROM revocation_list WHERE der IS NOT NULL"


def upgrade_lists(db: apsw.Connection) -> None:
    """Fill the columns of :data:`~.schema.LIST_UPGRADE` from what a mirror of version 5 has."""
    link_equal_issuers(db)
    rows: list[tuple[Any, ...]] = db.execute(_CONTENT).fetchall()
    for row, kind, der in rows:
        try:
            scope = read_list(der).scope
        except NotAList:  # an older parser accepted it; it stays in force as a complete list
            continue
        complete = is_complete(ListKind(kind), scope)
        db.execute("UPDATE revocation_list SET scope = ?, complete = ? WHERE id = ?", (scope, complete, row))
    _write_revoked_authorities(db)


# Revoked authorities. They are derived from the rows of authorities; certificates below have no mark.

_AUTHORITIES: Final = f"""
SELECT coalesce(c.subject, ''), c.serial, i.name, c.ski, {IN_USE}, c.der,
       coalesce(c.revoked, CASE WHEN c.status = 'R' THEN c.last_changed * 86400 END)
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer WHERE c.kind <> 0 AND c.kind IN (2, 3)
"""
_BELOW: Final = f"""
SELECT a.subject, a.serial, a.since, count(*) FROM certificate AS c JOIN revoked_authority AS a ON {BELOW}
 WHERE {IN_USE} GROUP BY a.subject, a.serial ORDER BY a.subject, a.serial
"""
_ABOVE: Final = f"""
SELECT a.subject, a.serial, a.key_id, a.since FROM certificate AS c JOIN revoked_authority AS a ON {BELOW}
  JOIN issuer AS i ON i.id = c.issuer WHERE c.serial = ? AND i.name = ? ORDER BY a.since LIMIT 1
"""


def read_revoked_authorities(db: apsw.Connection) -> RevokedAuthorities:
    """Find the revoked authorities from the rows of all authorities."""
    rows: list[tuple[Any, ...]] = db.execute(_AUTHORITIES).fetchall()
    return RevokedAuthorities(
        AuthorityRecord(
            subject=subject,
            serial=serial,
            issuer=issuer,
            key_id=KeyId(ski or ""),
            aki=_aki(der),
            in_use=bool(in_use),
            revoked=revoked,
        )
        for subject, serial, issuer, ski, in_use, der, revoked in rows
    )


def _aki(der: bytes) -> KeyId | None:
    try:
        return read_facts(der).aki
    except NotACertificate:
        return None


def _write_revoked_authorities(db: apsw.Connection) -> None:
    """Write the names and keys of revoked authorities, so that SQL can find what is below them."""
    found = read_revoked_authorities(db)
    db.execute("DELETE FROM revoked_authority")
    if not found:
        return
    issuers: list[tuple[Any, ...]] = db.execute("SELECT id, name FROM issuer").fetchall()
    for issuer, name in issuers:
        for key_id, one in found.keys_of(name):
            key = b"" if key_id is None else bytes.fromhex(key_id)
            db.execute(
                "INSERT OR IGNORE INTO revoked_authority VALUES (?, ?, ?, ?, ?)",
                (issuer, key, one.subject, one.serial, one.since),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityImpact:
    """A revoked authority, and how many In-Use certificates are below it. ``since``: seconds, UTC."""

    subject: str
    serial: str
    since: int
    certificates: int


def count_below_revoked(db: apsw.Connection) -> tuple[AuthorityImpact, ...]:
    """Count the In-Use certificates below each revoked authority. Reads every row if there is one."""
    if not db.execute("SELECT EXISTS (SELECT 1 FROM revoked_authority)").get:
        return ()
    rows: Iterator[tuple[Any, ...]] = db.execute(_BELOW)
    return tuple(
        AuthorityImpact(subject=subject, serial=serial, since=since, certificates=count)
        for subject, serial, since, count in rows
    )


def revoked_above(db: apsw.Connection, serial: str, issuer: str) -> RevokedAuthority | None:
    """Find the revoked authority above a certificate of the mirror, if there is one."""
    row: tuple[Any, ...] | None = db.execute(_ABOVE, (serial, issuer)).fetchone()
    if row is None:
        return None
    subject, number, key_id, since = row
    return RevokedAuthority(subject=subject, serial=number, key_id=KeyId(key_id.hex().upper()), since=since)


# Companion files.

EVIDENCE_COUNT: Final = 100
"""Refused files that are kept, the newest: one wrong list each day for a quarter of a year."""

EVIDENCE_BYTES: Final = 64 << 20
"""Bytes of refused files that are kept. The newest is always kept."""

PARSER_VERSION: Final = 1
"""Raised whenever a parser accepts more. Files that an earlier one could not read are then read again."""

_KEEP: Final = "INSERT OR REPLACE INTO companion VALUES (?, ?, ?, ?, ?, ?)"
_REFUSE: Final = """
INSERT INTO refused_companion (name, sha256, code, why, seen, content, reader) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET why = excluded.why, reader = excluded.reader
"""
_REFUSED: Final = """
SELECT why FROM refused_companion WHERE name = ? AND sha256 = ? AND code = ? AND reader = ?
"""
_EVIDENCE: Final = "SELECT id, length(content) FROM refused_companion ORDER BY id DESC"
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
    """A companion file as it was downloaded last. ``content``: as served."""

    file: RemoteFile
    content: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, 64 hex digits."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One publication of the anchor slots of a region. ``day``: date of the run that read it, ISO 8601."""

    file: str
    region: str
    day: str
    sha256: str
    certificates: tuple[SlotCertificate, ...]


def read_companion_files(db: apsw.Connection) -> dict[str, RemoteFile]:
    """Return the listing entry of each stored companion file, by name."""
    rows: Iterator[tuple[Any, ...]] = db.execute("SELECT name, size, modified FROM companion")
    return {
        name: RemoteFile(
            name=name, size=size, modified=datetime.fromisoformat(modified) if modified else None
        )
        for name, size, modified in rows
    }


def read_companion(db: apsw.Connection, name: str) -> StoredCompanion | None:
    """Read one stored companion file."""
    file = read_companion_files(db).get(name)
    if file is None:
        return None
    content: bytes = db.execute("SELECT content FROM companion WHERE name = ?", (name,)).get
    return StoredCompanion(file=file, content=content)


def store_companion(db: apsw.Connection, companion: StoredCompanion, at: str) -> None:
    """Store a companion file, in place of an earlier one with its name."""
    file = companion.file
    modified = file.modified.isoformat() if file.modified else None
    db.execute(_KEEP, (file.name, file.size, modified, companion.sha256, at, companion.content))


def remove_other_companions(db: apsw.Connection, names: Collection[str]) -> None:
    """Delete the stored companion files that are not among ``names``."""
    for name in read_companion_files(db).keys() - set(names):
        db.execute("DELETE FROM companion WHERE name = ?", (name,))


def store_refused(db: apsw.Connection, companion: StoredCompanion, refusal: Refusal, at: str) -> None:
    """Keep a refused companion file as evidence, once for each reason."""
    evidence = (companion.file.name, companion.sha256, refusal.code, refusal.why, at, companion.content)
    db.execute(_REFUSE, (*evidence, PARSER_VERSION))
    total = 0
    rows: list[tuple[Any, ...]] = db.execute(_EVIDENCE).fetchall()
    for place, (row, size) in enumerate(rows):
        total += size
        if place and (place >= EVIDENCE_COUNT or total > EVIDENCE_BYTES):
            db.execute("DELETE FROM refused_companion WHERE id = ?", (row,))


def known_refusal(db: apsw.Connection, companion: StoredCompanion, code: str) -> str | None:
    """Return why the same bytes were refused with this code before, by this version of the parser."""
    key = (companion.file.name, companion.sha256, code, PARSER_VERSION)
    why: str | None = db.execute(_REFUSED, key).get
    return why


def publish(db: apsw.Connection, publication: Publication) -> None:
    """Add a publication to the history, unless the newest of its file is the same."""
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
    """Read the whole history: regions by name, in each the newest publication first."""
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
    """Whether a certificate is In-Use in the mirror. ``None``: the mirror does not have it."""
    found = db.execute(_USED, (one.serial, one.issuer, one.der)).get
    return None if found is None else bool(found)
