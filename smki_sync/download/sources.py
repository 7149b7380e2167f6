"""A source that is not asked again while a refused login is fresh.

For: every command that logs in, run by a timer or by hand: five wrong logins in an hour lock the account
(SEC Appendix P), and a job that runs every ten minutes makes six. A login that works forgets the refusals.
Refuses: to fail because history cannot be read or written; a run matters more than its memory.

    source = CarefulSource(inner, memory=memory)
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from smki_sync.errors import MirrorError, SourceRefused
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.logins import Logins
from smki_sync.model.extract import RemoteFile
from smki_sync.sources.base import Chunks, Source

BY_ITSELF: Final = 1
"""Refusals after which a run does not try: none is repeated without somebody looking."""

BY_HAND: Final = 4
"""Refusals after which not even somebody who has mended something tries: the fifth locks the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginMemory:
    """What is known of the logins of one ``account`` (``user@host:port``).

    ``lockout``: how long a refusal counts; zero: not at all. ``most``: :data:`BY_ITSELF` or :data:`BY_HAND`.
    """

    logins: Logins
    account: str
    lockout: timedelta
    clock: Callable[[], datetime]
    most: int = BY_ITSELF

    def refused(self) -> tuple[str, ...]:
        """When it was refused within the lock-out, oldest first."""
        if not self.lockout:
            return ()
        with suppress(MirrorError):
            return self.logins.refused(self.account, since=utc(self.clock() - self.lockout))
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


class CarefulSource:
    """A :class:`~smki_sync.sources.base.Source` whose login is watched; otherwise the ``inner`` one."""

    def __init__(self, inner: Source, *, memory: LoginMemory) -> None:
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
