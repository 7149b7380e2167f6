"""The byte channel of an SFTP session, with time limits."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import paramiko

from smki_sync.errors import SourceError, SourceUnreachable
from smki_sync.sources.base import STALL, TOTAL, Limits, Timeout, printable, too_slow
from smki_sync.sources.sftp_protocol import CHANNEL_PACKET_BYTES, CHANNEL_WINDOW_BYTES
from smki_sync.sources.ssh_transport import PARAMIKO_ERRORS, packetizer_of, reason_of, server_busy

_NO_SESSION_FREE: Final = (2, 4)
"""CONNECT_FAILED, which OpenSSH sends beyond ``MaxSessions``, and RESOURCE_SHORTAGE (RFC 4254, 5.1)."""

RELEASE_SECONDS: Final = 10.0
"""How long a server may take to release the previous session, if it allows only one."""

_RELEASE_POLL: Final = 0.05
"""Seconds between two attempts to open a session meanwhile."""


class ByteChannel(Protocol):
    """A channel of bytes. A timeout raises ``TimeoutError``; the end of the data is ``b""``."""

    def settimeout(self, timeout: float | None, /) -> None:
        """Limit the next calls, in seconds."""

    def send(self, data: bytes, /) -> int:
        """Send some of the data; return how many bytes."""

    def recv(self, size: int, /) -> bytes:
        """Receive at most ``size`` bytes."""

    def close(self) -> None:
        """Close without waiting; raises nothing."""


class SftpChannel:
    """A :class:`ByteChannel` over paramiko. Data on stderr is dropped; it would fill the window."""

    def __init__(self, channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        """Wrap an open channel, and let the packetizer see how many bytes are unread."""
        self._channel = channel
        self._transport = transport
        packetizer_of(transport).unread = lambda: len(channel.in_buffer) + len(channel.in_stderr_buffer)

    def settimeout(self, timeout: float | None) -> None:
        """Limit the next calls, in seconds."""
        self._channel.settimeout(timeout)

    def send(self, data: bytes) -> int:
        """Send some of the data; raises ``ConnectionError`` with the reason if the connection is lost."""
        with self._translated_errors():
            return self._channel.send(data)

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes; raises as :meth:`send` does."""
        with self._translated_errors():
            if self._channel.recv_stderr_ready():
                self._channel.recv_stderr(CHANNEL_WINDOW_BYTES)
            data = self._channel.recv(size)
        if not data:
            raise ConnectionError(reason_of(self._transport))
        return data

    def close(self) -> None:
        """Close the channel without waiting; the whole connection if that fails."""
        try:
            self._channel.close()
        except (*PARAMIKO_ERRORS, OSError):
            self._transport.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except paramiko.SSHException as exc:  # a key exchange in progress does not finish
            raise TimeoutError(str(exc)) from exc


def open_channel(
    transport: paramiko.Transport, *, peer: str, seconds: float, after_another: bool
) -> SftpChannel:
    """Open the ``sftp`` subsystem; ``after_another``: a session was just closed on this connection.

    Raises ``SourceUnreachable``: ``stalled`` after ``seconds``, ``server-busy`` if no session is allowed now,
    ``no-sftp`` if there is no SFTP.
    """
    with _time_limit(transport, peer, seconds):
        patience = min(seconds, RELEASE_SECONDS) if after_another else 0.0
        channel = _open_session(transport, seconds, patience)
        channel.invoke_subsystem("sftp")
    return SftpChannel(channel, transport)


def _open_session(transport: paramiko.Transport, seconds: float, patience: float) -> paramiko.Channel:
    """Open a session; wait up to ``patience`` seconds for the server to release the previous one."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return transport.open_session(
                window_size=CHANNEL_WINDOW_BYTES, max_packet_size=CHANNEL_PACKET_BYTES, timeout=seconds
            )
        except paramiko.ChannelException as exc:
            if exc.code not in _NO_SESSION_FREE or time.monotonic() >= deadline:
                raise
        time.sleep(_RELEASE_POLL)


@contextmanager
def _time_limit(transport: paramiko.Transport, peer: str, seconds: float) -> Iterator[None]:
    """Limit steps of the library that have no limit: close the connection when the time is over."""
    expired = threading.Event()

    def close() -> None:
        expired.set()
        transport.close()

    timer = threading.Timer(seconds, close)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (*PARAMIKO_ERRORS, OSError) as exc:
        if expired.is_set():
            raise STALL.error(f"{peer} did not open an SFTP session", seconds) from exc
        raise _not_opened(exc, transport, peer) from exc
    finally:
        timer.cancel()


def _not_opened(exc: Exception, transport: paramiko.Transport, peer: str) -> SourceError:
    if isinstance(exc, paramiko.ChannelException) and exc.code in _NO_SESSION_FREE:
        return server_busy(f"{peer} does not allow another session now ({printable(str(exc.text))})")
    if not transport.is_active():
        return SourceUnreachable(
            f"the connection to {peer} was lost ({reason_of(transport)})",
            code="connection-lost",
            hint="Try again later.",
        )
    return SourceUnreachable(
        f"{peer} accepted the login but did not open an SFTP session ({printable(str(exc))})",
        code="no-sftp",
        hint="Ask the DCC whether the account may use SFTP.",
    )


_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deadline:
    """A time limit in progress. ``at``: when it ends, on the clock of the channel."""

    at: float
    limit: Timeout
    seconds: float


class TimedChannel:
    """Sends and receives within the limits; raises ``SourceUnreachable`` instead of waiting too long.

    ``peer``: ``host:port`` for messages. ``limits``: stall, total and minimum rate apply here.
    ``failed``: whether the connection can no longer be used.
    """

    def __init__(
        self,
        channel: ByteChannel,
        *,
        peer: str,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap a channel; the total limit starts with :meth:`begin`."""
        self._channel = channel
        self._peer = peer
        self._limits = limits
        self._clock = clock
        self._deadline = _Deadline(at=float("inf"), limit=TOTAL, seconds=0.0)
        self._waited, self._received = 0.0, 0  # since the rate was last checked
        self.failed = False

    def begin(self) -> None:
        """Start the total limit and the rate measurement for one file or listing."""
        self._waited, self._received = 0.0, 0
        self._deadline = self._deadline_in(TOTAL, self._limits.total)

    @contextmanager
    def limited(self, limit: Timeout, seconds: float) -> Iterator[None]:
        """Apply one more limit to the block; 0 is no limit."""
        outer = self._deadline
        self._deadline = min(outer, self._deadline_in(limit, seconds), key=lambda deadline: deadline.at)
        try:
            yield
        finally:
            self._deadline = outer

    def send(self, data: bytes) -> None:
        """Send every byte; raises ``SourceUnreachable`` at a limit or if the connection is lost."""
        while data:
            sent = self._within_limits(partial(self._channel.send, data))
            if not sent:
                raise self._lost()
            data = data[sent:]

    def recv(self, size: int) -> bytes:
        """Receive at least one byte; raises as :meth:`send` does."""
        started = self._clock()
        data = self._within_limits(partial(self._channel.recv, size))
        if not data:
            raise self._lost()
        self._check_rate(self._clock() - started, len(data))
        return data

    def close(self) -> None:
        """Close the channel without waiting for the server."""
        self._channel.close()

    def _deadline_in(self, limit: Timeout, seconds: float) -> _Deadline:
        at = self._clock() + seconds if seconds else float("inf")
        return _Deadline(at=at, limit=limit, seconds=seconds)

    def _within_limits(self, step: Callable[[], _Result]) -> _Result:
        """Call one step with the time that is left."""
        left = self._deadline.at - self._clock()
        if left <= 0:
            raise self._over_deadline()
        self._channel.settimeout(min(self._limits.stall, left))
        try:
            return step()
        except SourceError:
            self.failed = True
            raise
        except TimeoutError as exc:
            raise (self._stalled() if left > self._limits.stall else self._over_deadline()) from exc
        except (EOFError, OSError) as exc:
            raise self._lost(str(exc)) from exc

    def _check_rate(self, seconds: float, size: int) -> None:
        """Check the rate once per period of waiting; pauses of our own reader do not count."""
        self._waited += seconds
        self._received += size
        if self._waited < self._limits.slow_period:
            return
        if self._received < self._limits.slow_rate * self._waited:
            self.failed = True
            raise too_slow(
                self._peer, self._received, rate=self._limits.slow_rate, seconds=self._limits.slow_period
            )
        self._waited, self._received = 0.0, 0

    def _stalled(self) -> SourceUnreachable:
        self.failed = True
        return STALL.error(f"{self._peer} sent no data", self._limits.stall)

    def _over_deadline(self) -> SourceUnreachable:
        self.failed = True
        return self._deadline.limit.error(f"{self._peer} did not finish", self._deadline.seconds)

    def _lost(self, why: str = "") -> SourceUnreachable:
        self.failed = True
        return SourceUnreachable(
            f"the connection to {self._peer} was lost{f' ({why})' if why else ''}",
            code="connection-lost",
            hint="Try again later. The download will resume.",
        )
