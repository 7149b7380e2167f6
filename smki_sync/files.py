"""A file or a tree of files that is whole or absent, also after a kill or a power cut.

For: whatever is handed to other programs. It is made beside its place under a name that ends in
``.partial``, made durable, and renamed. Refuses: to overwrite unless told to, and then to replace a
directory that is none of its own.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from smki_sync.errors import MirrorNotWritable, OutputError, SmkiSyncError, UsageError

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
    """Make renames and new names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


MANIFEST: Final = "_smki-sync.json"
"""In each tree: what it is. Readers of Parquet pass over names that begin so."""


@contextmanager
def atomic_file(path: Path, *, force: bool) -> Iterator[TextIO]:
    """A text file to write; it takes its place when the block ends, and is gone where that fails.

    ``force``: replace a file. Raises :class:`UsageError` (``output-exists``), and as :func:`output_error`.
    """
    with _translated_errors(path):
        _check_free(path, may_replace=force and path.is_file())
        aside = _temporary_path(path)
        try:
            with aside.open("w", encoding="utf-8", newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        sync_directory(path.parent)


@contextmanager
def atomic_tree(path: Path, *, force: bool) -> Iterator[Path]:
    """An empty directory to fill; it takes its place when the block ends, and is gone where that fails.

    ``force``: replace an empty directory, or one that holds our manifest. Raises as :func:`atomic_file`.
    """
    with _translated_errors(path):
        _check_free(path, may_replace=force and _is_ours(path))
        aside = _temporary_path(path)
        shutil.rmtree(aside, ignore_errors=True)
        try:
            aside.mkdir()
            yield aside
            os.sync()  # thousands of files: all at once, where fsync for each would take minutes
            _swap(aside, path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        sync_directory(path.parent)


def write_manifest(tree: Path, facts: Mapping[str, object]) -> None:
    """Say in the tree itself what it is."""
    (tree / MANIFEST).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _temporary_path(path: Path) -> Path:
    """Beside its place, so that renaming moves no data; a process of this number that was killed left it."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _swap(aside: Path, path: Path) -> None:
    """Take the place; what stood there goes when the new one stands, and comes back if it cannot."""
    before = path.with_name(f".{path.name}.{os.getpid()}.before")
    if not path.exists():
        aside.rename(path)
        return
    path.rename(before)
    try:
        aside.rename(path)
    except OSError:
        before.rename(path)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _check_free(path: Path, *, may_replace: bool) -> None:
    if not path.name:
        raise UsageError(f"{path} has no name of its own", hint="Name a file or directory to be made.")
    if os.path.lexists(path) and not may_replace:
        raise UsageError(
            f"{path} exists and is left as it is",
            hint="Name another, or give --force, which replaces a file, or a directory that an export made.",
            code="output-exists",
        )


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    return (path / MANIFEST).is_file() or not any(path.iterdir())


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise output_error(path, exc) from exc


_WRONG_PATH: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


def output_error(path: Path, exc: OSError) -> SmkiSyncError:
    """Return the error for an output that cannot be written.

    :class:`UsageError` if the path is wrong, :class:`OutputError` if the machine lacks space or permission.
    """
    message = f"{path} cannot be written: {exc.strerror or exc}"
    if exc.errno in _WRONG_PATH:
        hint = "Name a file in a directory that exists."
        return UsageError(message, hint=hint, code=OutputError.code)
    hint = "Check free space and permissions, or name another path. Nothing was left at this path."
    return OutputError(message, hint=hint)
