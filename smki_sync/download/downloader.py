"""download(): one file, complete, hashed and durable, or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smki_sync.download.local_file import DownloadedFile, hold_downloaded, write_sidecar
from smki_sync.download.parallel import ParallelDownload, ParallelRequest
from smki_sync.download.partial_file import PartialFile, RangeWriter, discard_partial_file
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
from smki_sync.events import Detail, Downloading, EventListener, Restarted, Resumed
from smki_sync.files import sync_directory
from smki_sync.mirror.connection import disk_errors
from smki_sync.model.extract import Extract
from smki_sync.model.plan import AppliedFile
from smki_sync.sources.base import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloader:
    """Fetches what is missing of one part. Raises what :meth:`Haul.run` raises."""

    extract: Extract
    part: PartialFile
    terms: DownloadOptions
    hear: EventListener

    def fetch(self, source: ReconnectingSource) -> None:
        """Fetch every lane."""
        first, *others = self.part.lanes
        (second,) = others or (None,)
        if second is None:
            self._haul(first, self.terms.bandwidth, lambda: 0).run(source)
        elif self.terms.second is None or second.believe():
            self._haul(first, self.terms.bandwidth, lambda: second.gained).run(source)
            self._finish(source, first, second)
        else:
            self._fetch_beside(source, first, second)

    def _fetch_beside(self, source: ReconnectingSource, first: RangeWriter, second: RangeWriter) -> None:
        """Let another process fetch the second lane; where it fails, do it here."""
        share = (self.terms.bandwidth + 1) // 2
        with ParallelDownload(self._errand(second, share)) as other:
            self._haul(first, share, other.glance).run(source)
            while other.follow():
                done, size = first.gained + other.done, self.extract.size
                self.hear.hear(Downloading(file=self.extract.name, done=done, size=size))
        if not second.believe():
            why = f"the second session fetched no more of {self.extract.name}: {other.why}"
            self.hear.hear(Detail(text=why))
        self._finish(source, first, second)

    def _finish(self, source: ReconnectingSource, first: RangeWriter, second: RangeWriter) -> None:
        """Fetch what is missing of the second lane after the first."""
        if not second.done:
            self._haul(second, self.terms.bandwidth, lambda: first.gained).run(source)

    def _haul(self, lane: RangeWriter, rate: int, elsewhere: Callable[[], int]) -> RangeTransfer:
        """Go on with a lane where an earlier run left it, and say so."""
        if lane.journal.exists():
            self.hear.hear(Detail(text=f"reading back what is here of {self.extract.name}"))
        self.part.take_up(lane)
        if lane.gained:
            size = lane.stretch.end - lane.stretch.start
            self.hear.hear(Resumed(file=self.extract.name, done=lane.gained, size=size))
        return RangeTransfer(
            extract=self.extract,
            lane=lane,
            terms=self.terms,
            hear=self.hear,
            pace=RateLimiter(rate, seconds=self.terms.seconds, sleep=self.terms.sleep),
            elsewhere=elsewhere,
        )

    def _errand(self, lane: RangeWriter, bandwidth: int) -> ParallelRequest:
        assert self.terms.second is not None  # asked by whoever calls
        return ParallelRequest(
            opening=self.terms.second(),
            extract=self.extract,
            part=self.part.path,
            journal=lane.journal,
            stretch=lane.stretch,
            mark_bytes=self.terms.mark_bytes,
            bandwidth=bandwidth,
            retry=self.terms.retry,
        )


_RESTARTS: Final = 3
"""How often one download may turn out to belong to another file before that is a fault of the source."""

_PLAIN = DownloadOptions()


def download(
    source: Source, extract: Extract, directory: Path, hear: EventListener, terms: DownloadOptions = _PLAIN
) -> DownloadedFile:
    """Fetch one extract into ``directory``, unless an earlier run left it there intact.

    ``source``: where it is a :class:`ReconnectingSource`, faults that may pass are tried again. The file may
    turn
    out to be a newer one than was listed: then :attr:`Fetched.file` says so. Raises what the source raises,
    and ``SourceUnreachable`` (``changed-while-fetched``) where the file does not stop changing.
    """
    path = directory / extract.name
    here = hold_downloaded(path, extract)
    if here:
        hear.hear(Detail(text=f"{extract.name} is here already, SHA-256 {here.file.sha256}"))
        return here
    patient = (
        source if isinstance(source, ReconnectingSource) else ReconnectingSource.around(source, hear=hear)
    )
    settling = StabilityWait(terms=terms, hear=hear)
    while True:
        try:
            return _as_stated(_download(patient, extract, path, hear, terms))
        except SourceUnreachable as error:
            if retry_action_of(error) is not RetryAction.WAIT:
                raise
            extract = settling.wait(patient, extract, error)


def _as_stated(fetched: DownloadedFile) -> DownloadedFile:
    """Hold a file against the hash that its source states, where it does (an archive has sidecars)."""
    stated = fetched.file.extract.sha256
    if stated and stated != fetched.file.sha256:
        fetched.remove()
        raise bad_extract(
            Fault.OTHER_SHA256,
            fetched.file.extract.name,
            f"its SHA-256 is {fetched.file.sha256}, beside it is stated {stated}",
        )
    return fetched


def _download(
    source: ReconnectingSource, extract: Extract, path: Path, hear: EventListener, terms: DownloadOptions
) -> DownloadedFile:
    for _ in range(_RESTARTS):
        try:
            return _bring(source, extract, path, hear, terms)
        except DifferentFileError:
            with disk_errors(path):
                discard_partial_file(path)
            why = "what came before is not the beginning of the file on offer"
            hear.hear(Restarted(file=extract.name, why=why))
    raise changed_during_download(extract, "was another file each time it was gone on with,")


def _bring(
    source: ReconnectingSource, extract: Extract, path: Path, hear: EventListener, terms: DownloadOptions
) -> DownloadedFile:
    split = terms.second is not None and extract.size >= terms.split_bytes
    with disk_errors(path), PartialFile(path, extract, every=terms.mark_bytes, split=split) as part:
        if part.foreign:
            hear.hear(Restarted(file=extract.name, why="it is on offer with another size or time"))
        terms.came(0)
        Downloader(extract=extract, part=part, terms=terms, hear=hear).fetch(source)
        check_not_changing(source, extract, part.path, terms)
        file = AppliedFile(extract=extract, size=extract.size, sha256=part.hexdigest())
        fetched = DownloadedFile(file=file, path=path, pieces=part.pieces)
        write_sidecar(fetched)
        part.become_whole()
        sync_directory(path.parent)
        terms.came(extract.size)
    return fetched
