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

from smki_sync.download import (
    DownloadedFile,
    ReconnectingSource,
    concerns_one_file,
    download,
    partial_path,
)
from smki_sync.errors import BadExtract, SmkiSyncError, SourceError
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

_MARK_INTERVAL: Final = 256 << 10
"""Bytes between two marks to the helper process, which reads this much at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedGeneration:
    """A full that was loaded during its download. ``began``: when loading began."""

    builder: GenerationBuilder
    statistics: ReadStatistics
    began: datetime


class StreamingLoadWorker:
    """Loads one partial download from its first byte. Only :meth:`_load` runs outside the main thread."""

    def __init__(self, job: SyncJob, extract: Extract, part: Path, builder: GenerationBuilder) -> None:
        """Start to read ``part``. The worker then owns ``builder``, unless this raises.

        Its thread and its process inherit the signal mask. Call this within
        :func:`~smki_sync.sync.reader_process.signals_blocked`.
        """
        self.statistics = ReadStatistics()
        self.builder = builder
        self.began = job.clock()
        self.failed: Exception | None = None
        self.records = self.done = 0
        self._extract = extract
        self._allowed = 0
        with ExitStack() as undo:
            self._helper = _start(part, job, extract)
            undo.callback(self._end_helper)
            self._thread = Thread(target=self._load, name="load", daemon=True)
            self._thread.start()
            undo.pop_all()

    def close(self) -> None:
        """Stop the thread and the process, and remove the generation."""
        with self.builder:
            self._end()

    def hand_over(self) -> LoadedGeneration:
        """Return the generation, which has every row; the caller then owns it."""
        self._end()
        return LoadedGeneration(builder=self.builder, statistics=self.statistics, began=self.began)

    def tell(self, received: int) -> None:
        """Let the helper process read up to ``received`` bytes. Skips a full pipe; a later mark follows."""
        if received - self._allowed >= _MARK_INTERVAL:
            self._write(received, blocking=False)

    def finish(self, size: int) -> None:
        """Let the helper process read to the end of the file."""
        self._write(size, blocking=True)
        assert self._helper.stdin is not None
        with suppress(BrokenPipeError):
            self._helper.stdin.close()

    def is_loading(self, *, wait: float = 0) -> bool:
        """Wait up to ``wait`` seconds for the end; return whether loading continues."""
        self._thread.join(wait)
        return self._thread.is_alive()

    def _write(self, received: int, *, blocking: bool) -> None:
        assert self._helper.stdin is not None
        pipe = self._helper.stdin.fileno()
        os.set_blocking(pipe, blocking)
        with suppress(
            BrokenPipeError, BlockingIOError
        ):  # it ended (the thread reports it), or its pipe is full
            os.write(pipe, received.to_bytes(MARK_BYTES))
            self._allowed = received

    def _load(self) -> None:
        try:
            self.builder.load_batches(self._extract, self._batches())
        except Exception as error:  # noqa: BLE001 - after any error, the complete file is loaded again
            self.failed = error
            self._helper.kill()  # its output is not needed, and writing marks to it must not block

    def _batches(self) -> Iterator[Batch]:
        def tell(records: int, done: int) -> None:
            self.records, self.done = records, done

        name, statistics = self._extract.name, self.statistics
        for batch in batches_from(self._helper, name, tell, lambda near: statistics.note_limit(name, near)):
            for row in batch.rows:
                if row.flags:
                    statistics.note(Flag(row.flags))
            yield batch

    def _end(self) -> None:
        self._helper.kill()  # so that the thread ends at its next read
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
    """Start a helper process that reads the open file, so that the file may be renamed."""
    with disk_errors(part):
        handle = os.open(part, os.O_RDONLY)
    try:
        path = Path(f"/dev/fd/{handle}")
        return start_reader(path, extract.name, job.limits, following=True, handles=(handle,))
    finally:
        os.close(handle)


_PROGRESS_SECONDS: Final = 0.25
"""Seconds between two progress reports while the last records are loaded."""


class StreamingLoad:
    """Loads fulls during their downloads. Leaving the context stops and removes an unfinished load."""

    def __init__(self, job: SyncJob, build: Callable[[Extract], GenerationBuilder]) -> None:
        """``build``: creates a generation for a full. If it raises, the full is loaded after its download."""
        self._job = job
        self._build = build
        self._attempt: StreamingLoadWorker | None = None

    def __enter__(self) -> Self:
        """Return it unchanged."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop the load, and remove its generation."""
        self._drop()

    def following(self, extract: Extract) -> Callable[[int], None]:
        """Return the callback for the downloaded bytes of a full; 0 starts the load again."""

        def received(count: int) -> None:
            if count == 0:
                self._begin(extract)
            elif self._attempt and self._attempt.failed:
                self._give_up(self._attempt.failed)
            elif self._attempt:
                self._attempt.tell(count)

        return received

    def take(self, fetched: DownloadedFile) -> LoadedGeneration | None:
        """Wait for the last rows, and return the generation; ``None`` if the file must still be loaded.

        The caller then owns the generation, and must enter and leave it.
        """
        attempt, extract = self._attempt, fetched.file.extract
        if attempt is None:
            return None
        attempt.finish(extract.size)
        while attempt.is_loading(wait=_PROGRESS_SECONDS):
            progress = Reading(
                file=extract.name, records=attempt.records, done=attempt.done, size=extract.size
            )
            self._job.events.emit(progress)
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
            with ExitStack() as undo:
                builder = undo.enter_context(self._build(extract))
                with signals_blocked():  # an interrupt here would leave a process that is not registered
                    self._attempt = StreamingLoadWorker(self._job, extract, part, builder)
                    undo.pop_all()
        except SmkiSyncError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Report the error and stop the load; the complete file is loaded later and reports its errors."""
        reason = error.message if isinstance(error, SmkiSyncError) else repr(error)
        self._job.events.emit(Detail(text=f"not loaded while it is fetched: {reason}"))
        self._drop()

    def _drop(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt:
            attempt.close()


def download_all(
    job: SyncJob, source: ReconnectingSource, extracts: Iterable[Extract], streaming: StreamingLoad
) -> tuple[dict[str, DownloadedFile], tuple[UnusableFile, ...]]:
    """Download files in order, and load a large full meanwhile; return them, and the unusable ones.

    A file that is not available does not block the others. After the source is lost, no other is tried.
    """
    files: dict[str, DownloadedFile] = {}
    unusable: list[UnusableFile] = []
    for extract in extracts:
        try:
            files[extract.name] = _download(job, source, extract, streaming)
        except (BadExtract, SourceError) as error:
            unusable.append(UnusableFile(extract=extract, error=error))
            if isinstance(error, SourceError) and not concerns_one_file(error):
                break
    return files, tuple(unusable)


def _download(
    job: SyncJob, source: ReconnectingSource, extract: Extract, streaming: StreamingLoad
) -> DownloadedFile:
    download_options = job.download_options
    if extract.kind is ExtractKind.FULL and 0 < job.overlap_bytes <= extract.size:
        download_options = replace(download_options, on_progress=streaming.following(extract))
    return download(source, extract, job.directory.downloads, job.events, download_options)
