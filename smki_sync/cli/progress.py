"""How far a long answer is, on stderr: one line that is written over on a terminal, else now and then one.

For: commands that read every row of the mirror. Short answers say nothing. Refuses: stdout, and to stop an
answer because nobody reads how far it is.
"""

import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TextIO

AFTER_SECONDS: Final = 1.0
"""Before so long an answer says nothing: it is there before anybody asks."""
REDRAW_SECONDS: Final = 0.2
"""Time between two drawings on a terminal: smooth enough to the eye."""
LINE_SECONDS: Final = 30.0
"""Time between two lines elsewhere (contract, Output)."""
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Told how many rows were read, and of how many; a context manager that leaves the terminal in order."""

    def __init__(self, stream: TextIO) -> None:
        """Talk on ``stream``."""
        self._stream = stream
        self._what = "certificates read"
        self._drawn = False
        self._step = REDRAW_SECONDS if stream.isatty() else LINE_SECONDS
        self._next = time.monotonic() + (AFTER_SECONDS if stream.isatty() else LINE_SECONDS)

    def count(self, what: str) -> None:
        """Say what is counted from now on."""
        self._what = what

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` have been dealt with."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._step
        self._write(f"{done:,} of {total:,} {self._what} ({done * 100 // total} %)")

    def _write(self, text: str) -> None:
        terminal = self._stream.isatty()
        self._drawn = terminal
        with suppress(OSError, ValueError):
            self._stream.write(f"{_CLEAR}{text}" if terminal else f"{text}\n")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away, so that something else can be written."""
        if self._drawn:
            with suppress(OSError, ValueError):
                self._stream.write(_CLEAR)
                self._stream.flush()
            self._drawn = False

    def __enter__(self) -> Self:
        """Begin; nothing is said yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no half line behind."""
        self.clear()
