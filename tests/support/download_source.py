"""A fake source of one file, which can break off, be replaced or grow, and a fake clock."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from smki_sync.download import (
    DownloadedFile,
    DownloadOptions,
    ReconnectingSource,
    RetryPolicy,
    TransferRecord,
    download,
)
from smki_sync.errors import SourceUnreachable
from smki_sync.events import Event
from smki_sync.model.extract import Extract, ExtractKind, RemoteFile

BODY = random.Random(20_261_120).randbytes(768_000)
NAME = "SMKIKR_DELT_2026-11-20.xml.gz"
SEEN = datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC)
CHUNK = 100_000
OVERLAP = 65_536


def down() -> SourceUnreachable:
    return SourceUnreachable("the line is down", hint="wait", code="connection-lost")


@dataclass
class FakeSource:
    """A source of one file, in chunks. ``breaks``: offsets at which it breaks off, one a transfer.

    ``asked``: the offset of each transfer. ``given``: bytes handed out. ``before_listing``: what happens
    meanwhile.
    """

    body: bytes = BODY
    modified: datetime | None = SEEN
    breaks: list[int | None] = field(default_factory=list)
    fault: Callable[[], BaseException] = down
    asked: list[int] = field(default_factory=list)
    given: int = 0
    opened: int = 0
    closed: int = 0
    listings: int = 0
    before_listing: Callable[["FakeSource"], None] = lambda _: None
    title: str = "fake"

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.closed += 1

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        self.listings += 1
        self.before_listing(self)
        return (RemoteFile(name=NAME, size=len(self.body), modified=self.modified),)

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Iterator[bytes]]:
        assert name == NAME
        self.asked.append(offset)
        yield self._chunks(offset, self.breaks.pop(0) if self.breaks else None)

    def _chunks(self, offset: int, stop: int | None) -> Iterator[bytes]:
        for at in range(offset, len(self.body), CHUNK):
            if stop is not None and at >= stop:
                raise self.fault()
            chunk = self.body[at : at + CHUNK]
            self.given += len(chunk)
            yield chunk


@dataclass
class RecordingListener:
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class FakeClock:
    """A clock that only sleeping moves. ``pauses``: how long was slept. ``meanwhile``: what happens then."""

    now: datetime = SEEN + timedelta(hours=4)
    pauses: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)
        self.meanwhile()


def options(
    time: FakeClock,
    *,
    attempts: int = 1,
    recheck_seconds: float = 0,
    stability_seconds: float = 0,
    bytes_per_second: int = 0,
    checkpoint_bytes: int = 2 * CHUNK,
    on_transfer: Callable[[TransferRecord], None] = lambda _: None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> DownloadOptions:
    return DownloadOptions(
        retry=RetryPolicy(attempts=attempts, first_pause=5, factor=3, longest_pause=60, jitter=0.2),
        recheck_seconds=recheck_seconds,
        stability_seconds=stability_seconds,
        bytes_per_second=bytes_per_second,
        checkpoint_bytes=checkpoint_bytes,
        on_transfer=on_transfer,
        on_progress=on_progress,
        clock=time,
        monotonic=time.seconds,
        sleep=time.sleep,
        random=lambda: 0.5,
    )


def extract(size: int = len(BODY), modified: datetime | None = SEEN) -> Extract:
    day = date(2026, 11, 20)
    return Extract(kind=ExtractKind.DELTA, day=day, name=NAME, size=size, modified=modified)


def get(
    fake: FakeSource,
    path: Path,
    wanted: Extract | None = None,
    listener: RecordingListener | None = None,
    on: DownloadOptions | None = None,
) -> DownloadedFile:
    """One run's download of the one file."""
    on, listener = on or options(FakeClock()), listener or RecordingListener()
    with ReconnectingSource(lambda: fake, options=on, events=listener) as source:
        return download(source, wanted or extract(), path, listener, on)


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir())
