"""Load a full while it is still downloading."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Final, Self

from smki_sync.download import DownloadedFile, ReconnectingSource, download, partial_path
from smki_sync.errors import BadExtract, SmkiSyncError
from smki_sync.events import Detail, Reading
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.rows import Batch
from smki_sync.model.certificate import Flag
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.sync.decision import UnusableFile
from smki_sync.sync.job import SyncJob
from smki_sync.sync.notices import ReadStatistics
from smki_sync.sync.reader_process import MARK_BYTES, Helper, batches_from, signals_blocked, start_reader

_TELL_BYTES: Final = 256 << 10
"""Between two words to the helper: it reads as much at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedGeneration:
    """A full that was loaded while it came: the generation so far, what was odd, when it began."""

    builder: GenerationBuilder
    statistics: ReadStatistics
    began: datetime


class StreamingLoadWorker:
    """One reading of one part, from its first byte. Everything but :meth:`_load` is the main thread's."""

    def __init__(self, job: SyncJob, extract: Extract, part: Path, builder: GenerationBuilder) -> None:
        """Start reading what there is of ``part``; takes ``builder`` over, unless it raises.

        Its thread and its process are as :func:`~smki_sync.sync.reader_process.signals_blocked` as who starts
        them.
        """
        self.statistics = ReadStatistics()
        self.builder = builder
        self.began = job.clock()
        self.failed: Exception | None = None
        self.records = self.done = 0
        self._extract = extract
        self._told = 0
        with ExitStack() as failing:
            self._helper = _start(part, job, extract)
            failing.callback(self._end_helper)
            self._thread = Thread(target=self._load, name="load", daemon=True)
            self._thread.start()
            failing.pop_all()

    def close(self) -> None:
        """End everything, and remove the generation."""
        with self.builder:
            self._end()

    def hand_over(self) -> LoadedGeneration:
        """Give the generation away, now that it has every row."""
        self._end()
        return LoadedGeneration(builder=self.builder, statistics=self.statistics, began=self.began)

    def tell(self, came: int) -> None:
        """Let the helper read so far. One that has no time to listen hears it from a later word."""
        if came - self._told >= _TELL_BYTES:
            self._write(came, blocking=False)

    def finish(self, size: int) -> None:
        """Let the helper read to the end."""
        self._write(size, blocking=True)
        assert self._helper.stdin is not None
        with suppress(BrokenPipeError):
            self._helper.stdin.close()

    def is_loading(self, *, wait: float = 0) -> bool:
        """Whether there is more to load, after ``wait`` seconds at most."""
        self._thread.join(wait)
        return self._thread.is_alive()

    def _write(self, came: int, *, blocking: bool) -> None:
        assert self._helper.stdin is not None
        pipe = self._helper.stdin.fileno()
        os.set_blocking(pipe, blocking)
        with suppress(BrokenPipeError, BlockingIOError):  # it has ended, as the thread will say; or is behind
            os.write(pipe, came.to_bytes(MARK_BYTES))
            self._told = came

    def _load(self) -> None:
        try:
            self.builder.load_batches(self._extract, self._batches())
        except Exception as error:  # noqa: BLE001 - whatever it is: the whole file is loaded as any other
            self.failed = error
            self._helper.kill()  # nobody reads it any more, and who tells it must not wait for it

    def _batches(self) -> Iterator[Batch]:
        def tell(records: int, done: int) -> None:
            self.records, self.done = records, done

        name, odd = self._extract.name, self.statistics
        for batch in batches_from(self._helper, name, tell, lambda near: odd.note_limit(name, near)):
            for row in batch.rows:
                if row.flags:
                    odd.note(Flag(row.flags))
            yield batch

    def _end(self) -> None:
        self._helper.kill()  # then the thread's next look at it is its last
        self._thread.join()
        self._end_helper()

    def _end_helper(self) -> None:
        self._helper.kill()
        for pipe in (self._helper.stdin, self._helper.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._helper.wait()


def _start(part: Path, job: SyncJob, extract: Extract) -> Helper:
    """A helper that has the part open, whatever its name becomes."""
    with disk_errors(part):
        handle = os.open(part, os.O_RDONLY)
    try:
        path = Path(f"/dev/fd/{handle}")
        return start_reader(path, extract.name, job.limits, following=True, handles=(handle,))
    finally:
        os.close(handle)


_LOOK_SECONDS: Final = 0.25
"""Between two words on progress while the last records are loaded."""


class StreamingLoad:
    """A context manager: leaving ends whatever goes on, and removes what was not taken."""

    def __init__(self, job: SyncJob, build: Callable[[Extract], GenerationBuilder]) -> None:
        """``build``: opens a generation for a full; what it raises means that nothing is loaded ahead."""
        self._job = job
        self._build = build
        self._attempt: StreamingLoadWorker | None = None

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

    def take(self, fetched: DownloadedFile) -> LoadedGeneration | None:
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
        part = partial_path(self._job.directory.downloads / extract.name)
        try:
            with ExitStack() as failing:
                builder = failing.enter_context(self._build(extract))
                with signals_blocked():  # else nobody would know what an interrupt has let start
                    self._attempt = StreamingLoadWorker(self._job, extract, part, builder)
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


def download_all(
    job: SyncJob, source: ReconnectingSource, extracts: Iterable[Extract], streaming: StreamingLoad
) -> tuple[dict[str, DownloadedFile], tuple[UnusableFile, ...]]:
    """Download files in order, and load a large full meanwhile; return them, and the unusable ones."""
    files: dict[str, DownloadedFile] = {}
    damaged: list[UnusableFile] = []
    for extract in extracts:
        try:
            files[extract.name] = _download(job, source, extract, streaming)
        except BadExtract as error:
            damaged.append(UnusableFile(extract=extract, error=error))
    return files, tuple(damaged)


def _download(
    job: SyncJob, source: ReconnectingSource, extract: Extract, streaming: StreamingLoad
) -> DownloadedFile:
    terms = job.terms
    if extract.kind is ExtractKind.FULL and 0 < job.overlap_bytes <= extract.size:
        terms = replace(terms, on_progress=streaming.following(extract))
    return download(source, extract, job.directory.downloads, job.hear, terms)
