"""Output files and directories that are complete or absent, and what the file system must provide.

Every command that writes a file for others uses :func:`atomic_file` or :func:`atomic_tree`. They write to a
temporary name that cannot be predicted, next to the target, and rename it. Links are never followed.
"""

import errno
import fcntl
import json
import mmap
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from smki_sync.errors import MirrorNotWritable, OutputError, SmkiSyncError, UsageError

MANIFEST: Final = "_smki-sync.json"
"""The file in each exported directory that describes it. Readers of Parquet ignore names that start so."""

CHECK_PREFIX: Final = ".smki-sync-check-"
"""Prefix of the temporary directories in which :func:`check_file_system` works."""

_PUBLIC: Final = 0o666
"""Mode of a new file before the umask."""

_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
"""Errors of a file system without hard links."""


_NOT_THE_FILE_SYSTEM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
"""Errors of an operation that the file system does have."""


@contextmanager
def atomic_file(path: Path, *, force: bool, mode: int = _PUBLIC, umask: bool = True) -> Iterator[TextIO]:
    """Open a text file for writing. It appears under its name when the block ends, or not at all.

    Args:
        path: The file. A link of this name is replaced, never followed.
        force: Replace an existing file.
        mode: Mode of the file.
        umask: Whether the umask of the process applies to ``mode``.

    Raises:
        UsageError: ``output-exists``, or the path is wrong (``output-not-writable``).
        OutputError: ``output-not-writable``: no space or no permission.
    """
    with output_errors(path):
        _check_free(path, replaceable=force and path.is_file())
        temporary, handle = _create_temporary(path, mode=mode, umask=umask)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            publish_file(temporary, path, replace=force)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_file(path: Path, *, mode: int = _PUBLIC) -> Iterator[Path]:
    """Create an empty temporary file next to ``path``, for a library that opens it by name.

    It is removed when the block ends, unless :func:`publish_file` has renamed it.

    Raises:
        OSError: The directory is not writable.
    """
    temporary, handle = _create_temporary(path, mode=mode, umask=True)
    os.close(handle)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _create_temporary(path: Path, *, mode: int, umask: bool) -> tuple[Path, int]:
    temporary = _temporary_path(path)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    if not umask:
        os.fchmod(handle, mode)
    return temporary, handle


def publish_file(temporary: Path, path: Path, *, replace: bool) -> None:
    """Give a complete temporary file its name, durably.

    Raises:
        UsageError: ``output-exists``: a file has appeared there, and ``replace`` is false.
    """
    if replace:
        temporary.replace(path)
    else:
        _rename_without_replacing(temporary, path)
    sync_directory(path.parent)


def _rename_without_replacing(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        _check_free(path, replaceable=False)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        _check_free(path, replaceable=False)
        temporary.rename(path)


@contextmanager
def atomic_tree(path: Path, *, force: bool) -> Iterator[Path]:
    """Give an empty directory to fill. It appears under its name when the block ends, or not at all.

    Args:
        path: The directory.
        force: Replace an empty directory, or one that an export created.

    Raises:
        UsageError: ``output-exists``, or the path is wrong (``output-not-writable``).
        OutputError: ``output-not-writable``: no space or no permission.
    """
    with output_errors(path):
        _check_free(path, replaceable=force and _is_exported(path))
        temporary = _temporary_path(path)
        temporary.mkdir()
        try:
            yield temporary
            os.sync()  # thousands of files: one call for all, because fsync for each would take minutes
            _swap(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_directory(path.parent)


def write_manifest(tree: Path, facts: Mapping[str, object]) -> None:
    """Describe an exported directory in a file inside it."""
    (tree / MANIFEST).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _temporary_path(path: Path) -> Path:
    """Return an unpredictable name in the same directory, so that renaming moves no data."""
    return path.with_name(f".smki-sync-{secrets.token_hex(16)}.partial")


def _swap(temporary: Path, path: Path) -> None:
    """Rename the new directory into place. The old one is restored if that fails."""
    if not os.path.lexists(path):
        temporary.rename(path)
        return
    previous = _temporary_path(path)
    path.rename(previous)
    try:
        temporary.rename(path)
    except OSError:
        previous.rename(path)
        raise
    shutil.rmtree(previous, ignore_errors=True)


def _check_free(path: Path, *, replaceable: bool) -> None:
    if not path.name:
        raise UsageError(f"{path} is not the name of a file.", hint="Name a file or directory to create.")
    if os.path.lexists(path) and not replaceable:
        raise UsageError(
            f"{path} already exists and is unchanged.",
            hint="Use another name, or --force to replace a file or a directory that an export created.",
            code="output-exists",
        )


def _is_exported(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    return (path / MANIFEST).is_file() or not any(path.iterdir())


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Translate errors of the file system while an output file is written; see :func:`output_error`."""
    try:
        yield
    except OSError as exc:
        raise output_error(path, exc) from exc


_WRONG_PATH: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


def output_error(path: Path, exc: OSError) -> SmkiSyncError:
    """Return the error for an output that cannot be written.

    :class:`UsageError` if the path is wrong, :class:`OutputError` if the machine lacks space or permission.
    """
    message = f"{path} cannot be written: {exc.strerror or exc}."
    if exc.errno in _WRONG_PATH:
        hint = "Name a file in a directory that exists."
        return UsageError(message, hint=hint, code=OutputError.code)
    hint = "Check free space and permissions, or use another path. No incomplete file remains."
    return OutputError(message, hint=hint)


_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FREE_SPACE: Final = (
    "Free space on that file system or raise its quota."
    " The mirror is unchanged since the last committed file."
)
_CHECK_ACCESS: Final = (
    "Check that the directory exists and that the user who runs smki-sync can read and write it."
)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise :class:`MirrorNotWritable` instead of an ``OSError`` about a file under ``path``."""
    try:
        yield
    except OSError as exc:
        where = exc.filename2 or exc.filename or path  # filename2: the target of a link or a rename
        hint = _FREE_SPACE if exc.errno in _NO_SPACE else _CHECK_ACCESS
        raise MirrorNotWritable(f"{where}: {exc.strerror}", hint=hint) from exc


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory durable, if the file system can do that."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.ENOTSUP}:  # a file system without fsync for directories
            raise
    finally:
        os.close(handle)


def open_own_file(path: Path, flags: int, mode: int = _PUBLIC) -> int:
    """Open or create a working file of this user, and return its descriptor.

    Another user may have planted a link there, to make this program write to a file of its victim.

    Args:
        path: The file.
        flags: As for :func:`os.open`; links are never followed.
        mode: Mode of a new file.

    Raises:
        OSError: It cannot be opened, is a link, is not a regular file, has a second name, or belongs to
            another user.
    """
    # O_TRUNC would empty the file before it is checked.
    safe_flags = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    handle = os.open(path, safe_flags, mode)
    found = os.fstat(handle)
    reason = ""
    if not stat.S_ISREG(found.st_mode):
        reason = "not a regular file"
    elif found.st_nlink > 1:
        reason = "the file has a second name (hard link)"
    elif found.st_uid != os.geteuid():
        reason = f"the file belongs to user {user_name(found.st_uid)}"
    if reason:
        os.close(handle)
        raise OSError(errno.EPERM, reason, str(path))
    if flags & os.O_TRUNC:
        os.ftruncate(handle, 0)
    return handle


def user_name(number: int) -> str:
    """Return a user for messages, for example ``smki-sync (999)``."""
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)


def free_bytes(path: Path) -> int | None:
    """Return the free space for this user in bytes, or ``None`` if the file system does not say.

    Raises:
        OSError: The path cannot be examined.
    """
    found = os.statvfs(path)
    # Some network and FUSE file systems report zero blocks in total, which says nothing.
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def check_file_system(directory: Path) -> None:
    """Check that the file system has what a mirror needs: locks, links, rename and shared memory.

    It works in a private temporary directory, which is removed afterwards.

    Raises:
        MirrorNotWritable: ``file-system``: an operation failed. The message names it.
    """
    scratch = directory / f"{CHECK_PREFIX}{secrets.token_hex(16)}"
    failed = _first_failure(scratch)
    if failed:
        operation, exc = failed
        if exc.errno in _NOT_THE_FILE_SYSTEM:
            raise MirrorNotWritable(
                f"{directory} is not writable: {exc.strerror}.",
                hint="Check space and permissions there.",
            ) from exc
        raise MirrorNotWritable(
            f"The file system of {directory} has no working {operation}: {exc.strerror}.",
            hint="Use a directory on a local file system such as ext4 or XFS (mirror.path).",
            code="file-system",
        ) from exc


def _first_failure(scratch: Path) -> tuple[str, OSError] | None:
    operation = "directories"
    try:
        scratch.mkdir(mode=0o700)
        for operation, check in _FILE_SYSTEM_CHECKS.items():  # noqa: B007 - the handler below names it
            check(scratch)
    except OSError as exc:
        return operation, exc
    finally:
        with suppress(OSError):
            shutil.rmtree(scratch)
    return None


def _check_flock(scratch: Path) -> None:
    with (scratch / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _check_range_lock(scratch: Path) -> None:
    with (scratch / "range").open("wb") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)


def _check_symbolic_links(scratch: Path) -> None:
    link = scratch / "link"
    link.symlink_to("lock")
    link.readlink()


def _check_rename(scratch: Path) -> None:
    first, second = scratch / "first", scratch / "second"
    for path in (first, second):
        path.symlink_to("lock")
    first.replace(second)


def _check_shared_memory(scratch: Path) -> None:
    with (scratch / "memory").open("w+b") as file:
        file.truncate(mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED) as memory:
            memory[0] = 1


def _check_sync(scratch: Path) -> None:
    with (scratch / "sync").open("wb") as file:
        file.write(b"1")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(scratch)


_FILE_SYSTEM_CHECKS: Final[Mapping[str, Callable[[Path], None]]] = {
    "file locks (flock)": _check_flock,
    "byte-range locks (fcntl)": _check_range_lock,
    "symbolic links": _check_symbolic_links,
    "rename": _check_rename,
    "shared memory (mmap)": _check_shared_memory,
    "fsync": _check_sync,
}
"""What a mirror needs, in the words of the message: the writer lock, SQLite, and publishing."""
