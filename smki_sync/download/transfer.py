"""One lane's bytes from the source to the disk, in as many attempts as it takes.

For: going on where the last attempt, or the last run, stopped: the bytes before that place are fetched once
more and compared with the disk. After a fault the listing is asked too: the file must have the same size and
time. Refuses: to join bytes of two files; whoever called decides what then.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from smki_sync.download.partial_file import Lane
from smki_sync.download.retry import PatientSource
from smki_sync.errors import SmkiSyncError
from smki_sync.events import Fetching, Listener
from smki_sync.fetch.pace import Pace
from smki_sync.fetch.settle import changed, find, same
from smki_sync.fetch.terms import Terms, Transfer
from smki_sync.model.extract import Extract
from smki_sync.sources.base import Chunks, Source


class OtherFileError(Exception):
    """What is on offer under this name is not what the part was begun from."""


def _nothing() -> int:
    return 0


@dataclass(slots=True, kw_only=True)
class Haul:
    """``elsewhere``: tells how many bytes of the file other lanes have, for the progress that is told."""

    extract: Extract
    lane: Lane
    terms: Terms
    hear: Listener
    pace: Pace
    elsewhere: Callable[[], int] = _nothing
    _tries: int = field(default=0, init=False)

    def run(self, source: PatientSource) -> None:
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
        except OtherFileError:
            outcome = "other-file"
            raise
        finally:
            self.terms.ledger(
                Transfer(
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
        listed = find(source, self.extract.name)
        if not same(listed, self.extract):
            raise changed(self.extract, f"is listed with {listed.size} bytes, changed at {listed.modified}")

    def _carry(self, source: Source) -> None:
        lane, extract = self.lane, self.extract
        seam = lane.seam()
        with source.fetch(extract.name, offset=lane.at - len(seam)) as chunks:
            for chunk in past_seam(chunks, seam):
                self._take(chunk)
                if lane.done and lane.stretch.end < extract.size:
                    return  # the rest belongs to the next lane
        if not lane.done:
            raise changed(extract, f"gave {lane.at} bytes")

    def _take(self, chunk: bytes) -> None:
        lane, extract = self.lane, self.extract
        if lane.at + len(chunk) > lane.stretch.end:
            if lane.stretch.end == extract.size:
                raise changed(extract, f"gave {lane.at + len(chunk)} bytes or more")
            chunk = chunk[: lane.stretch.end - lane.at]
        self.pace.take(len(chunk))
        lane.write(chunk)
        if lane.stretch.start == 0:
            self.terms.came(lane.at)
        done = self.elsewhere() + lane.gained
        self.hear.hear(Fetching(file=extract.name, done=done, size=extract.size))


def past_seam(chunks: Chunks, seam: bytes) -> Iterator[bytes]:
    """Compare the first bytes with what the disk holds, and give those after them.

    Raises ``OtherFileError`` where they differ.
    """
    for chunk in chunks:
        compared = min(len(chunk), len(seam))
        if chunk[:compared] != seam[:compared]:
            raise OtherFileError
        seam = seam[compared:]
        if len(chunk) > compared:
            yield chunk[compared:] if compared else chunk
