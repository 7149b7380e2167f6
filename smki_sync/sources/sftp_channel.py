"""SFTP channel with timeouts."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import paramiko

from smki_sync.errors import SourceError, SourceUnreachable
from smki_sync.sources.base import STALL, TOTAL, Limits, printable, too_slow
from smki_sync.sources.sftp_protocol import CHANNEL_PACKET_BYTES, CHANNEL_WINDOW_BYTES
from smki_sync.sources.ssh_transport import FOREIGN, busy, cause_of, packetizer_of

_NO_ROOM = (2, 4)
"""CONNECT_FAILED, which OpenSSH gives beyond ``MaxSessions``, and RESOURCE_SHORTAGE (RFC 4254, 5.1)."""

RELEASE_SECONDS = 10.0
"""How long a server may take to free a session that was just left, where it allows but one."""

_RELEASE_PAUSE = 0.05
"""Seconds between two attempts at a session while the one before is being freed."""


class SftpChannel:
    """The bytes of the conversation. What comes on stderr is dropped, else it would fill the window."""

    def __init__(self, channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        """Wrap an open channel, and let the line see how much of it waits to be read."""
        self._channel = channel
        self._transport = transport
        packetizer_of(transport).unread = lambda: len(channel.in_buffer) + len(channel.in_stderr_buffer)

    def settimeout(self, timeout: float | None) -> None:
        """Limit the next calls, in seconds."""
        self._channel.settimeout(timeout)

    def send(self, data: bytes) -> int:
        """Send some of the data; raises ``ConnectionError`` with the cause where the connection is gone."""
        with self._plain_errors():
            return self._channel.send(data)

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes; raises as :meth:`send` does."""
        with self._plain_errors():
            if self._channel.recv_stderr_ready():
                self._channel.recv_stderr(CHANNEL_WINDOW_BYTES)
            data = self._channel.recv(size)
        if not data:
            raise ConnectionError(cause_of(self._transport))
        return data

    def close(self) -> None:
        """Close the channel without waiting for the server."""
        self._channel.close()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except paramiko.SSHException as exc:  # new keys are being agreed on, and that hangs
            raise TimeoutError(str(exc)) from exc


def open_channel(
    transport: paramiko.Transport, *, peer: str, seconds: float, after_another: bool
) -> SftpChannel:
    """Open the ``sftp`` subsystem; ``after_another``: another session has just been left on this connection.

    Raises ``SourceUnreachable`` with code ``stalled`` after so many ``seconds``, ``server-busy`` where no
    further session is allowed now, ``no-sftp`` where there is no SFTP.
    """
    with _watched(transport, peer, seconds):
        channel = _session(transport, seconds, min(seconds, RELEASE_SECONDS) if after_another else 0.0)
        channel.invoke_subsystem("sftp")
    return SftpChannel(channel, transport)


def _session(transport: paramiko.Transport, seconds: float, patience: float) -> paramiko.Channel:
    """Open a session, waiting so many seconds of ``patience`` for the server to free the one before."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return transport.open_session(
                window_size=CHANNEL_WINDOW_BYTES, max_packet_size=CHANNEL_PACKET_BYTES, timeout=seconds
            )
        except paramiko.ChannelException as exc:
            if exc.code not in _NO_ROOM or time.monotonic() >= deadline:
                raise
        time.sleep(_RELEASE_PAUSE)


@contextmanager
def _watched(transport: paramiko.Transport, peer: str, seconds: float) -> Iterator[None]:
    """Limit steps of the library that have no limit of their own: cut the connection when it is over."""
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        transport.close()

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (*FOREIGN, OSError) as exc:
        if expired.is_set():
            raise STALL.fired(f"{peer} did not open an SFTP session", seconds) from exc
        raise _not_opened(exc, transport, peer) from exc
    finally:
        timer.cancel()


def _not_opened(exc: Exception, transport: paramiko.Transport, peer: str) -> SourceError:
    if isinstance(exc, paramiko.ChannelException) and exc.code in _NO_ROOM:
        return busy(f"{peer} allows no further session now ({printable(str(exc.text))})")
    if not transport.is_active():
        return SourceUnreachable(
            f"the connection to {peer} was lost ({cause_of(transport)})",
            code="connection-lost",
            hint="Try again later.",
        )
    return SourceUnreachable(
        f"{peer} accepted the login but opened no SFTP session ({printable(str(exc))})",
        code="no-sftp",
        hint="Ask the DCC whether the account may use SFTP.",
    )


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


class TimedChannel:
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
