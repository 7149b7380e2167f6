"""A full loaded while it is still coming in, so that the mirror stands soon after the last byte.

For: :class:`Ahead`, which the fetching side tells how far the file has come. A helper reads the part as far
as its bytes are there in order, and a thread writes the rows into a generation that nobody sees. It is an
attempt and no more: where it ends early, for whatever reason, the download goes on, and the whole file is
loaded as any other, with the same words about what is wrong with it. Refuses: to index, to publish, to
vouch for anything: that takes the whole file (``docs/decisions/0013-overlap.md``).

    with Ahead(job, build) as ahead:
        files = fetch_all(job, source, plan.extracts, ahead)
        loaded = ahead.take(files[plan.full.name])
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from smki_sync.download import Fetched, PatientSource, fetch, part_of
from smki_sync.errors import SmkiSyncError
from smki_sync.events import Detail, Reading
from smki_sync.mirror.build import Builder
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.sync.beside import deaf
from smki_sync.sync.job import Job
from smki_sync.sync.streaming_load import Attempt, Loaded

_LOOK_SECONDS: Final = 0.25
"""Between two words on progress while the last records are loaded."""


class Ahead:
    """A context manager: leaving ends whatever goes on, and removes what was not taken."""

    def __init__(self, job: Job, build: Callable[[Extract], Builder]) -> None:
        """``build``: opens a generation for a full; what it raises means that nothing is loaded ahead."""
        self._job = job
        self._build = build
        self._attempt: Attempt | None = None

    def __enter__(self) -> Self:
        """Nothing goes on yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End it."""
        self._drop()

    def following(self, extract: Extract) -> Callable[[int], None]:
        """Whom to tell how many bytes of a full have come; 0 begins anew."""

        def came(octets: int) -> None:
            if octets == 0:
                self._begin(extract)
            elif self._attempt and self._attempt.failed:
                self._give_up(self._attempt.failed)
            elif self._attempt:
                self._attempt.tell(octets)

        return came

    def take(self, fetched: Fetched) -> Loaded | None:
        """The generation with every row of the whole file in it; ``None`` where it has to be loaded yet.

        Waits for the last rows. The generation is the caller's to enter and to leave.
        """
        attempt, extract = self._attempt, fetched.file.extract
        if attempt is None:
            return None
        attempt.finish(extract.size)
        while attempt.is_loading(wait=_LOOK_SECONDS):
            word = Reading(file=extract.name, records=attempt.records, done=attempt.done, size=extract.size)
            self._job.hear.hear(word)
        if attempt.failed:
            self._give_up(attempt.failed)
            return None
        loaded = attempt.hand_over()
        self._attempt = None
        return loaded

    def _begin(self, extract: Extract) -> None:
        self._drop()
        part = part_of(self._job.directory.downloads / extract.name)
        try:
            with ExitStack() as failing:
                builder = failing.enter_context(self._build(extract))
                with deaf():  # else nobody would know what an interrupt has let start
                    self._attempt = Attempt(self._job, extract, part, builder)
                    failing.pop_all()
        except SmkiSyncError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Say so and go on: what is wrong is said when the whole file is loaded."""
        words = error.message if isinstance(error, SmkiSyncError) else repr(error)
        self._job.hear.hear(Detail(text=f"not loaded while it is fetched: {words}"))
        self._drop()

    def _drop(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt:
            attempt.close()


def fetch_all(
    job: Job, source: PatientSource, extracts: Iterable[Extract], ahead: Ahead
) -> dict[str, Fetched]:
    """Fetch files in order; a full that is large enough is loaded meanwhile."""
    return {extract.name: _fetch(job, source, extract, ahead) for extract in extracts}


def _fetch(job: Job, source: PatientSource, extract: Extract, ahead: Ahead) -> Fetched:
    terms = job.terms
    if extract.kind is ExtractKind.FULL and 0 < job.overlap_bytes <= extract.size:
        terms = replace(terms, came=ahead.following(extract))
    return fetch(source, extract, job.directory.downloads, job.hear, terms)
