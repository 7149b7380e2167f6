"""The SFTP channel of a connection: opened within a limit, and speaking in plain errors.

For: a server that hangs, refuses or is busy when a channel is opened, each in its own words; and the bytes
of an open channel, as :class:`~smki_sync.sources.wire.ByteChannel` wants them. Refuses: to know what the
bytes mean.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko

from smki_sync.errors import SourceError, SourceUnreachable
from smki_sync.sources.names import printable
from smki_sync.sources.patience import STALL
from smki_sync.sources.sftp_words import FOREIGN, busy, cause_of
from smki_sync.sources.ssh_transport import line_of
from smki_sync.sources.window import CHANNEL_PACKET_BYTES, CHANNEL_WINDOW_BYTES

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
        line_of(transport).unread = lambda: len(channel.in_buffer) + len(channel.in_stderr_buffer)

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
