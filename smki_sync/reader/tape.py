"""Bytes that arrive in pieces of any size, made easy to read.

For: what comes out must not depend on how a network cut it. Refuses: to know what the bytes mean.
"""

from collections.abc import Iterable, Iterator

STEP = 64 * 1024
"""Bytes handled at a time: larger gains no speed, smaller costs it."""


def in_steps(chunks: Iterable[bytes], size: int = STEP) -> Iterator[bytes]:
    """Cut and join ``chunks`` so that each has ``size`` bytes, but for the last, which may have fewer."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)


class Tape:
    """A stream of bytes that can be looked at before it is taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        """Read from ``chunks``, of any size, as needed."""
        self._steps = in_steps(chunks)
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """Look at the next ``size`` bytes; fewer only where the stream ends."""
        while len(self._ahead) < size and (step := next(self._steps, b"")):
            self._ahead += step
        return self._ahead[:size]

    def take(self) -> bytes:
        """Take the next few bytes; none only at the end."""
        taken = self._ahead or next(self._steps, b"")
        self._ahead = b""
        return taken

    def give_back(self, rest: bytes) -> None:
        """Put the end of what was just taken back."""
        self._ahead = rest
