"""A channel with time limits: the only way bytes of the SFTP conversation come and go.

For: noticing a server that has gone quiet, whatever layer waits for it; keep-alives do not count as
life, only bytes of the conversation do. Refuses: to wait without a limit, to leave a limit unnamed.
"""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from smki_sync.errors import SourceUnreachable

_Result = TypeVar("_Result")


class ByteChannel(Protocol):
    """What the wire needs of an SSH channel; time-outs are ``TimeoutError``, the end is ``b""``."""

    def settimeout(self, timeout: float | None, /) -> None:
        """Limit the next calls, in seconds."""

    def send(self, data: bytes, /) -> int:
        """Send some of the data; say how much."""

    def recv(self, size: int, /) -> bytes:
        """Receive at most ``size`` bytes."""

    def close(self) -> None:
        """Close without waiting."""

    def get_name(self) -> str:
        """Name it in a log."""


class Wire:
    """A :class:`ByteChannel` that raises ``SourceUnreachable`` instead of waiting too long.

    ``peer``: ``host:port`` for messages. ``stall``: seconds without a single byte.
    """

    def __init__(
        self, channel: ByteChannel, *, peer: str, stall: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wrap a channel; no total limit runs until :meth:`begin`."""
        self._channel = channel
        self._peer = peer
        self._stall = stall
        self._clock = clock
        self._total = 0.0
        self._deadline = float("inf")
        self.failed = False  # whether the connection behind it can no longer be used

    def begin(self, total: float) -> None:
        """Start the clock of one file or listing; ``total`` in seconds, 0 is without end."""
        self._total = total
        self._deadline = self._clock() + total if total else float("inf")

    def send(self, data: bytes) -> int:
        """Send some bytes; raises ``SourceUnreachable`` at either limit or where the connection is gone."""
        return self._limited(lambda: self._channel.send(data))

    def recv(self, size: int) -> bytes:
        """Receive at least one byte; raises as :meth:`send` does."""
        data = self._limited(lambda: self._channel.recv(size))
        if not data:
            raise self._lost()
        return data

    def close(self) -> None:
        """Close the channel without waiting for the server."""
        self._channel.close()

    def get_name(self) -> str:
        """Name the channel, for the library's log."""
        return self._channel.get_name()

    def _limited(self, step: Callable[[], _Result]) -> _Result:
        """Take one step within what is left of the limits."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise self._too_long()
        self._channel.settimeout(min(self._stall, left))
        try:
            return step()
        except TimeoutError as exc:
            raise (self._quiet() if left > self._stall else self._too_long()) from exc
        except (EOFError, OSError) as exc:
            raise self._lost() from exc

    def _quiet(self) -> SourceUnreachable:
        self.failed = True
        return SourceUnreachable(
            f"{self._peer} sent nothing for {self._stall:g} s (limit: stall)",
            code="stalled",
            hint="The server or the line hangs; try again later. What has arrived can be resumed.",
        )

    def _too_long(self) -> SourceUnreachable:
        self.failed = True
        return SourceUnreachable(
            f"{self._peer} did not finish within {self._total:g} s (limit: total)",
            code="total-timeout",
            hint="Try again later, or allow more time; what has arrived can be resumed.",
        )

    def _lost(self) -> SourceUnreachable:
        self.failed = True
        return SourceUnreachable(
            f"the connection to {self._peer} was lost",
            code="connection-lost",
            hint="Try again later. What has arrived can be resumed.",
        )
