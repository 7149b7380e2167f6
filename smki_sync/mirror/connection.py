"""Open generations, and translate SQLite and disk errors."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from smki_sync.errors import (
    InternalError,
    MirrorDamaged,
    MirrorError,
    MirrorNotWritable,
    OutOfMemory,
    ResourceError,
    SmkiSyncError,
)

LINK_NAME: Final = "mirror.db"
"""Name of the link in the mirror directory that readers open."""

_NOT_WRITABLE: Final = (apsw.FullError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.CantOpenError)
_DAMAGED: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
_DAMAGED_SCHEMA: Final = (
    *("no such table", "no such column", "no such index", "has no column", "malformed", "error in "),
    *("unsupported file format", "text encoding", "circularly defined"),
)
"""Messages that mean damage: all statements are constants, so a missing table must have existed."""
_NOTHING_TO_ROLL_BACK: Final = "no transaction is active"
_NO_DIRECTORY: Final = "not a writable directory"  # SQLite's message about a directory for temporary files
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FREE_SPACE: Final = (
    "Free space on that file system, or lift the limit on it; the state before this run is whole."
)
_LOOK_AT_DISK: Final = (
    "Free space on that file system and look at the disk's health; the state before this run is whole."
)
_CLOSE_OTHERS: Final = "Close the program that writes to this file, then run again."
_LOCAL_DISK: Final = "Move the mirror to a local file system with locks and shared memory."
_RESOURCE_ERRORS: Final = (
    ((apsw.IOError,), "SQLite cannot read or write", _LOOK_AT_DISK),
    ((apsw.BusyError, apsw.LockedError), "Another program has locked", _CLOSE_OTHERS),
    ((apsw.NoLFSError, apsw.ProtocolError), "The file system does not support SQLite:", _LOCAL_DISK),
)
_RESTORE: Final = "Run `smki-sync restore`: it rebuilds the mirror from the Repository or an archive."
_CHECK_ACCESS: Final = (
    "Check that the directory exists and that the user of this program may read it and write in it."
)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate errors of SQLite and of the file system under ``path`` into errors of this program."""
    try:
        with mirror_errors(path):
            yield
    except OSError as exc:
        failed = exc.filename2 or exc.filename or path  # filename2 is the target of a link or a move
        raise MirrorNotWritable(f"{failed}: {exc.strerror}", hint=_advice(exc)) from exc


@contextmanager
def mirror_errors(path: Path) -> Iterator[None]:
    """Translate errors of SQLite only, for a block that runs a caller's code."""
    try:
        yield
    except apsw.Error as exc:
        first = _first_of(exc)
        if not isinstance(first, apsw.Error):
            raise first from None
        raise _fault(first, path) from first


def no_file(path: Path) -> MirrorError:
    """Return the error for a mirror that is missing, a broken link or not a file.

    If the directory is missing too, the disk was unmounted or moved, so nothing is damaged.
    """
    if not path.parent.is_dir():
        return MirrorNotWritable(f"{path.parent} is not there", hint=_CHECK_ACCESS)
    problem = "is no file" if path.exists() else "is not there"
    if path.is_symlink():
        problem = f"points at {path.parent / path.readlink()}, which {problem}"
    return MirrorDamaged(f"{path} {problem}", hint=_RESTORE)


def _first_of(exc: BaseException) -> BaseException:
    """Return the original error.

    SQLite ends a transaction when the disk is full or a signal ends a statement. The library then tries to
    roll back a transaction that does not exist. This second error looks like damage and hides the first.
    """
    while _NOTHING_TO_ROLL_BACK in str(exc) and exc.__context__:
        exc = exc.__context__
    return exc


def _fault(exc: apsw.Error, path: Path) -> SmkiSyncError:
    """Return the error for the real cause; an error that is not in the list is a bug, not a disk problem."""
    text = str(exc)
    if _means_damage(exc):
        return MirrorDamaged(f"{path} is damaged: {text}")
    if isinstance(exc, _NOT_WRITABLE) or _NO_DIRECTORY in text:
        return MirrorNotWritable(f"{path} cannot be written: {text}", hint=_advice(exc))
    if isinstance(exc, apsw.NoMemError):
        return OutOfMemory(f"SQLite ran out of memory on {path}: {text}")
    if isinstance(exc, apsw.ConnectionClosedError):  # a program used a closed smki_sync.Mirror
        return MirrorError(f"{path} was closed: {text}", hint="Open the mirror again.")
    for kinds, problem, hint in _RESOURCE_ERRORS:
        if isinstance(exc, kinds):
            return ResourceError(f"{problem} {path}: {text}", hint=hint)
    return InternalError(f"SQLite failed on {path}: {type(exc).__name__}: {text}")


def _means_damage(exc: apsw.Error) -> bool:
    is_schema = isinstance(exc, apsw.SQLError) and any(part in str(exc) for part in _DAMAGED_SCHEMA)
    return is_schema or isinstance(exc, _DAMAGED)


def _advice(exc: Exception) -> str:
    if isinstance(exc, apsw.ReadOnlyError):
        return f"{_CHECK_ACCESS} `smki-sync doctor` names the cause."
    full = isinstance(exc, apsw.FullError) or (isinstance(exc, OSError) and exc.errno in _NO_ROOM)
    return _FREE_SPACE if full else _CHECK_ACCESS


_BUSY_MS: Final = 60_000  # only for checkpoints, because readers of a WAL file never block a writer
_CACHE_KIB: Final = -65_536  # 64 MiB of pages: enough for the index paths of a delta at 5 million rows
_STEPS: Final = 100_000  # SQLite instructions between two checks for a signal: about 10 ms of work
_MAY_READ: Final = "Let this user read it: who may read the mirror directory may read every file of it."


def connect(path: Path, *, create: bool = False) -> apsw.Connection:
    """Open the file of a generation for writing, and create it if ``create`` is true."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI  # a build attaches the old generation by URI
    flags |= apsw.SQLITE_OPEN_CREATE if create else 0
    db = apsw.Connection(str(path.absolute()), flags=flags)
    db.set_busy_timeout(_BUSY_MS)
    db.set_progress_handler(_allow_signals, _STEPS)
    _prepare_once(db)
    db.transaction_mode = "IMMEDIATE"
    db.execute(f"PRAGMA cache_size = {_CACHE_KIB}")
    return db


def connect_to_read(path: Path) -> apsw.Connection:
    """Open a generation, or the link to the current one, for reading. Waits only for a recovery.

    Checks the file first, because SQLite would give only a general error, and would wait for a pipe.

    Raises:
        MirrorError: The path is missing or is not a file.
        ResourceError: This user may not read the file.
    """
    if not path.is_file():
        raise no_file(path)
    if not os.access(path, os.R_OK):
        raise ResourceError(f"{path} cannot be read by this user", hint=_MAY_READ)
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    db.set_busy_timeout(_BUSY_MS)
    db.set_progress_handler(_allow_signals, _STEPS)
    _prepare_once(db)
    return db


_HAS_INDEX: Final = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?)"


def holds_devices(db: apsw.Connection) -> bool:
    """Whether devices are indexed by key identifier and hash."""
    return bool(db.execute(_HAS_INDEX, ("certificate_ski",)).get)


def indexes_ends(db: apsw.Connection) -> bool:
    """Whether the generation has the index of end dates; one that was upgraded from schema 5 has none."""
    return bool(db.execute(_HAS_INDEX, ("certificate_ends",)).get)


def sqlite_version() -> str:
    """Return the version of the SQLite library that opens generations."""
    return apsw.sqlite_lib_version()


def _prepare_once(db: apsw.Connection) -> None:
    """Keep the plan of a prepared statement when other values are bound (query planner stability guarantee).

    Otherwise SQLite compiles a statement again for each new value that it compares with an indexed column.
    That takes 20 times as long as the lookup of one certificate.
    """
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _allow_signals() -> bool:
    """Let Python run the handler of a pending signal during a long statement.

    Python runs handlers only between two of its own instructions. Sorting an index takes minutes without
    one. An exception in the handler ends the statement.
    """
    return False


def keep_side_files(db: apsw.Connection) -> None:
    """Keep ``-wal`` and ``-shm`` on closing, because a reader without write access cannot create them."""
    import ctypes  # noqa: PLC0415 - only writers need it

    enabled = ctypes.c_int(1)
    db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(enabled))
