"""Connections to a generation's file: for writing, and for reading.

For: whoever opens one; how long to wait and what to keep is said here, once. Refuses: to look at what the
file holds.
"""

import os
from pathlib import Path
from typing import Final

import apsw

from smki_sync.errors import MirrorError
from smki_sync.mirror.connection import no_file

_BUSY_MS: Final = 60_000  # readers of a WAL file never block a writer; this is for a checkpoint alone
_CACHE_KIB: Final = -65_536  # 64 MiB of pages: the index paths of a delta at 5 million rows
_STEPS: Final = 100_000  # SQLite's own instructions between two looks for a signal: some 10 ms of work
_MAY_READ: Final = "Let this user read it: who may read the mirror directory may read every file of it."


def connect(path: Path, *, create: bool = False) -> apsw.Connection:
    """Open a generation's file for writing, its temporary files beside it."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI  # a build attaches the old one by URI
    flags |= apsw.SQLITE_OPEN_CREATE if create else 0
    db = apsw.Connection(str(path.absolute()), flags=flags)
    db.set_busy_timeout(_BUSY_MS)
    db.set_progress_handler(_breathe, _STEPS)
    db.transaction_mode = "IMMEDIATE"
    db.execute(f"PRAGMA cache_size = {_CACHE_KIB}")
    return db


def connect_to_read(path: Path) -> apsw.Connection:
    """Open a generation, or the link to the current one, for reading; waits for nobody but a recovery.

    Raises :class:`MirrorError` where it is no file, or none that this user may read: SQLite would say of
    either that it is unable to open it, and wait for a pipe.
    """
    if not path.is_file():
        raise no_file(path)
    if not os.access(path, os.R_OK):
        raise MirrorError(f"{path} cannot be read by this user", hint=_MAY_READ)
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    db.set_busy_timeout(_BUSY_MS)
    db.set_progress_handler(_breathe, _STEPS)
    return db


def sqlite_version() -> str:
    """The version of the SQLite that opens generations."""
    return apsw.sqlite_lib_version()


def _breathe() -> bool:
    """Let Python run the handler of a signal that has come, in the middle of a long statement.

    A handler runs between two instructions of Python, and while an index is sorted there would be none
    for minutes. What it raises ends the statement.
    """
    return False


def keep_side_files(db: apsw.Connection) -> None:
    """Leave ``-wal`` and ``-shm`` in place on closing: a reader who may not write cannot make them."""
    import ctypes  # noqa: PLC0415 - only writers need it

    yes = ctypes.c_int(1)
    db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(yes))
