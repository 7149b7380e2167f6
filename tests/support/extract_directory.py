"""A repository in a directory, file by file as a test wants it, from real certificates.

For: runs whose every record is known. The simulator lives a life of its own; here the test decides
what stands in which file. Certificates are named by their number in the pool.
"""

import gzip
import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import Self

from smki_sync.errors import SourceUnreachable
from smki_sync.events import Event
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.model.extract import ListPolicy, RemoteFile
from smki_sync.model.plan import Policy
from smki_sync.sources.base import Chunks, Limits
from smki_sync.sources.directory import DirectorySource
from smki_sync.sync import SyncJob

NOW = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)
POISON = "<CertificateResponse><CertificateStatus>I</CertificateStatus></CertificateResponse>"

Said = dict[int, str]
"""Number in the pool to status."""


def november(day: int) -> date:
    return date(2026, 11, day)


@dataclass(frozen=True)
class Shelf:
    """A directory of extracts. ``pool``: the DER of real certificates."""

    path: Path
    pool: tuple[bytes, ...]

    def full(self, day: int, said: Said, *, poison: int = 0) -> Path:
        return self.put(f"SMKIKR_FULL_{november(day)}.xml.gz", self.xml(said, poison=poison), day)

    def delta(self, day: int, said: Said | None = None, *, poison: int = 0) -> Path:
        return self.put(f"SMKIKR_DELT_{november(day)}.xml.gz", self.xml(said or {}, poison=poison), day)

    def deltas(self, *numbers: int) -> None:
        for day in numbers:
            self.delta(day)

    def xml(self, said: Said, *, poison: int = 0, more: Iterable[str] = ()) -> bytes:
        records = [self._record(n, status) for n, status in said.items()] + [POISON] * poison
        return "".join(("<CertificateDataResponse>", *records, *more, "</CertificateDataResponse>")).encode()

    def put(self, name: str, xml: bytes, day: int) -> Path:
        path = self.path / name
        path.write_bytes(gzip.compress(xml, mtime=0))
        self.stamp(path, day)
        return path

    def stamp(self, path: Path, day: int, hour: int = 3) -> None:
        """Give a file a time of change that does not depend on when the test runs."""
        moment = datetime.combine(november(day), time(hour), UTC).timestamp()
        os.utime(path, (moment, moment))

    def remove(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink()

    def _record(self, n: int, status: str) -> str:
        body = b64encode(self.pool[n]).decode()
        return (
            f"<CertificateResponse><CertificateStatus>{status}</CertificateStatus>"
            f"<CertificateBody>{body}</CertificateBody></CertificateResponse>"
        )


@dataclass
class Watched:
    """The directory source, and what was asked of it. ``before_fetch``: what happens meanwhile."""

    inner: DirectorySource
    fetched: list[str] = field(default_factory=list)
    listings: int = 0
    opened: int = 0
    closed: int = 0
    before_fetch: Callable[[str], None] = lambda _: None

    @property
    def title(self) -> str:
        return self.inner.title

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.closed += 1

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        self.listings += 1
        return self.inner.fetch_listing()

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Chunks]:
        self.before_fetch(name)
        self.fetched.append(name)
        with self.inner.fetch(name, offset=offset) as chunks:
            yield chunks


class Unplugged(Watched):
    """The same with the line down."""

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        raise SourceUnreachable("the line is down")


@dataclass
class Ear:
    """A listener that keeps what it hears. ``react``: what happens meanwhile."""

    events: list[Event] = field(default_factory=list)
    react: Callable[[Event], None] = lambda _: None

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.react(event)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Party:
    """A Party with its mirror directory: makes the job of a day, keeps what came of it."""

    shelf: Shelf
    directory: MirrorDirectory
    source: Watched = field(init=False)
    ear: Ear = field(default_factory=Ear)

    def __post_init__(self) -> None:
        self.source = Watched(DirectorySource(self.shelf.path, limits=Limits()))

    def job(self, today: int, *, keep_previous: bool = True) -> SyncJob:
        return SyncJob(
            directory=self.directory,
            open_source=lambda: self.source,
            today=november(today),
            policy=Policy(),
            lists=ListPolicy(expected=False),
            keep_previous=keep_previous,
            events=self.ear,
            clock=lambda: NOW,
        )
