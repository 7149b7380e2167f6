"""Source wrappers: LoginGuard (lockout) and FallbackSource."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from smki_sync.errors import MirrorError, SourceError, SourceMissing, SourceRefused
from smki_sync.mirror.history import RefusedLogins
from smki_sync.mirror.ledger import utc
from smki_sync.model.extract import RemoteFile
from smki_sync.sources.base import Chunks, OpenSource, Source

BY_ITSELF: Final = 1
"""Refusals after which a run does not try: none is repeated without somebody looking."""

BY_HAND: Final = 4
"""Refusals after which not even somebody who has mended something tries: the fifth locks the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLockout:
    """What is known of the logins of one ``account`` (``user@host:port``).

    ``lockout``: how long a refusal counts; zero: not at all. ``most``: :data:`BY_ITSELF` or :data:`BY_HAND`.
    """

    logins: RefusedLogins
    account: str
    lockout: timedelta
    clock: Callable[[], datetime]
    most: int = BY_ITSELF

    def refused(self) -> tuple[str, ...]:
        """When it was refused within the lock-out, oldest first."""
        if not self.lockout:
            return ()
        with suppress(MirrorError):
            now = self.clock()
            return self.logins.refused(self.account, since=utc(now - self.lockout), until=utc(now))
        return ()

    def check(self) -> None:
        """Raise ``SourceRefused`` (code ``refused-recently``) where another try could lock the account."""
        times = self.refused()
        if len(times) < self.most:
            return
        last = datetime.fromisoformat(times[-1])
        count = "once" if len(times) == 1 else f"{len(times)} times"
        raise SourceRefused(
            f"The login of {self.account} was refused {count}, last at {times[-1]}; it is not tried again"
            f" before {utc(last + self.lockout)}",
            code="refused-recently",
            hint="Five wrong logins in an hour lock the account (SEC Appendix P). Mend the cause, then run"
            " `smki-sync doctor`: it tries once, and a login that works ends the waiting.",
        )

    def remember(self) -> None:
        """The server has just said no."""
        with suppress(MirrorError):
            self.logins.remember(self.account, at=utc(self.clock()))

    def forget(self) -> None:
        """The server has just said yes."""
        with suppress(MirrorError):
            self.logins.forget(self.account)


class LoginGuard:
    """A :class:`~smki_sync.sources.base.Source` whose login is watched; otherwise the ``inner`` one."""

    def __init__(self, inner: Source, *, memory: LoginLockout) -> None:
        """Wrap a source that is not yet entered."""
        self._inner = inner
        self._memory = memory

    @property
    def title(self) -> str:
        """The source for people."""
        return self._inner.title

    def __enter__(self) -> Self:
        """Connect, unless that could lock the account."""
        self._memory.check()
        try:
            self._inner.__enter__()
        except SourceRefused as error:
            if error.reason == "login-refused":
                self._memory.remember()
            raise
        self._memory.forget()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close."""
        self._inner.__exit__(kind, error, trace)

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List."""
        return self._inner.fetch_listing()

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file."""
        return self._inner.fetch(name, offset=offset)


@dataclass(slots=True)
class FallbackSources:
    """The sources of a run, in the order in which they are tried, and what became of them.

    ``origins``: which source a listed file comes from, by their numbers; it outlives a connection.
    ``unreached``: the fault of each source that could not be asked, by its number.
    """

    openers: Sequence[OpenSource]
    origins: dict[str, int] = field(default_factory=dict)
    unreached: dict[int, SourceError] = field(default_factory=dict)

    def open(self) -> "FallbackSource":
        """One source that stands for all of them."""
        return FallbackSource(self)


class FallbackSource:
    """A :class:`~smki_sync.sources.base.Source` made of several."""

    def __init__(self, ring: FallbackSources) -> None:
        """Remember which; nothing is opened before entering."""
        self._ring = ring
        self._open: dict[int, Source] = {}

    @property
    def title(self) -> str:
        """All of them, in order."""
        return ", else ".join(opener().title for opener in self._ring.openers)

    def __enter__(self) -> Self:
        """Connect to each; raises the first one's fault where none can be reached.

        A refusal of the first stands at once: no archive makes up for a wrong key (exit code 5).
        """
        self._ring.unreached.clear()
        for number, opener in enumerate(self._ring.openers):
            try:
                self._open[number] = opener().__enter__()
            except SourceError as error:
                if number == 0 and isinstance(error, SourceRefused):
                    raise
                self._ring.unreached[number] = error
        if not self._open:
            raise self._ring.unreached[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close each."""
        while self._open:
            _, source = self._open.popitem()
            source.__exit__(kind, error, trace)

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """What any of them offers; of a name that several offer, what the first of them has."""
        files: dict[str, RemoteFile] = {}
        for number, source in sorted(self._open.items()):
            for file in self._list(number, source):
                if file.name not in files:
                    self._ring.origins[file.name] = number
                    files[file.name] = replace(file, origin=source.title)
        if not files and self._ring.unreached:
            raise next(iter(self._ring.unreached.values()))
        return tuple(files[name] for name in sorted(files))

    def _list(self, number: int, source: Source) -> Iterator[RemoteFile]:
        try:
            yield from source.fetch_listing()
        except SourceError as error:  # an archive that is not plugged in shows itself only here
            self._ring.unreached[number] = error

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file of the source that was listed with it."""
        number = self._ring.origins.get(name)
        if number not in self._open:
            raise SourceMissing(f"{name} is not on offer at {self.title}")
        return self._open[number].fetch(name, offset=offset)
