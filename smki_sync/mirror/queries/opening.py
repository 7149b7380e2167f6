"""The current mirror, open for reading.

For: every question. One ``with`` is one snapshot: whatever is asked inside it is answered from one state.
Refuses: a file that is no mirror of this program and this version.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.connect import connect_to_read
from smki_sync.mirror.faults import named, sqlite_named
from smki_sync.mirror.schema import APPLICATION_ID, SCHEMA_VERSION

Connection = apsw.Connection
"""What :func:`open_mirror` gives and every question takes."""


@contextmanager
def open_mirror(link: Path) -> Iterator[Connection]:
    """Open the current mirror for reading; :class:`MirrorDamaged` where it is none of ours."""
    with named(link):
        db = connect_to_read(link)
    with sqlite_named(link), closing(db):
        _check_ours(db, link)
        with db:
            yield db


def _check_ours(db: apsw.Connection, link: Path) -> None:
    if db.pragma("application_id") != APPLICATION_ID:
        raise MirrorDamaged(f"{link} is no mirror of this program")
    version = db.pragma("user_version")
    if version != SCHEMA_VERSION:
        raise MirrorDamaged(f"{link} has schema {version}, this program reads {SCHEMA_VERSION}")
