"""Lists and anchor slots as they were served, what was refused, and the history of the slots.

For: fetching only what has changed, judging again what could not be judged before, and evidence. All of it
goes from generation to generation. Refuses: to read a file, to decide what is good.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import apsw

from smki_sync.mirror.schema import IN_USE
from smki_sync.model.extract import RemoteFile
from smki_sync.model.identity import KeyId
from smki_sync.trust.anchor_slots import SlotCertificate, slot_of
from smki_sync.trust.revocation_lists import Refusal, Signer

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
class Kept:
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


def read_companions(db: apsw.Connection) -> dict[str, Kept]:
    """What was fetched last, by name."""
    rows: Iterator[tuple[Any, ...]] = db.execute("SELECT name, size, modified, content FROM companion")
    return {
        name: Kept(
            file=RemoteFile(
                name=name, size=size, modified=datetime.fromisoformat(modified) if modified else None
            ),
            content=content,
        )
        for name, size, modified, content in rows
    }


def keep(db: apsw.Connection, kept: Kept, at: str) -> None:
    """Remember a companion in the place of what its name had before."""
    file = kept.file
    modified = file.modified.isoformat() if file.modified else None
    db.execute(_KEEP, (file.name, file.size, modified, kept.sha256, at, kept.content))


def set_aside(db: apsw.Connection, kept: Kept, refusal: Refusal, at: str) -> None:
    """Keep a refused companion as evidence, once for each reason."""
    db.execute(_SET_ASIDE, (kept.file.name, kept.sha256, refusal.code, refusal.why, at, kept.content))
    db.execute(_FORGET, (EVIDENCE_KEPT,))


def read_signers(db: apsw.Connection) -> list[Signer]:
    """The organisation authorities of the mirror, whatever their status."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_SIGNERS)
    return [
        Signer(subject=subject, ski=ski and KeyId(ski), role=role, in_use=bool(used), der=der)
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
