"""A mirror whose certificates are real to the last octet, and ways to damage it behind its back."""

import sqlite3
from base64 import b64encode
from collections.abc import Iterable
from contextlib import closing
from datetime import date
from pathlib import Path

from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.model.certificate import Claims, Entry
from smki_sync.records import parse_record
from support.mirror_builders import apply, build

FULL_DAY = date(2026, 11, 9)


def entries(ders: Iterable[bytes], status: str = "I") -> list[Entry]:
    """Records of an extract that claim nothing but a status."""
    made = [
        parse_record(number, Claims(status=status, body=b64encode(der).decode()))
        for number, der in enumerate(ders, 1)
    ]
    assert all(isinstance(one, Entry) for one in made), made
    return [one for one in made if isinstance(one, Entry)]


def mirror_of(
    root: Path, ders: Iterable[bytes], *, others: dict[str, list[bytes]] | None = None
) -> MirrorDirectory:
    """A mirror directory that holds certificates In-Use, and ``others`` by their status."""
    directory = MirrorDirectory(root)
    directory.prepare()
    generation = directory.next_generation()
    records = [*entries(ders)]
    for status, some in (others or {}).items():
        records += entries(some, status)
    build(generation, records, day=FULL_DAY)
    directory.publish(generation)
    return directory


def added(directory: MirrorDirectory, day: date, ders: Iterable[bytes]) -> None:
    """A delta with these certificates."""
    generation = directory.current()
    assert generation is not None
    apply(generation, day, entries(ders))


def tampered(directory: MirrorDirectory, *statements: str) -> None:
    """Change a mirror with plain sqlite3, as nobody should."""
    with closing(sqlite3.connect(directory.link)) as db, db:
        for statement in statements:
            db.execute(statement)
