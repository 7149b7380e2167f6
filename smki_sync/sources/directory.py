"""A directory as a source: optical media, an archive, a share (Appendix P: a Party without a gateway).

For: the same promise as SFTP on files that are already here. Refuses: to write, to follow a symbolic
link or a name out of the directory, to open what is no regular file.
"""

import errno
import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from smki_sync.errors import SourceError, SourceMissing, SourceNotReadable, SourceUnreachable
from smki_sync.model.extract import RemoteFile
from smki_sync.sources.base import Chunks, Limits, check_plain, ended_early, is_plain, shorter, too_long

SIDECAR: Final = ".sha256"
"""Behind the name of a file: what states its hash."""
_SHA256: Final = re.compile(rb"([0-9a-f]{64})\b")
_SIDECAR_BYTES: Final = 512  # a hash, two blanks and a name

CHUNK_BYTES = 1024 * 1024
"""Read at once: large enough that system calls do not count, small beside any memory limit."""

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No link is followed, and opening a pipe that somebody left there does not wait for a writer."""

_NO_SUCH_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_NOT_PERMITTED = {errno.EACCES, errno.EPERM}


class DirectorySource:
    """A :class:`~smki_sync.sources.base.Source` on a local directory.

    ``path``: absolute. ``limits``: ``entries`` and ``name_length`` hold here; the times do not, because a
    read of a local file cannot be given up.
    """

    def __init__(self, path: Path, *, limits: Limits) -> None:
        """Remember where; nothing is touched before the first call."""
        self._path = path
        self._limits = limits

    @property
    def title(self) -> str:
        """The ``file:`` URL."""
        return self._path.as_uri()

    def __enter__(self) -> Self:
        """Nothing to connect: a missing directory shows itself at the first listing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to close: every file closes itself."""

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List the regular files, ordered by name; errors as the protocol says.

        ``NAME.sha256`` beside ``NAME``, as sha256sum writes it, is no file of its own: it states the hash.
        """
        with _foreign_errors(self._path), os.scandir(self._path) as entries:
            files = {file.name: file for file in self._regular_files(entries)}
        return tuple(
            replace(files[name], sha256=self._stated(name + SIDECAR) if name + SIDECAR in files else None)
            for name in sorted(files)
            if name.removesuffix(SIDECAR) == name or name.removesuffix(SIDECAR) not in files
        )

    def _stated(self, name: str) -> str | None:
        """The hash that a sidecar states; nothing where it states none."""
        with self.fetch(name) as chunks:
            found = _SHA256.match(next(chunks, b"")[:_SIDECAR_BYTES])
        return found[1].decode() if found else None

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Chunks]:
        """Open a file and give its bytes from ``offset``; errors as the protocol says."""
        check_plain(name, longest=self._limits.name_length)
        path = self._path / name
        with _foreign_errors(path):
            handle = os.open(path, _OPEN_FLAGS)
        try:
            size = _regular_size(handle, path)
            if offset > size:
                raise shorter(name, size=size, offset=offset, where=self.title)
            with closing(_chunks(handle, path, offset, size)) as chunks:
                yield chunks
        finally:
            os.close(handle)

    def _regular_files(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[RemoteFile]:
        for number, entry in enumerate(entries, 1):
            if number > self._limits.entries:
                raise too_long(self.title, self._limits.entries)
            if is_plain(entry.name, longest=self._limits.name_length):
                yield from _described(entry)


def _described(entry: os.DirEntry[str]) -> Iterator[RemoteFile]:
    """Describe a regular file; nothing for anything else, or for one that vanished meanwhile."""
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(facts.st_mode):
        yield RemoteFile(name=entry.name, size=facts.st_size, modified=_time(facts.st_mtime))


def _time(seconds: float) -> datetime | None:
    """A time stamp; none where a medium has one that no calendar holds (before year 1, after 9999)."""
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _regular_size(handle: int, path: Path) -> int:
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        raise SourceMissing(f"{path} is no regular file", code="not-a-file")
    return facts.st_size


def _chunks(handle: int, path: Path, offset: int, size: int) -> Generator[bytes, None, None]:
    """Read from ``offset`` to the size at opening, no further: a file that grows is read next time."""
    at = offset
    with _foreign_errors(path):
        while at < size:
            chunk = os.pread(handle, min(CHUNK_BYTES, size - at), at)
            if not chunk:
                break
            at += len(chunk)
            yield chunk
    if at != size:
        raise ended_early(path.name, at=at, size=size, where=str(path.parent))


@contextmanager
def _foreign_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` about ``path`` into the tree's own."""
    try:
        yield
    except OSError as exc:
        raise _named(exc, path) from exc


def _named(exc: OSError, path: Path) -> SourceError:
    why = exc.strerror or type(exc).__name__
    if exc.errno in _NO_SUCH_FILE:
        return SourceMissing(
            f"{path} is not there, or is no plain file or directory ({why})",
            hint="Check the path of the source; a medium may have to be mounted.",
        )
    if exc.errno in _NOT_PERMITTED:
        return SourceNotReadable(
            f"{path} cannot be read: {why}",
            hint="Give the user that runs smki-sync permission to read it.",
        )
    return SourceUnreachable(
        f"reading {path} failed ({why})", code="read-failed", hint="Check the medium or the share."
    )
