"""A channel with time limits: the only way bytes of the SFTP conversation come and go.

For: noticing a server that has gone quiet or only drips, whatever layer waits for it; keep-alives do not
count as life, only bytes of the conversation do. Refuses: to wait without a limit, to leave a limit unnamed,
to blame the server for the time that our own reader takes.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from smki_sync.errors import SourceUnreachable
from smki_sync.sources.base import Limits
from smki_sync.sources.patience import STALL, TOTAL, too_slow

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


class Wire:
    """A :class:`ByteChannel` that raises ``SourceUnreachable`` instead of waiting too long.

    ``peer``: ``host:port`` for messages. ``limits``: stall, total and slowness hold here.
    """

    def __init__(
        self,
        channel: ByteChannel,
        *,
        peer: str,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap a channel; no total limit runs until :meth:`begin`."""
        self._channel = channel
        self._peer = peer
        self._limits = limits
        self._clock = clock
        self._deadline = float("inf")
        self._waited, self._came = 0.0, 0  # since slowness was last looked at
        self.failed = False  # whether the connection behind it can no longer be used

    def begin(self) -> None:
        """Start the clock of one file or listing."""
        self._waited, self._came = 0.0, 0
        self._deadline = self._clock() + self._limits.total if self._limits.total else float("inf")

    def send(self, data: bytes) -> None:
        """Send every byte; raises ``SourceUnreachable`` at a limit or where the connection is gone."""
        while data:
            sent = self._limited(partial(self._channel.send, data))
            if not sent:
                raise self._lost()
            data = data[sent:]

    def recv(self, size: int) -> bytes:
        """Receive at least one byte; raises as :meth:`send` does."""
        began = self._clock()
        data = self._limited(partial(self._channel.recv, size))
        if not data:
            raise self._lost()
        self._check_rate(self._clock() - began, len(data))
        return data

    def close(self) -> None:
        """Close the channel without waiting for the server."""
        self._channel.close()

    def _limited(self, step: Callable[[], _Result]) -> _Result:
        """Take one step within what is left of the limits."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise self._too_long()
        self._channel.settimeout(min(self._limits.stall, left))
        try:
            return step()
        except TimeoutError as exc:
            raise (self._quiet() if left > self._limits.stall else self._too_long()) from exc
        except (EOFError, OSError) as exc:
            raise self._lost(str(exc)) from exc

    def _check_rate(self, seconds: float, octets: int) -> None:
        """Look, once in a period of waiting, whether enough has come; our own pauses are no waiting."""
        self._waited += seconds
        self._came += octets
        if self._waited < self._limits.slow_period:
            return
        if self._came < self._limits.slow_rate * self._waited:
            self.failed = True
            raise too_slow(
                self._peer, self._came, rate=self._limits.slow_rate, seconds=self._limits.slow_period
            )
        self._waited, self._came = 0.0, 0

    def _quiet(self) -> SourceUnreachable:
        self.failed = True
        return STALL.fired(f"{self._peer} sent nothing", self._limits.stall)

    def _too_long(self) -> SourceUnreachable:
        self.failed = True
        return TOTAL.fired(f"{self._peer} did not finish", self._limits.total)

    def _lost(self, why: str = "") -> SourceUnreachable:
        self.failed = True
        return SourceUnreachable(
            f"the connection to {self._peer} was lost{f' ({why})' if why else ''}",
            code="connection-lost",
            hint="Try again later. What has arrived can be resumed.",
        )
