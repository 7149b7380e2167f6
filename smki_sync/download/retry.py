"""A source that is opened again after a fault that may pass.

For: one session a run, and another only after a fault. What may pass is tried again with growing pauses
(:mod:`.causes` says what may, :class:`~smki_sync.fetch.terms.Retry` how often); whoever asks sees one source.
Refuses: to try a refusal again, to hide a retry from the listener.

    with PatientSource(open_source, terms=terms, hear=hear) as source:
        files = source.fetch_listing()
        body = source.patiently(lambda one: read(one, "name"))
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self, TypeVar

from smki_sync.errors import SourceUnreachable
from smki_sync.events import Listener, Retrying
from smki_sync.fetch.causes import Treatment, treatment_of
from smki_sync.fetch.terms import MIB, Terms
from smki_sync.model.extract import RemoteFile
from smki_sync.sources.base import Chunks, OpenSource, Source

PROGRESS_BYTES: Final = MIB
"""Bytes gained that make a failure the first of a new row: a line that carries less is as good as down."""

_Result = TypeVar("_Result")


def _nothing() -> int:
    return 0


class PatientSource:
    """A :class:`~smki_sync.sources.base.Source` that comes back."""

    def __init__(self, open_source: OpenSource, *, terms: Terms, hear: Listener) -> None:
        """Remember how to open one; nothing is opened before entering."""
        self._open = open_source
        self._terms = terms
        self._hear = hear
        self._source: Source | None = None
        self._title = ""

    @classmethod
    def around(cls, source: Source, *, hear: Listener) -> Self:
        """Wrap a source that somebody else has entered and will leave: no fault is tried again."""
        made = cls(lambda: source, terms=Terms(), hear=hear)
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
                if treatment_of(error) is not Treatment.AGAIN:
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
