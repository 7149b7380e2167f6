"""Download options, retry policy and table of retryable errors, ReconnectingSource, rate limiter."""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Final, Self, TypeVar

from smki_sync.errors import SourceError, SourceMissing, SourceRefused, SourceUnreachable
from smki_sync.events import EventListener, NullListener, Retrying
from smki_sync.model.extract import RemoteFile
from smki_sync.sources import open_source
from smki_sync.sources.base import Chunks, Limits, OpenSource, Source
from smki_sync.sources.ssh_settings import SftpLogin


class RetryAction(StrEnum):
    """``AGAIN``: connect anew and go on. ``WAIT``: let the file settle. ``NEVER``: report it at once."""

    AGAIN = "again"
    WAIT = "wait"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """One fault by its error code, the class that carries it, and why it is treated so."""

    code: str
    kind: type[SourceError]
    treatment: RetryAction
    why: str


def _again(code: str, why: str) -> RetryRule:
    return RetryRule(code=code, kind=SourceUnreachable, treatment=RetryAction.AGAIN, why=why)


def _wait(code: str, why: str) -> RetryRule:
    return RetryRule(code=code, kind=SourceUnreachable, treatment=RetryAction.WAIT, why=why)


def _never(code: str, why: str, kind: type[SourceError] = SourceUnreachable) -> RetryRule:
    return RetryRule(code=code, kind=kind, treatment=RetryAction.NEVER, why=why)


CAUSES = (
    _again("source-unreachable", "no closer word, and the class says that it may pass"),
    _again("host-unknown", "a name service may be down for a moment"),
    _again("connection-refused", "a server that is started again refuses for a while"),
    _again("connect-timeout", "a line comes back"),
    _again("banner-timeout", "a busy server names itself late"),
    _again("login-timeout", "no answer is no refusal"),
    _again("handshake-failed", "cut in the middle, or a server that is starting"),
    _again("no-sftp", "a server that is being set up says so too"),
    _again("server-busy", "a server with too many callers has room later"),
    _again("too-slow", "a line that drips may be better on another connection"),
    _again("stalled", "a server or a line hangs, and another connection may not"),
    _again("connection-lost", "reset, cut, or ended in the middle"),
    _again("server-failed", "the server reports a failure of its own"),
    _again("read-failed", "a share or a medium comes back"),
    _wait("ended-early", "the file is shorter than it was: it is being replaced"),
    _wait("changed-while-fetched", "the file is still being written, or was replaced"),
    _never("total-timeout", "the operator's own limit; the next run goes on from here"),
    _never("no-common-algorithm", "the same server offers the same"),
    _never("protocol-broken", "the same server would answer alike"),
    _never("listing-too-long", "the same directory has as many names"),
    _never("source-refused", "a refusal stands", SourceRefused),
    _never("host-key-unknown", "somebody has to compare the key", SourceRefused),
    _never("host-key-changed", "somebody has to ask the DCC", SourceRefused),
    _never("host-key-revoked", "somebody has to ask the DCC", SourceRefused),
    _never("login-refused", "refused logins lock the account (Appendix P)", SourceRefused),
    _never("host-key-differs", "somebody has to ask the DCC", SourceRefused),
    _never("refused-recently", "one more wrong login may lock the account (Appendix P)", SourceRefused),
    _never("permission-denied", "rights do not come by asking", SourceRefused),
    _never("source-missing", "what is not there is not there a moment later", SourceMissing),
    _never("nothing-to-restore-from", "a full that fits comes with a later listing", SourceMissing),
    _never("no-full-to-compare", "a full that fits comes with a later listing", SourceMissing),
    _never("not-a-file", "it is something else", SourceMissing),
    _never("not-a-plain-name", "no such name is asked for", SourceMissing),
)
"""Every cause that a source can name."""

_BY_CODE = {cause.code: cause for cause in CAUSES}


def retry_action_of(error: SourceError) -> RetryAction:
    """Say what is done about an error; one without a row is treated as its class says."""
    if not isinstance(error, SourceUnreachable):
        return RetryAction.NEVER
    known = _BY_CODE.get(error.reason)
    return known.treatment if known else RetryAction.AGAIN


BURST_SECONDS: Final = 0.25
"""How much may come at once after a pause, as time at the full rate: smooth to others, cheap to us."""


class RateLimiter:
    """A token bucket. ``rate`` in bytes a second, 0 is without limit."""

    def __init__(self, rate: int, *, seconds: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Start with a full bucket."""
        self._rate = rate
        self._seconds = seconds
        self._sleep = sleep
        self._tokens = rate * BURST_SECONDS
        self._filled = seconds()

    def take(self, octets: int) -> None:
        """Let ``octets`` through, after a pause where they come too fast."""
        if not self._rate:
            return
        now = self._seconds()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._rate * BURST_SECONDS)
        self._filled = now
        self._tokens -= octets
        if self._tokens < 0:
            self._sleep(-self._tokens / self._rate)

    def change(self, rate: int) -> None:
        """Go on at another rate."""
        self._rate = rate


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """``url``, ``login`` and ``limits`` as :func:`~smki_sync.sources.open_source` wants them."""

    url: str
    login: SftpLogin
    limits: Limits

    def __call__(self) -> Source:
        """Make a source that says nothing; it is not yet entered."""
        return self.heard_by(NullListener())

    def heard_by(self, hear: EventListener) -> Source:
        """Make a source that says what it negotiates."""
        return open_source(self.url, login=self.login, limits=self.limits, hear=hear)


MIB: Final = 1 << 20

MARK_BYTES: Final = 32 * MIB
"""Bytes between two durable marks. With what is in flight and the seam, less than 64 MiB is fetched twice."""


SPLIT_BYTES: Final = 64 * MIB
"""Size from which a file is fetched in two ranges where that is asked for; below, a login costs more."""


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
    """How often, and after which pauses, what may pass is tried again.

    ``attempts``: in a row without progress, the first included. Pauses in seconds: the first, each next
    ``factor`` times longer, none over ``longest_pause``; ``jitter`` is the share by which each is drawn
    longer or shorter, so that all Parties do not come back in the same second.
    """

    attempts: int = 1
    first_pause: float = 0.0
    factor: float = 1.0
    longest_pause: float = 0.0
    jitter: float = 0.0

    def pause(self, failed: int, chance: float) -> float:
        """Seconds to wait after ``failed`` (from 1) failures; ``chance`` from 0 to 1 draws the jitter."""
        plain = min(self.first_pause * self.factor ** (failed - 1), self.longest_pause)
        return plain * (1 + self.jitter * (2 * chance - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRecord:
    """One attempt at a file, for the ledger of downloads.

    ``begin``, ``end``: offsets in bytes of what was fetched in this attempt. ``outcome``: ``whole``, or the
    code of the error that ended it.
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


def _ignore_progress(_came: int) -> None:
    """Nobody follows the download."""


def _unwritten(_transfer: TransferRecord) -> None:
    """Nobody keeps a ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """Everything that a download goes by.

    ``young``: seconds; a file changed less long ago is looked at once more. ``changing``: seconds that a
    file which changes is waited for. ``bandwidth``: bytes a second, 0 is without limit. ``second``: says
    how another process opens the repository, to fetch the second half of a large file beside the first;
    ``None``: one range is fetched. ``split_bytes``: size of a large file. ``mark_bytes``: bytes between two
    durable marks. ``came``: told how many bytes of the part, from the first on, are there in order
    (:func:`~smki_sync.download.local_file.read_growing_file`), and 0 as often as it is begun or taken up.
    ``ledger``: told of every attempt.
    """

    retry: RetryPolicy = RetryPolicy()
    young: float = 0.0
    changing: float = 0.0
    bandwidth: int = 0
    second: Callable[[], SourceConfig] | None = None
    split_bytes: int = SPLIT_BYTES
    mark_bytes: int = MARK_BYTES
    came: Callable[[int], None] = _ignore_progress
    ledger: Callable[[TransferRecord], None] = _unwritten
    clock: Callable[[], datetime] = _utc_now
    seconds: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


PROGRESS_BYTES: Final = MIB
"""Bytes gained that make a failure the first of a new row: a line that carries less is as good as down."""

_Result = TypeVar("_Result")


def _nothing() -> int:
    return 0


class ReconnectingSource:
    """A :class:`~smki_sync.sources.base.Source` that comes back."""

    def __init__(self, open_source: OpenSource, *, terms: DownloadOptions, hear: EventListener) -> None:
        """Remember how to open one; nothing is opened before entering."""
        self._open = open_source
        self._terms = terms
        self._hear = hear
        self._source: Source | None = None
        self._title = ""

    @classmethod
    def around(cls, source: Source, *, hear: EventListener) -> Self:
        """Wrap a source that somebody else has entered and will leave: no fault is tried again."""
        made = cls(lambda: source, terms=DownloadOptions(), hear=hear)
        made._source, made._title = source, source.title
        return made

    @property
    def title(self) -> str:
        """The source for people."""
        return self._title or self._open().title

    def __enter__(self) -> Self:
        """Connect, patiently."""
        self.patiently(lambda _source: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close."""
        self._hang_up()

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List, patiently."""
        return self.patiently(lambda source: source.fetch_listing())

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file once; a fault in its middle is the caller's to be patient with."""
        return self._connected().fetch(name, offset=offset)

    def patiently(self, step: Callable[[Source], _Result], *, moved: Callable[[], int] = _nothing) -> _Result:
        """Take a step with the source, and again with another connection while its faults may pass.

        ``moved``: bytes gained so far; a step that gains any to speak of begins a new row of attempts.
        Raises the last fault, with how often and how long it was tried.
        """
        began, failed, reached = self._terms.seconds(), 0, moved()
        while True:
            try:
                return step(self._connected())
            except SourceUnreachable as error:
                if retry_action_of(error) is not RetryAction.AGAIN:
                    raise
                gained = moved() - reached >= PROGRESS_BYTES
                failed, reached = (1, moved()) if gained else (failed + 1, reached)
                if failed >= self._terms.retry.attempts:
                    if failed == 1:
                        raise
                    raise _given_up(error, failed, self._terms.seconds() - began) from error
                self._hang_up()
                self._pause(error, failed)

    def _pause(self, error: SourceUnreachable, failed: int) -> None:
        retry = self._terms.retry
        pause = retry.pause(failed, self._terms.chance())
        self._hear.hear(
            Retrying(
                code=error.reason,
                message=error.message,
                failed=failed,
                attempts=retry.attempts,
                pause=round(pause, 1),
            )
        )
        self._terms.sleep(pause)

    def _connected(self) -> Source:
        if self._source is None:
            source = self._open()
            self._title = source.title
            self._source = source.__enter__()
        return self._source

    def _hang_up(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.__exit__(None, None, None)


def _given_up(error: SourceUnreachable, failed: int, seconds: float) -> SourceUnreachable:
    """Say how often and how long it was tried."""
    return SourceUnreachable(
        f"{error.message}; given up after {failed} attempts in a row, {seconds:.0f} s after the first",
        hint=error.hint,
        code=error.reason,
    )
