"""A local directory as a source: optical media, an archive, a share (Appendix P: a Party without a gateway).

Only regular files directly in the directory are opened. Symbolic links are listed, but not followed.
"""

import errno
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from smki_sync.errors import SourceError, SourceMissing, SourceNotReadable, SourceReadFailed
from smki_sync.model.extract import RemoteFile, UnrecognisedReason
from smki_sync.sources.base import (
    Chunks,
    Limits,
    bounded_size,
    check_plain,
    ended_early,
    is_plain,
    listing_too_long,
    shorter_than_offset,
)
from smki_sync.sources.checksum_file import LONGEST_CHECKSUM_FILE, SIDECAR, read_checksum

CHUNK_BYTES: Final = 1024 * 1024
"""Bytes per read: system calls cost nothing at this size, and it is small compared with any memory limit."""

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Do not follow links, and do not wait for the writer of a FIFO."""

_NOT_FOUND: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_NOT_PERMITTED: Final = {errno.EACCES, errno.EPERM}


class DirectorySource:
    """A :class:`~smki_sync.sources.base.Source` for a local directory.

    ``path``: absolute. ``limits``: ``entries`` and ``name_length`` apply; the times do not, because a read of
    a local file cannot be cancelled.
    """

    def __init__(self, path: Path, *, limits: Limits) -> None:
        """Store the path; nothing is read before the first call."""
        self._path = path
        self._limits = limits

    @property
    def title(self) -> str:
        """The ``file:`` URL."""
        return self._path.as_uri()

    def __enter__(self) -> Self:
        """Do nothing: a missing directory is reported by the first listing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Do nothing: every file is closed by itself."""

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List the directory, ordered by name.

        ``NAME.sha256`` with the file ``NAME`` is not listed: it states the hash of the file. It is listed as
        unusable if it does not.
        """
        with _translated_errors(self._path), os.scandir(self._path) as entries:
            files = {file.name: file for file in self._entries(entries)}
        listed = []
        for name in sorted(files):
            if name.removesuffix(SIDECAR) in files and name.endswith(SIDECAR):
                continue
            sidecar = files.get(name + SIDECAR)
            digest = self._stated_digest(sidecar, name) if sidecar else None
            listed.append(replace(files[name], sha256=digest))
            if sidecar and digest is None:
                listed.append(replace(sidecar, size=0, unusable=UnrecognisedReason.CHECKSUM_UNREADABLE))
        return tuple(listed)

    def _stated_digest(self, sidecar: RemoteFile, name: str) -> str | None:
        """Read the hash from a checksum file; ``None`` if it cannot be read or does not state it."""
        if sidecar.size > LONGEST_CHECKSUM_FILE:
            return None
        try:
            with self.fetch(sidecar.name) as chunks:
                return read_checksum(b"".join(chunks), name)
        except SourceError:
            return None

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Chunks]:
        """Open a file and return its bytes from ``offset``."""
        check_plain(name, longest=self._limits.name_length)
        path = self._path / name
        with _translated_errors(path):
            handle = os.open(path, _OPEN_FLAGS)
        try:
            size = _regular_size(handle, path)
            if offset > size:
                raise shorter_than_offset(name, size=size, offset=offset, where=self.title)
            with closing(_chunks(handle, path, offset, size)) as chunks:
                yield chunks
        finally:
            os.close(handle)

    def _entries(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[RemoteFile]:
        for number, entry in enumerate(entries, 1):
            if number > self._limits.entries:
                raise listing_too_long(self.title, self._limits.entries)
            if is_plain(entry.name, longest=self._limits.name_length):
                yield from _described(entry)


def _described(entry: os.DirEntry[str]) -> Iterator[RemoteFile]:
    """Describe an entry; nothing if it has been deleted meanwhile."""
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(facts.st_mode):
        size, unusable = bounded_size(facts.st_size)
        yield RemoteFile(name=entry.name, size=size, modified=_time(facts.st_mtime), unusable=unusable)
    else:
        is_link = stat.S_ISLNK(facts.st_mode)
        unusable = UnrecognisedReason.SYMBOLIC_LINK if is_link else UnrecognisedReason.NOT_A_FILE
        yield RemoteFile(name=entry.name, size=0, unusable=unusable)


def _time(seconds: float) -> datetime | None:
    """Convert a time stamp; ``None`` if it is before year 1 or after 9999."""
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _regular_size(handle: int, path: Path) -> int:
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        raise SourceMissing(f"{path} is not a regular file", code="not-a-file")
    return facts.st_size


def _chunks(handle: int, path: Path, offset: int, size: int) -> Generator[bytes, None, None]:
    """Read from ``offset`` to the size at opening: bytes that are added later are read next time."""
    at = offset
    with _translated_errors(path):
        while at < size:
            chunk = os.pread(handle, min(CHUNK_BYTES, size - at), at)
            if not chunk:
                break
            at += len(chunk)
            yield chunk
    if at != size:
        raise ended_early(path.name, at=at, size=size, where=str(path.parent))


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    """Translate an ``OSError`` about ``path`` into our errors."""
    try:
        yield
    except OSError as exc:
        raise _error_of(exc, path) from exc


def _error_of(exc: OSError, path: Path) -> SourceError:
    why = exc.strerror or type(exc).__name__
    if exc.errno in _NOT_FOUND:
        return SourceMissing(
            f"{path} does not exist, or is not a regular file or directory ({why})",
            hint="Check the path of the source. If it is on a medium, mount it.",
        )
    if exc.errno in _NOT_PERMITTED:
        return SourceNotReadable(
            f"reading {path} is not permitted ({why})",
            hint="Give the user who runs smki-sync permission to read it.",
        )
    return SourceReadFailed(f"reading {path} failed ({why})", hint="Check the medium or the share.")
