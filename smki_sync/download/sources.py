"""Source wrappers: LoginGuard (lockout of refused logins) and FallbackSource."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Protocol, Self

from smki_sync.errors import LoginInterrupted, MirrorError, SourceError, SourceMissing, SourceRefused
from smki_sync.model.extract import RemoteFile
from smki_sync.planner import CLOCK_TOLERANCE
from smki_sync.sources.base import Chunks, OpenSource, Source
from smki_sync.sources.sftp_protocol import IN_FLIGHT_REQUESTS, RequestLimit
from smki_sync.timestamps import utc

AUTOMATIC_LOGIN_LIMIT: Final = 1
"""Refusals after which a run does not log in: a wrong login is not repeated without an operator."""

MANUAL_LOGIN_LIMIT: Final = 4
"""Refusals after which `smki-sync doctor` does not log in either: the fifth locks the account."""

_INTERRUPTED: Final = " (interrupted)"
"""Suffix of the account under which interrupted logins are stored."""


class RefusedLoginStore(Protocol):
    """Stores when logins were refused. Every method may raise ``MirrorError``."""

    def refused(self, account: str, *, since: str) -> tuple[str, ...]:
        """Return the times from ``since`` (ISO 8601, UTC), oldest first."""

    def remember(self, account: str, *, at: str) -> None:
        """Store one refusal."""

    def forget(self, account: str) -> None:
        """Delete the refusals of the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLockout:
    """The refused logins of one ``account`` (``user@host:port``).

    ``lockout``: how long a refusal counts; zero switches the lockout off. ``max_refused``:
    :data:`AUTOMATIC_LOGIN_LIMIT` or :data:`MANUAL_LOGIN_LIMIT`. A login that was interrupted may have been
    counted by the server as a wrong one: one is repeated, and all count towards the limit.
    """

    logins: RefusedLoginStore
    account: str
    lockout: timedelta
    clock: Callable[[], datetime]
    max_refused: int = AUTOMATIC_LOGIN_LIMIT

    def refused(self) -> tuple[str, ...]:
        """Return when a login was refused within the lockout, oldest first."""
        return self._times(self.account)

    def check(self) -> None:
        """Raise ``SourceRefused`` (``refused-recently``) if another attempt could lock the account."""
        refused, interrupted = self.refused(), self._times(self.account + _INTERRUPTED)
        times = sorted((*refused, *interrupted))
        if len(refused) < self.max_refused and len(times) < max(self.max_refused, 2):
            return
        last = datetime.fromisoformat(times[-1])
        count = "once" if len(times) == 1 else f"{len(times)} times"
        what = "refused or interrupted" if interrupted else "refused"
        raise SourceRefused(
            f"The login of {self.account} was {what} {count}, most recently at {times[-1]};"
            f" smki-sync does not log in again before {utc(last + self.lockout)}",
            code="refused-recently",
            hint="Five wrong logins in an hour lock the account (SEC Appendix P). Fix the cause, then run"
            " `smki-sync doctor`: it tries once, and a successful login ends the lockout.",
        )

    def remember(self) -> None:
        """Store that the server has just refused the login."""
        self._store(self.account)

    def remember_interrupted(self) -> None:
        """Store that the connection ended during the login."""
        self._store(self.account + _INTERRUPTED)

    def forget(self) -> None:
        """Delete what is stored: a login has succeeded."""
        with suppress(MirrorError):
            self.logins.forget(self.account)
            self.logins.forget(self.account + _INTERRUPTED)

    def _times(self, account: str) -> tuple[str, ...]:
        """Return the times within the lockout; a time ahead of the clock does not count."""
        if not self.lockout:
            return ()
        now = self.clock()
        with suppress(MirrorError):
            times = self.logins.refused(account, since=utc(now - self.lockout))
            return tuple(at for at in times if at <= utc(now + CLOCK_TOLERANCE))
        return ()

    def _store(self, account: str) -> None:
        with suppress(MirrorError):
            self.logins.remember(account, at=utc(self.clock()))


class RequestLimitStore(Protocol):
    """Stores how many read requests a server accepts. Every method may raise ``MirrorError``."""

    def requests(self, server: str, *, since: str, until: str) -> int | None:
        """Return the number stored for a server between two times (ISO 8601, UTC)."""

    def remember(self, server: str, requests: int, *, at: str) -> None:
        """Replace the number for a server."""


REQUEST_LIMIT_DAYS: Final = 30
"""Days after which a lower number of requests in flight is forgotten: the server may have been replaced."""


def stored_request_limit(
    store: RequestLimitStore, server: str, *, clock: Callable[[], datetime]
) -> RequestLimit:
    """Return the request limit of a server (``host:port``); it stores its changes for the next run."""

    def remember(requests: int) -> None:
        with suppress(MirrorError):
            store.remember(server, requests, at=utc(clock()))

    stored, now = None, clock()
    with suppress(MirrorError):
        stored = store.requests(
            server,
            since=utc(now - timedelta(days=REQUEST_LIMIT_DAYS)),
            until=utc(now + CLOCK_TOLERANCE),  # a time ahead of the clock does not count
        )
    limit = RequestLimit(on_change=remember)
    if stored is not None:
        limit.requests = max(1, min(stored, IN_FLIGHT_REQUESTS))
    return limit


class LoginGuard:
    """A :class:`~smki_sync.sources.base.Source` that counts refused logins and respects the lockout."""

    def __init__(self, inner: Source, *, lockout: LoginLockout) -> None:
        """Wrap a source that is not entered yet."""
        self._inner = inner
        self._lockout = lockout

    @property
    def title(self) -> str:
        """The URL without secrets."""
        return self._inner.title

    def __enter__(self) -> Self:
        """Connect, unless that could lock the account."""
        self._lockout.check()
        try:
            self._inner.__enter__()
        except LoginInterrupted:
            self._lockout.remember_interrupted()
            raise
        except SourceRefused as error:
            if error.reason == "login-refused":
                self._lockout.remember()
            raise
        self._lockout.forget()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the connection."""
        self._inner.__exit__(kind, error, trace)

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List the files."""
        return self._inner.fetch_listing()

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file."""
        return self._inner.fetch(name, offset=offset)


@dataclass(slots=True)
class FallbackSources:
    """The sources of a run, in the order in which they are tried.

    ``origins``: the index of the source of each listed file; kept when a connection is lost.
    ``unreached``: the error of each source that could not be listed, by its index.
    """

    openers: Sequence[OpenSource]
    origins: dict[str, int] = field(default_factory=dict)
    unreached: dict[int, SourceError] = field(default_factory=dict)

    def open(self) -> "FallbackSource":
        """Create one source that combines all of them."""
        return FallbackSource(self)


class FallbackSource:
    """A :class:`~smki_sync.sources.base.Source` that combines several."""

    def __init__(self, sources: FallbackSources) -> None:
        """Store the sources; nothing is opened before entering."""
        self._sources = sources
        self._open: dict[int, Source] = {}

    @property
    def title(self) -> str:
        """The titles of all sources, in order."""
        return ", else ".join(opener().title for opener in self._sources.openers)

    def __enter__(self) -> Self:
        """Connect to each source; raises the error of the first if none can be reached.

        A refusal by the first source is raised at once: an archive does not replace a correct key (exit 5).
        """
        self._sources.unreached.clear()
        for number, opener in enumerate(self._sources.openers):
            try:
                self._open[number] = opener().__enter__()
            except SourceError as error:
                if number == 0 and isinstance(error, SourceRefused):
                    raise
                self._sources.unreached[number] = error
        if not self._open:
            raise self._sources.unreached[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close every connection."""
        while self._open:
            _, source = self._open.popitem()
            source.__exit__(kind, error, trace)

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List all sources; of a name that several list, use the first that is usable."""
        files: dict[str, RemoteFile] = {}
        for number, source in sorted(self._open.items()):
            for file in self._list(number, source):
                if file.name not in files or files[file.name].unusable:
                    self._sources.origins[file.name] = number
                    files[file.name] = replace(file, origin=source.title, is_fallback=number > 0)
        if not files and self._sources.unreached:
            raise next(iter(self._sources.unreached.values()))
        return tuple(files[name] for name in sorted(files))

    def _list(self, number: int, source: Source) -> Iterator[RemoteFile]:
        try:
            yield from source.fetch_listing()
        except SourceError as error:  # an archive that is not mounted is found only here
            self._sources.unreached[number] = error

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file on the source that listed it."""
        number = self._sources.origins.get(name)
        if number not in self._open:
            raise SourceMissing(f"{name} is not in the listing of {self.title}")
        return self._open[number].fetch(name, offset=offset)
