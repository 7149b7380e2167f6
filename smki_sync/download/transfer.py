"""Transfer one range; detect a file that changes while it is downloaded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from smki_sync.download.local_file import read_chunks
from smki_sync.download.partial_file import RangeWriter
from smki_sync.download.retry import MIB, DownloadOptions, RateLimiter, ReconnectingSource, TransferRecord
from smki_sync.errors import BadExtract, SmkiSyncError, SourceMissing, SourceUnreachable
from smki_sync.events import Downloading, EventListener, Waiting
from smki_sync.model.extract import Extract, RemoteFile
from smki_sync.reader.gzip_stream import MAGIC, GzipStream, ReaderLimits
from smki_sync.sources.base import Chunks, Source

LOOK_SECONDS: Final = 15.0
"""Between two looks at a file that changes: uploads write more often than that."""

SHORTEST_LOOK: Final = 0.05
"""Seconds; the shortest pause before a second look."""

PROVE_BYTES: Final = 64 * MIB
"""Largest .gz whose checksum is worked out before it counts as published: a third of a second. A larger one
took long enough to fetch for the second look to tell."""


def is_same_file(listed: RemoteFile, extract: Extract) -> bool:
    """Whether a look shows the file that was on offer."""
    return (listed.size, listed.modified) == (extract.size, extract.modified)


def find_in_listing(source: Source, name: str) -> RemoteFile:
    """Look at one file again; raises ``SourceMissing`` where it has gone."""
    for listed in source.fetch_listing():
        if listed.name == name:
            return listed
    raise SourceMissing(
        f"{name} was on offer at {source.title} and has gone", hint="The next run sees what is there then."
    )


def changed_during_download(extract: Extract, what: str) -> SourceUnreachable:
    """Word that a file is not the one that was listed."""
    return SourceUnreachable(
        f"{extract.name} {what} where the listing said {extract.size}",
        hint="It was replaced or is still being written; the next run looks again.",
        code="changed-while-fetched",
    )


def check_not_changing(source: Source, extract: Extract, part: Path, terms: DownloadOptions) -> None:
    """Look again at a young file; raises ``changed-while-fetched`` where it changes."""
    age = _age(extract, terms)
    if abs(age) >= terms.young:
        return
    if not _ends_well(part, extract):
        terms.sleep(min(max(abs(age), SHORTEST_LOOK), LOOK_SECONDS))
    listed = find_in_listing(source, extract.name)
    if not is_same_file(listed, extract):
        raise changed_during_download(
            extract, f"has grown or was replaced: it is listed with {listed.size} bytes"
        )


def _age(extract: Extract, terms: DownloadOptions) -> float:
    """Seconds since the file changed; none where nobody knows, which is taken for now."""
    return (terms.clock() - extract.modified).total_seconds() if extract.modified else 0.0


def _ends_well(part: Path, extract: Extract) -> bool:
    """Whether the gz data looks whole: its checksums are right, or it is too large to look at all of it."""
    if extract.size > PROVE_BYTES:
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
    """Waits for a file that changes. ``waited``: seconds so far, over all waits for this file."""

    terms: DownloadOptions
    hear: EventListener
    waited: float = 0.0

    def wait(self, source: Source, extract: Extract, error: SourceUnreachable) -> Extract:
        """Wait until two looks agree; the extract as it is listed then.

        Raises ``error`` again, with how long it was waited for, once ``Terms.changing`` is over.
        """
        last = find_in_listing(source, extract.name)
        while self.waited < self.terms.changing:
            pause = min(LOOK_SECONDS, self.terms.changing - self.waited)
            self.hear.hear(Waiting(file=extract.name, message=error.message, pause=round(pause, 1)))
            self.terms.sleep(pause)
            self.waited += pause
            listed = find_in_listing(source, extract.name)
            if listed == last:
                return replace(extract, size=listed.size, modified=listed.modified)
            last = listed
        if not self.waited:
            raise error
        raise SourceUnreachable(
            f"{error.message}; it was waited for {self.waited:.0f} s", hint=error.hint, code=error.reason
        ) from error


class DifferentFileError(Exception):
    """What is on offer under this name is not what the part was begun from."""


def _nothing() -> int:
    return 0


@dataclass(slots=True, kw_only=True)
class RangeTransfer:
    """``elsewhere``: tells how many bytes of the file other lanes have, for the progress that is told."""

    extract: Extract
    lane: RangeWriter
    terms: DownloadOptions
    hear: EventListener
    pace: RateLimiter
    elsewhere: Callable[[], int] = _nothing
    _tries: int = field(default=0, init=False)

    def run(self, source: ReconnectingSource) -> None:
        """Fetch what is missing of the lane.

        Raises what the source raises, ``SourceUnreachable`` (``changed-while-fetched``) where more or fewer
        bytes come than the listing stated, and ``OtherFileError``.
        """
        if not self.lane.done:
            source.patiently(self._attempt, moved=lambda: self.lane.at)

    def _attempt(self, source: Source) -> None:
        began, begin, outcome = self.terms.clock(), self.lane.at, "interrupted"
        try:
            if self._tries:
                self.lane.next_piece()
                self._check_listed(source)
            self._tries += 1
            self._carry(source)
            outcome = "whole"
        except SmkiSyncError as error:
            outcome = error.reason
            raise
        except DifferentFileError:
            outcome = "other-file"
            raise
        finally:
            self.terms.ledger(
                TransferRecord(
                    file=self.extract.name,
                    size=self.extract.size,
                    started=began,
                    ended=self.terms.clock(),
                    begin=begin,
                    end=self.lane.at,
                    outcome=outcome,
                )
            )

    def _check_listed(self, source: Source) -> None:
        listed = find_in_listing(source, self.extract.name)
        if not is_same_file(listed, self.extract):
            raise changed_during_download(
                self.extract, f"is listed with {listed.size} bytes, changed at {listed.modified}"
            )

    def _carry(self, source: Source) -> None:
        lane, extract = self.lane, self.extract
        seam = lane.seam()
        with source.fetch(extract.name, offset=lane.at - len(seam)) as chunks:
            for chunk in skip_resume_overlap(chunks, seam):
                self._take(chunk)
                if lane.done and lane.stretch.end < extract.size:
                    return  # the rest belongs to the next lane
        if not lane.done:
            raise changed_during_download(extract, f"gave {lane.at} bytes")

    def _take(self, chunk: bytes) -> None:
        lane, extract = self.lane, self.extract
        if lane.at + len(chunk) > lane.stretch.end:
            if lane.stretch.end == extract.size:
                raise changed_during_download(extract, f"gave {lane.at + len(chunk)} bytes or more")
            chunk = chunk[: lane.stretch.end - lane.at]
        self.pace.take(len(chunk))
        lane.write(chunk)
        if lane.stretch.start == 0:
            self.terms.came(lane.at)
        done = self.elsewhere() + lane.gained
        self.hear.hear(Downloading(file=extract.name, done=done, size=extract.size))


def skip_resume_overlap(chunks: Chunks, seam: bytes) -> Iterator[bytes]:
    """Compare the first bytes with what the disk holds, and give those after them.

    Raises ``OtherFileError`` where they differ.
    """
    for chunk in chunks:
        compared = min(len(chunk), len(seam))
        if chunk[:compared] != seam[:compared]:
            raise DifferentFileError
        seam = seam[compared:]
        if len(chunk) > compared:
            yield chunk[compared:] if compared else chunk
