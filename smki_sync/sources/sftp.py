"""One SFTP conversation over an SSH connection: questions out, answers in, any number in flight.

For: requests and replies as octets, with the time limits of :class:`~smki_sync.sources.wire.Wire`. The
library's own ``get`` and ``prefetch`` fetch bytes twice and hold a file in memory when its reader pauses,
so two of its private methods are used instead (:class:`_Private`; a test fails when they move). Refuses: to
know of files and directories.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import paramiko
from paramiko.message import Message
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_DATA,
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    CMD_READ,
    CMD_STATUS,
    SFTPError,
    int64,
)

from smki_sync.errors import SourceUnreachable
from smki_sync.sources.packets import Fields, Garbled, Status, read_status
from smki_sync.sources.window import CHANNEL_PACKET_BYTES, CHANNEL_WINDOW_BYTES
from smki_sync.sources.wire import Wire

DEFAULT_READ = 32 * 1024
"""Bytes of one read request that every server must grant (filexfer-02, section 3)."""

LARGEST_READ = 255 * 1024
"""Bytes of one read request where the server grants it; measured, larger ones gain nothing."""

IN_FLIGHT_BYTES = 4 * 1024 * 1024
"""Bytes asked for and not yet handed on: enough for the delay of any line in the country."""

IN_FLIGHT_REQUESTS = 64
"""Requests in flight at most, as OpenSSH's own client."""

_Argument = bytes | str | int | paramiko.SFTPAttributes


class ServerSaid(Exception):
    """A STATUS reply other than OK: its code and the server's words."""

    def __init__(self, code: int, text: str) -> None:
        """Keep both."""
        super().__init__(f"status {code}: {text}")
        self.code = code
        self.text = text


class _Private(Protocol):
    """The private methods of ``paramiko.SFTPClient`` that this module stands on (paramiko 5)."""

    def _async_request(self, fileobj: object, t: int, *args: _Argument) -> int:
        """Send a request; its number."""

    def _read_response(self, waitfor: int | None = None) -> object:
        """Wait for one reply and hand it to the ``fileobj`` of its request."""


class _Inbox:
    """Takes each reply from the library as it comes."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, int, bytes]] = []

    def _async_response(self, kind: int, message: Message, number: int) -> None:
        """Keep a reply: its request's number, its type, its body."""
        self.replies.append((number, kind, message.get_remainder()))


class Session:
    """One SFTP channel. Raises ``SourceUnreachable`` from the wire, ``ServerSaid``, ``Garbled``."""

    def __init__(self, transport: paramiko.Transport, *, peer: str, stall: float) -> None:
        """Open the channel; raises ``SourceUnreachable`` (code ``no-sftp``) where the server has none."""
        with _watched(transport, peer, stall):
            channel = transport.open_session(
                window_size=CHANNEL_WINDOW_BYTES, max_packet_size=CHANNEL_PACKET_BYTES, timeout=stall
            )
            channel.invoke_subsystem("sftp")
        self.wire = Wire(channel, peer=peer, stall=stall)
        client = paramiko.SFTPClient(
            cast("paramiko.Channel", self.wire)
        )  # it wants send, recv, close, get_name
        self._client = cast("_Private", client)
        self._inbox = _Inbox()
        self.read_bytes = self._granted_read(transport)

    @property
    def in_flight(self) -> int:
        """How many read requests to keep in flight."""
        return min(IN_FLIGHT_REQUESTS, IN_FLIGHT_BYTES // self.read_bytes)

    def call(self, expected: int, command: int, *args: _Argument) -> Fields:
        """Ask one question and wait for its answer, which must be of the expected type."""
        asked = self._client._async_request(self._inbox, command, *args)  # noqa: SLF001 (see _Private)
        number, kind, body = self._receive()
        if (number, kind) != (asked, expected):
            raise Garbled(f"reply {number} of type {kind} to request {asked}")
        return Fields(body)

    def ask_read(self, handle: bytes, at: int, length: int) -> int:
        """Ask for ``length`` bytes from offset ``at`` and do not wait; the number of the request."""
        return self._client._async_request(  # noqa: SLF001 (see _Private)
            self._inbox, CMD_READ, handle, int64(at), length
        )

    def next_read(self) -> tuple[int, bytes]:
        """Wait for the answer to any read request in flight: its number and the bytes."""
        number, kind, body = self._receive()
        if kind != CMD_DATA:
            raise Garbled(f"reply of type {kind} to a read request")
        return number, Fields(body).string()

    def close_handle(self, handle: bytes) -> None:
        """Close a file or directory."""
        self.call(CMD_STATUS, CMD_CLOSE, handle)

    def close(self) -> None:
        """Close the channel without waiting; what is still on its way is dropped."""
        self.wire.close()

    def _receive(self) -> tuple[int, int, bytes]:
        """Wait for one reply; raises ``ServerSaid`` for a status other than OK."""
        self._client._read_response()  # noqa: SLF001 (see _Private)
        if not self._inbox.replies:
            raise Garbled("a reply to no request")
        number, kind, body = self._inbox.replies.pop()
        if kind == CMD_STATUS:
            code, text = read_status(body)
            if code != Status.OK:
                raise ServerSaid(code, text)
        return number, kind, body

    def _granted_read(self, transport: paramiko.Transport) -> int:
        """Ask for the largest read request; only OpenSSH, since others may hang up at the question."""
        if "OpenSSH" not in transport.remote_version:
            return DEFAULT_READ
        try:
            limits = self.call(CMD_EXTENDED_REPLY, CMD_EXTENDED, "limits@openssh.com")
        except ServerSaid:
            return DEFAULT_READ
        limits.number(8)  # the longest packet
        granted = limits.number(8)
        return min(granted or DEFAULT_READ, LARGEST_READ)


FOREIGN = (paramiko.SSHException, SFTPError, EOFError)
"""What the library raises about a conversation that went wrong."""


@contextmanager
def _watched(transport: paramiko.Transport, peer: str, seconds: float) -> Iterator[None]:
    """Limit a step of the library that has no limit of its own: cut the connection when it is over."""
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
            raise SourceUnreachable(
                f"{peer} did not open an SFTP session within {seconds:g} s (limit: stall)",
                code="stalled",
                hint="The server hangs; try again later.",
            ) from exc
        raise SourceUnreachable(
            f"{peer} accepted the login but opened no SFTP session ({exc})",
            code="no-sftp",
            hint="Ask the DCC whether the account may use SFTP.",
        ) from exc
    finally:
        timer.cancel()
