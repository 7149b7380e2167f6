"""Download options, retry policy, retry rules by error code, ReconnectingSource, rate limiter."""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Final, Self, TypeVar

from smki_sync.errors import (
    LoginInterrupted,
    SourceError,
    SourceMissing,
    SourceReadFailed,
    SourceRefused,
    SourceUnreachable,
)
from smki_sync.events import EventListener, Retrying
from smki_sync.model.extract import RemoteFile
from smki_sync.sources import open_source
from smki_sync.sources.base import Chunks, Limits, OpenSource, Source
from smki_sync.sources.sftp_protocol import RequestLimit
from smki_sync.sources.ssh_settings import SftpLogin


class RetryAction(StrEnum):
    """What to do after an error.

    ``RETRY``: reconnect and continue. ``RETRY_ONCE``: the same, but only one more time. ``WAIT``: wait until
    the file stops changing. ``NEVER``: report it at once.
    """

    RETRY = "retry"
    RETRY_ONCE = "retry-once"
    WAIT = "wait"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """The action for one error code, the class that carries the code, and the reason."""

    code: str
    error: type[SourceError]
    action: RetryAction
    reason: str


def _retry(code: str, reason: str, error: type[SourceError] = SourceUnreachable) -> RetryRule:
    return RetryRule(code=code, error=error, action=RetryAction.RETRY, reason=reason)


def _wait(code: str, reason: str) -> RetryRule:
    return RetryRule(code=code, error=SourceUnreachable, action=RetryAction.WAIT, reason=reason)


def _never(code: str, reason: str, error: type[SourceError] = SourceUnreachable) -> RetryRule:
    return RetryRule(code=code, error=error, action=RetryAction.NEVER, reason=reason)


RETRY_RULES = (
    _retry("source-unreachable", "there is no more exact code, and the class is temporary"),
    _retry("host-unknown", "a name service can fail for a moment"),
    _retry("connection-refused", "a server that restarts refuses connections for a while"),
    _retry("connect-timeout", "the network can come back"),
    _retry("banner-timeout", "a busy server sends its banner late"),
    _retry("login-timeout", "no answer to the key exchange is not a refusal"),
    _retry("handshake-failed", "the connection was cut, or the server is starting"),
    _retry("no-sftp", "a server that is being set up answers like this"),
    _retry("server-busy", "a server with too many connections has room later"),
    _retry("too-slow", "another connection may be faster"),
    _retry("stalled", "another connection may work"),
    _retry("connection-lost", "the connection was reset or cut"),
    _retry("server-failed", "the server reports a failure of its own"),
    _retry("read-failed", "a share or a medium can come back", SourceReadFailed),
    _wait("ended-early", "the file is shorter than listed, so it is being replaced"),
    _wait("changed-while-fetched", "the file is still being written, or was replaced"),
    _never("total-timeout", "the operator set this limit; the next run resumes"),
    _never("listing-timeout", "the same server would be as slow again"),
    _never("no-common-algorithm", "the same server offers the same algorithms"),
    _never("protocol-broken", "the same server would answer in the same way"),
    _never("listing-too-long", "the directory would have as many names again"),
    _never("source-refused", "a refusal is final", SourceRefused),
    _never("host-key-unknown", "an operator must compare the key", SourceRefused),
    _never("host-key-changed", "an operator must contact the DCC", SourceRefused),
    _never("host-key-revoked", "an operator must contact the DCC", SourceRefused),
    _never("login-refused", "refused logins lock the account (SEC Appendix P)", SourceRefused),
    _never("host-key-differs", "an operator must contact the DCC", SourceRefused),
    _never("refused-recently", "one more wrong login may lock the account (SEC Appendix P)", SourceRefused),
    _never("permission-denied", "permissions do not change between attempts", SourceRefused),
    _never("source-missing", "a missing file is still missing a moment later", SourceMissing),
    _never("nothing-to-restore-from", "a later listing may have a suitable full", SourceMissing),
    _never("no-full-to-compare", "a later listing may have a suitable full", SourceMissing),
    _never("not-a-file", "it is not a regular file", SourceMissing),
    _never("not-a-plain-name", "such a name is never requested", SourceMissing),
)
"""Every error code of a source."""

_BY_CODE = {rule.code: rule for rule in RETRY_RULES}


def retry_action_of(error: SourceError) -> RetryAction:
    """Return the action for an error; its class decides if its code has no rule."""
    if isinstance(error, LoginInterrupted):
        return RetryAction.RETRY_ONCE
    if not isinstance(error, SourceUnreachable):
        return RetryAction.NEVER
    rule = _BY_CODE.get(error.reason)
    return rule.action if rule else RetryAction.RETRY


_OF_ONE_FILE: Final = {
    "read-failed",
    "permission-denied",
    "source-missing",
    "not-a-file",
    "server-failed",
    "ended-early",
    "changed-while-fetched",
}


def concerns_one_file(error: SourceError) -> bool:
    """Whether other files of the source may be available after an error; if not, the source is lost."""
    return error.reason in _OF_ONE_FILE


BURST_SECONDS: Final = 0.25
"""Bytes allowed at once after a pause, as time at the full rate."""


class RateLimiter:
    """A token bucket. ``bytes_per_second`` 0 means no limit."""

    def __init__(
        self, bytes_per_second: int, *, monotonic: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        """Start with a full bucket."""
        self._rate = bytes_per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._tokens = bytes_per_second * BURST_SECONDS
        self._updated = monotonic()

    def acquire(self, size: int) -> None:
        """Sleep as long as ``size`` more bytes would exceed the rate."""
        if not self._rate:
            return
        now = self._monotonic()
        self._tokens = min(self._tokens + (now - self._updated) * self._rate, self._rate * BURST_SECONDS)
        self._updated = now
        self._tokens -= size
        if self._tokens < 0:
            self._sleep(-self._tokens / self._rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """The arguments of :func:`~smki_sync.sources.open_source`."""

    url: str
    login: SftpLogin
    limits: Limits

    def open(self, events: EventListener, requests: RequestLimit | None = None) -> Source:
        """Create the source; it is not entered yet."""
        return open_source(self.url, login=self.login, limits=self.limits, events=events, requests=requests)


MIB: Final = 1 << 20

CHECKPOINT_BYTES: Final = 32 * MIB
"""Bytes between two checkpoints. With the bytes in flight, less than 64 MiB is downloaded twice."""


PAUSE_FACTOR: Final = 3.0
"""Each pause is this many times as long as the one before. With a first pause of 5 seconds, five pauses take
about ten minutes: enough for the restart of a server, and not a load on one that is busy."""

LONGEST_PAUSE_SECONDS: Final = 300.0
"""Longest pause, in seconds. A server that comes back is not kept waiting for longer."""

PAUSE_JITTER: Final = 0.2
"""Random variation of a pause, as a fraction, so that all Parties do not come back in the same second."""

CHANGING_SECONDS: Final = 300.0
"""Longest wait for a file that is still being uploaded, in seconds. The next run finds it complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to retry a temporary error, and after which pauses.

    ``attempts``: in a row without progress, including the first. Pauses in seconds: ``first_pause``, then
    ``factor`` times longer each time, up to ``longest_pause``. ``jitter``: the fraction by which each pause
    varies, so that not every Party reconnects in the same second.
    """

    attempts: int = 1
    first_pause: float = 0.0
    factor: float = 1.0
    longest_pause: float = 0.0
    jitter: float = 0.0

    def pause(self, failed: int, chance: float) -> float:
        """Return the pause after ``failed`` failures (from 1); ``chance`` from 0 to 1 selects the jitter."""
        plain = min(self.first_pause * self.factor ** (failed - 1), self.longest_pause)
        return plain * (1 + self.jitter * (2 * chance - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRecord:
    """One attempt to download a file, for the history.

    ``begin``, ``end``: offsets of the bytes that this attempt added. ``outcome``: ``whole``, or the code of
    the error that ended it.
    """

    file: str
    size: int
    started: datetime
    ended: datetime
    begin: int
    end: int
    outcome: str


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _ignore_progress(_position: int) -> None:
    """Default of ``DownloadOptions.on_progress``."""


def _ignore_transfer(_transfer: TransferRecord) -> None:
    """Default of ``DownloadOptions.on_transfer``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """Options of downloads.

    ``recheck_seconds``: files modified more recently are checked again after the download.
    ``stability_seconds``: longest wait for a file that is changing. ``bytes_per_second``: 0 is no limit.
    ``checkpoint_bytes``: between two checkpoints. ``on_progress``: called with the number of bytes in the
    partial file, in order, and with 0 each time a download starts or resumes
    (:func:`~smki_sync.download.local_file.read_growing_file`). ``on_transfer``: called after every attempt.
    """

    retry: RetryPolicy = RetryPolicy()
    recheck_seconds: float = 0.0
    stability_seconds: float = 0.0
    bytes_per_second: int = 0
    checkpoint_bytes: int = CHECKPOINT_BYTES
    on_progress: Callable[[int], None] = _ignore_progress
    on_transfer: Callable[[TransferRecord], None] = _ignore_transfer
    clock: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


PROGRESS_BYTES: Final = MIB
"""Bytes gained that reset the number of attempts: a connection that carries less is not usable."""

LOGIN_ATTEMPTS: Final = 2
"""Attempts in a row that may be lost during the login: each can count as a wrong login on the server."""

_Result = TypeVar("_Result")


def _no_progress() -> int:
    return 0


class ReconnectingSource:
    """A :class:`~smki_sync.sources.base.Source` that reconnects after temporary errors."""

    def __init__(self, open_source: OpenSource, *, options: DownloadOptions, events: EventListener) -> None:
        """Store how to open the source; nothing is opened before entering."""
        self._open = open_source
        self._options = options
        self._events = events
        self._source: Source | None = None
        self._title = ""

    @classmethod
    def wrap(cls, source: Source, *, events: EventListener) -> Self:
        """Wrap a source that the caller has entered and will leave: errors are not retried."""
        wrapped = cls(lambda: source, options=DownloadOptions(), events=events)
        wrapped._source, wrapped._title = source, source.title
        return wrapped

    @property
    def title(self) -> str:
        """The URL without secrets."""
        return self._title or self._open().title

    def __enter__(self) -> Self:
        """Connect, with retries."""
        self.retry(lambda _source: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the connection."""
        self._disconnect()

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List, with retries."""
        return self.retry(lambda source: source.fetch_listing())

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file once; the caller handles errors of the transfer."""
        return self._connected().fetch(name, offset=offset)

    def retry(
        self, step: Callable[[Source], _Result], *, progress: Callable[[], int] = _no_progress
    ) -> _Result:
        """Call ``step`` with the source; reconnect and repeat after temporary errors.

        ``progress``: returns the bytes gained so far; :data:`PROGRESS_BYTES` more reset the number of
        attempts. Raises the last error, with the number of attempts and the time.
        """
        started, failed, reached, lost_logins = self._options.monotonic(), 0, progress(), 0
        while True:
            try:
                return step(self._connected())
            except SourceUnreachable as error:
                action = retry_action_of(error)
                if action not in (RetryAction.RETRY, RetryAction.RETRY_ONCE):
                    raise
                gained = progress() - reached >= PROGRESS_BYTES
                failed, reached = (1, progress()) if gained else (failed + 1, reached)
                lost_logins += action is RetryAction.RETRY_ONCE
                if failed >= self._options.retry.attempts or lost_logins >= LOGIN_ATTEMPTS:
                    if failed == 1:
                        raise
                    raise _gave_up(error, failed, self._options.monotonic() - started) from error
                self._disconnect()
                self._pause(error, failed)

    def _pause(self, error: SourceUnreachable, failed: int) -> None:
        policy = self._options.retry
        pause = policy.pause(failed, self._options.random())
        self._events.emit(
            Retrying(
                code=error.reason,
                message=error.message,
                failed=failed,
                attempts=policy.attempts,
                pause=round(pause, 1),
            )
        )
        self._options.sleep(pause)

    def _connected(self) -> Source:
        if self._source is None:
            source = self._open()
            self._title = source.title
            self._source = source.__enter__()
        return self._source

    def _disconnect(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.__exit__(None, None, None)


def _gave_up(error: SourceUnreachable, failed: int, seconds: float) -> SourceUnreachable:
    """Add the number of attempts and the time to the last error."""
    return type(error)(
        f"{error.message}; gave up after {failed} attempts in a row, {seconds:.0f} s after the first",
        hint=error.hint,
        code=error.reason,
    )
