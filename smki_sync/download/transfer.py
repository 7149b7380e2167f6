"""Transfer the missing range of one file; detect a file that changes while it is downloaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from smki_sync.download.local_file import read_chunks
from smki_sync.download.partial_file import PartialFile
from smki_sync.download.retry import MIB, DownloadOptions, RateLimiter, ReconnectingSource, TransferRecord
from smki_sync.errors import BadExtract, SmkiSyncError, SourceMissing, SourceUnreachable
from smki_sync.events import Downloading, EventListener, Waiting
from smki_sync.model.extract import Extract, RemoteFile
from smki_sync.reader.gzip_stream import MAGIC, GzipStream, ReaderLimits
from smki_sync.sources.base import Chunks, Source

POLL_SECONDS: Final = 15.0
"""Seconds between two listings while a file changes: uploads write more often than that."""

SHORTEST_POLL: Final = 0.05
"""Shortest pause in seconds before a recent file is listed again."""

CHECKSUM_BYTES: Final = 64 * MIB
"""Largest .gz whose checksum is verified before it counts as complete: this takes a third of a second. A
larger file took long enough to download for a second listing to show a change."""


def is_same_version(listed: RemoteFile, extract: Extract) -> bool:
    """Whether a listing still shows the version of the file that was planned."""
    return (listed.size, listed.modified) == (extract.size, extract.modified)


def find_in_listing(source: Source, name: str) -> RemoteFile:
    """List again and return one file; raises ``SourceMissing`` if it is not in the listing."""
    for listed in source.fetch_listing():
        if listed.name == name and listed.unusable is None:
            return listed
    raise SourceMissing(
        f"{name} is no longer in the listing of {source.title}", hint="The next run will list again."
    )


def changed_during_download(extract: Extract, what: str) -> SourceUnreachable:
    """Create the error for a file that is not the version that was listed."""
    return SourceUnreachable(
        f"{extract.name} {what}; the listing stated {extract.size} bytes",
        hint="The file was replaced or is still being written. The next run will list again.",
        code="changed-while-fetched",
    )


def check_not_changing(source: Source, extract: Extract, part: Path, options: DownloadOptions) -> None:
    """List a recently modified file again; raises ``changed-while-fetched`` if it has changed."""
    age = _age_seconds(extract, options)
    if abs(age) >= options.recheck_seconds:
        return
    if not _looks_complete(part, extract):
        options.sleep(min(max(abs(age), SHORTEST_POLL), POLL_SECONDS))
    listed = find_in_listing(source, extract.name)
    if not is_same_version(listed, extract):
        raise changed_during_download(extract, f"has grown or was replaced and now has {listed.size} bytes")


def _age_seconds(extract: Extract, options: DownloadOptions) -> float:
    """Seconds since the file was modified; 0 if the source does not state the time."""
    return (options.clock() - extract.modified).total_seconds() if extract.modified else 0.0


def _looks_complete(part: Path, extract: Extract) -> bool:
    """Whether the checksums of the gzip data are right; a very large file is not read."""
    if extract.size > CHECKSUM_BYTES:
        with part.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    try:
        for _ in GzipStream(read_chunks(part), name=extract.name, limits=ReaderLimits()):
            pass
    except BadExtract:
        return False
    return True


@dataclass(slots=True, kw_only=True)
class StabilityWait:
    """Waits until a file stops changing. ``waited``: seconds so far, over all waits for this file."""

    options: DownloadOptions
    events: EventListener
    waited: float = 0.0

    def wait(self, source: Source, extract: Extract, error: SourceUnreachable) -> Extract:
        """Wait until two listings agree; return the extract as it is listed then.

        Raises ``error`` again, with the time waited, after ``DownloadOptions.stability_seconds``.
        """
        last = find_in_listing(source, extract.name)
        while self.waited < self.options.stability_seconds:
            pause = min(POLL_SECONDS, self.options.stability_seconds - self.waited)
            self.events.emit(Waiting(file=extract.name, message=error.message, pause=round(pause, 1)))
            self.options.sleep(pause)
            self.waited += pause
            listed = find_in_listing(source, extract.name)
            if listed == last:
                return replace(extract, size=listed.size, modified=listed.modified)
            last = listed
        if not self.waited:
            raise error
        raise SourceUnreachable(
            f"{error.message}; the file was still changing after {self.waited:.0f} s",
            hint=error.hint,
            code=error.reason,
        ) from error


class DifferentFileError(Exception):
    """The file on the server is not the one that the partial file was downloaded from."""


@dataclass(slots=True, kw_only=True)
class RangeTransfer:
    """Transfers the missing range of a partial file, from its position to the end."""

    extract: Extract
    part: PartialFile
    options: DownloadOptions
    events: EventListener
    limiter: RateLimiter
    _attempts: int = field(default=0, init=False)

    def run(self, source: ReconnectingSource) -> None:
        """Download what is missing.

        Raises what the source raises, ``SourceUnreachable`` (``changed-while-fetched``) if more or fewer
        bytes arrive than were listed, and :class:`DifferentFileError`.
        """
        if not self.part.complete:
            source.retry(self._attempt, progress=lambda: self.part.position)

    def _attempt(self, source: Source) -> None:
        started, begin, outcome = self.options.clock(), self.part.position, "interrupted"
        try:
            if self._attempts:
                self.part.add_piece()
                self._check_version(source)
            self._attempts += 1
            self._transfer(source)
            outcome = "whole"
        except SmkiSyncError as error:
            outcome = error.reason
            raise
        except DifferentFileError:
            outcome = "other-file"
            raise
        finally:
            self.options.on_transfer(
                TransferRecord(
                    file=self.extract.name,
                    size=self.extract.size,
                    started=started,
                    ended=self.options.clock(),
                    begin=begin,
                    end=self.part.position,
                    outcome=outcome,
                )
            )

    def _check_version(self, source: Source) -> None:
        listed = find_in_listing(source, self.extract.name)
        if not is_same_version(listed, self.extract):
            raise changed_during_download(
                self.extract, f"now has {listed.size} bytes and was modified at {listed.modified}"
            )

    def _transfer(self, source: Source) -> None:
        overlap = self.part.resume_overlap()
        with source.fetch(self.extract.name, offset=self.part.position - len(overlap)) as chunks:
            for chunk in skip_resume_overlap(chunks, overlap):
                self._write(chunk)
        if not self.part.complete:
            raise changed_during_download(self.extract, f"gave {self.part.position} bytes")

    def _write(self, chunk: bytes) -> None:
        received = self.part.position + len(chunk)
        if received > self.extract.size:
            raise changed_during_download(self.extract, f"gave {received} bytes or more")
        self.limiter.acquire(len(chunk))
        self.part.write(chunk)
        self.options.on_progress(self.part.position)
        progress = Downloading(file=self.extract.name, done=self.part.position, size=self.extract.size)
        self.events.emit(progress)


def skip_resume_overlap(chunks: Chunks, overlap: bytes) -> Iterator[bytes]:
    """Compare the first bytes with those on disk, and return the bytes after them.

    Raises :class:`DifferentFileError` if they differ.
    """
    for chunk in chunks:
        compared = min(len(chunk), len(overlap))
        if chunk[:compared] != overlap[:compared]:
            raise DifferentFileError
        overlap = overlap[compared:]
        if len(chunk) > compared:
            yield chunk[compared:] if compared else chunk
