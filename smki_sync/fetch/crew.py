"""All lanes of one part: one after the other, or the second in another process beside the first.

For: a file in one range or in two, behind one call. Refuses: to give up a file because the other process did.
"""

from collections.abc import Callable
from dataclasses import dataclass

from smki_sync.download.partial_file import Lane
from smki_sync.download.retry import PatientSource
from smki_sync.download.transfer import Haul
from smki_sync.events import Detail, Fetching, Listener, Resumed
from smki_sync.fetch.beside import Beside
from smki_sync.fetch.errand import Errand
from smki_sync.fetch.pace import Pace
from smki_sync.fetch.part import Part
from smki_sync.fetch.terms import Terms
from smki_sync.model.extract import Extract


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Fetches what is missing of one part. Raises what :meth:`Haul.run` raises."""

    extract: Extract
    part: Part
    terms: Terms
    hear: Listener

    def fetch(self, source: PatientSource) -> None:
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

    def _fetch_beside(self, source: PatientSource, first: Lane, second: Lane) -> None:
        """Let another process fetch the second lane; where it fails, do it here."""
        share = (self.terms.bandwidth + 1) // 2
        with Beside(self._errand(second, share)) as other:
            self._haul(first, share, other.glance).run(source)
            while other.follow():
                done, size = first.gained + other.done, self.extract.size
                self.hear.hear(Fetching(file=self.extract.name, done=done, size=size))
        if not second.believe():
            why = f"the second session fetched no more of {self.extract.name}: {other.why}"
            self.hear.hear(Detail(text=why))
        self._finish(source, first, second)

    def _finish(self, source: PatientSource, first: Lane, second: Lane) -> None:
        """Fetch what is missing of the second lane after the first."""
        if not second.done:
            self._haul(second, self.terms.bandwidth, lambda: first.gained).run(source)

    def _haul(self, lane: Lane, rate: int, elsewhere: Callable[[], int]) -> Haul:
        """Go on with a lane where an earlier run left it, and say so."""
        if lane.journal.exists():
            self.hear.hear(Detail(text=f"reading back what is here of {self.extract.name}"))
        self.part.take_up(lane)
        if lane.gained:
            size = lane.stretch.end - lane.stretch.start
            self.hear.hear(Resumed(file=self.extract.name, done=lane.gained, size=size))
        return Haul(
            extract=self.extract,
            lane=lane,
            terms=self.terms,
            hear=self.hear,
            pace=Pace(rate, seconds=self.terms.seconds, sleep=self.terms.sleep),
            elsewhere=elsewhere,
        )

    def _errand(self, lane: Lane, bandwidth: int) -> Errand:
        assert self.terms.second is not None  # asked by whoever calls
        return Errand(
            opening=self.terms.second(),
            extract=self.extract,
            part=self.part.path,
            journal=lane.journal,
            stretch=lane.stretch,
            mark_bytes=self.terms.mark_bytes,
            bandwidth=bandwidth,
            retry=self.terms.retry,
        )
