"""Download one file: complete, hashed and durable, or not at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smki_sync.download.local_file import DownloadedFile, find_downloaded, write_sidecar
from smki_sync.download.partial_file import PartialFile, discard_partial_file
from smki_sync.download.retry import (
    DownloadOptions,
    RateLimiter,
    ReconnectingSource,
    RetryAction,
    retry_action_of,
)
from smki_sync.download.transfer import (
    DifferentFileError,
    RangeTransfer,
    StabilityWait,
    changed_during_download,
    check_not_changing,
)
from smki_sync.errors import Fault, SourceUnreachable, bad_extract
from smki_sync.events import Detail, EventListener, Restarted, Resumed
from smki_sync.files import disk_errors, sync_directory
from smki_sync.model.extract import Extract
from smki_sync.model.plan import AppliedFile
from smki_sync.sources.base import Source

DIFFERENT_FILE_ATTEMPTS: Final = 3
"""Attempts after which a file that is different each time is reported."""

_DEFAULTS: Final = DownloadOptions()


def download(
    source: Source,
    extract: Extract,
    directory: Path,
    events: EventListener,
    options: DownloadOptions = _DEFAULTS,
) -> DownloadedFile:
    """Download one extract into ``directory``, unless an earlier run left it there intact.

    ``source``: a :class:`ReconnectingSource` retries temporary errors. The file can turn out to be newer than
    listed: :attr:`DownloadedFile.file` then says so. Raises what the source raises, ``SourceUnreachable``
    (``changed-while-fetched``) for a file that does not stop changing, and ``BadExtract``
    (``other-sha256``) if the source states another SHA-256.
    """
    if not isinstance(source, ReconnectingSource):
        source = ReconnectingSource.wrap(source, events=events)
    return Downloader(source=source, directory=directory, options=options, events=events).download(extract)


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloader:
    """Downloads files from one source into one directory."""

    source: ReconnectingSource
    directory: Path
    options: DownloadOptions
    events: EventListener

    def download(self, extract: Extract) -> DownloadedFile:
        """Download one extract; see :func:`download`."""
        path = self.directory / extract.name
        if existing := find_downloaded(path, extract):
            self.events.emit(
                Detail(text=f"{extract.name} is already downloaded, SHA-256 {existing.file.sha256}")
            )
            return existing
        stability = StabilityWait(options=self.options, events=self.events)
        while True:
            try:
                return _verified(self._download_version(extract))
            except SourceUnreachable as error:
                if retry_action_of(error) is not RetryAction.WAIT:
                    raise
                extract = stability.wait(self.source, extract, error)

    def _download_version(self, extract: Extract) -> DownloadedFile:
        """Download the listed version; start again if a partial file turns out to be of another file."""
        path = self.directory / extract.name
        for _ in range(DIFFERENT_FILE_ATTEMPTS):
            try:
                return self._attempt(extract, path)
            except DifferentFileError:
                with disk_errors(path):
                    discard_partial_file(path)
                why = "the partial download does not match the file now on the server"
                self.events.emit(Restarted(file=extract.name, why=why))
        raise changed_during_download(
            extract, f"changed on the server during {DIFFERENT_FILE_ATTEMPTS} download attempts"
        )

    def _attempt(self, extract: Extract, path: Path) -> DownloadedFile:
        checkpoint_bytes = self.options.checkpoint_bytes
        with disk_errors(path), PartialFile(path, extract, checkpoint_bytes=checkpoint_bytes) as part:
            if part.replaced:
                why = "its size or time in the listing has changed"
                self.events.emit(Restarted(file=extract.name, why=why))
            self.options.on_progress(0)
            self._resume(part)
            self._transfer(extract, part)
            check_not_changing(self.source, extract, part.path, self.options)
            file = AppliedFile(extract=extract, size=extract.size, sha256=part.hexdigest())
            downloaded = DownloadedFile(file=file, path=path, pieces=part.pieces)
            write_sidecar(downloaded)
            part.publish()
            sync_directory(path.parent)
            self.options.on_progress(extract.size)
        return downloaded

    def _resume(self, part: PartialFile) -> None:
        """Continue where an earlier run stopped, and report it."""
        name, size = part.version.name, part.version.size
        if part.has_checkpoints:
            self.events.emit(Detail(text=f"checking the partial download of {name}"))
        part.resume()
        if part.position:
            self.events.emit(Resumed(file=name, done=part.position, size=size))

    def _transfer(self, extract: Extract, part: PartialFile) -> None:
        options = self.options
        limiter = RateLimiter(options.bytes_per_second, monotonic=options.monotonic, sleep=options.sleep)
        RangeTransfer(extract=extract, part=part, options=options, events=self.events, limiter=limiter).run(
            self.source
        )


def _verified(downloaded: DownloadedFile) -> DownloadedFile:
    """Compare with the SHA-256 that the source states, if it does (an archive has checksum files)."""
    stated = downloaded.file.extract.sha256
    if stated and stated != downloaded.file.sha256:
        downloaded.remove()
        raise bad_extract(
            Fault.OTHER_SHA256,
            downloaded.file.extract.name,
            f"its SHA-256 is {downloaded.file.sha256}, but its checksum file states {stated}",
        )
    return downloaded
