"""What every way of talking has in common: how much is said, and that it never stops a run.

For: :class:`Volume` and :class:`Talk`. Refuses: to write an event down; each way of talking does.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from enum import Enum
from types import TracebackType
from typing import Self, TextIO, assert_never

from smki_sync.events import Detail, Event, Noted

Clock = Callable[[], datetime]
"""Gives the time, in UTC."""


class Volume(Enum):
    """How much is said: only what keeps the mirror from being current; the usual; every detail."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"

    def admits(self, event: Event) -> bool:
        """Tell whether an event is said at this volume."""
        match self:
            case Volume.QUIET:
                return isinstance(event, Noted) and not event.attention.code.is_note
            case Volume.NORMAL:
                return not isinstance(event, Detail)
            case Volume.VERBOSE:
                return True
            case _:
                assert_never(self)


class Talk(ABC):
    """A listener that says what it hears; a context manager that leaves the terminal in order."""

    def __init__(self, stream: TextIO, *, volume: Volume) -> None:
        """Talk on ``stream``, saying what ``volume`` admits."""
        self._stream = stream
        self._volume = volume

    def hear(self, event: Event) -> None:
        """Say one event. A full disk, a closed pipe or a closed stream stops the talk, not the run."""
        if self._volume.admits(event):
            with suppress(OSError, ValueError):
                self._say(event)

    @abstractmethod
    def _say(self, event: Event) -> None: ...

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def _close(self) -> None:  # noqa: B027 - not abstract: most talk has nothing to put back in order
        """Put the terminal back in order, where it was changed."""

    def __enter__(self) -> Self:
        """Begin; nothing is said yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close, whatever happened."""
        with suppress(OSError, ValueError):
            self._close()
