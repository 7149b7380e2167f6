"""The current mirror, open for reading.

For: every question. One ``with`` is one snapshot: whatever is asked inside it is answered from one state.
Refuses: a file that is no mirror of this program and this version.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from smki_sync.errors import MirrorDamaged, OtherSchema
from smki_sync.mirror.connect import connect_to_read
from smki_sync.mirror.connection import named, sqlite_named
from smki_sync.mirror.schema import APPLICATION_ID, SCHEMA_VERSION

Connection = apsw.Connection
"""What :func:`open_mirror` gives and every question takes."""


@contextmanager
def open_mirror(link: Path) -> Iterator[Connection]:
    """Open the current mirror for reading.

    Raises :class:`MirrorDamaged` where it is none of ours, :class:`OtherSchema` where another version's.
    """
    with named(link):
        db = connect_to_read(link)
    with sqlite_named(link), closing(db):
        _check_ours(db, link)
        with db:
            yield db


def check_schema(link: Path) -> None:
    """Raise what :func:`open_mirror` raises, :class:`OtherSchema` among it."""
    with open_mirror(link):
        pass


def _check_ours(db: apsw.Connection, link: Path) -> None:
    if db.pragma("application_id") != APPLICATION_ID:
        raise MirrorDamaged(f"{link} is no mirror of this program")
    version = db.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise OtherSchema(
            f"{link} was written by a newer version of this program: schema {version}; this one reads"
            f" {SCHEMA_VERSION}",
            code="schema-newer",
            hint="Use that version again. `smki-sync sync --full` makes a mirror for this one from a full;"
            " its journal begins anew.",
        )
    if version < SCHEMA_VERSION:
        raise OtherSchema(
            f"{link} was written by an earlier version of this program: schema {version}; this one reads"
            f" {SCHEMA_VERSION}",
            code="schema-older",
            hint="Run `smki-sync sync`: it makes the mirror anew from a full.",
        )
