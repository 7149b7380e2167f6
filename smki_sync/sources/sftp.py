"""One SFTP conversation over a channel: questions out, answers in, any number in flight.

For: the packets of SFTP version 3 (draft-ietf-secsh-filexfer-02) with the time limits of
:class:`~smki_sync.sources.wire.Wire`. The library's own SFTP client is not used: its ``get`` and ``prefetch``
fetch bytes twice, hold a file in memory when its reader pauses, and take a server's lengths on trust.
Refuses: to know of files and directories, to believe a length that no honest server announces.
"""

import paramiko
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_DATA,
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    CMD_INIT,
    CMD_READ,
    CMD_STATUS,
    CMD_VERSION,
)

from smki_sync.sources.base import Limits
from smki_sync.sources.sftp_channel import open_channel
from smki_sync.sources.sftp_protocol import (
    Fields,
    Garbled,
    ServerSaid,
    Status,
    number,
    read_status,
    read_version,
    string,
)
from smki_sync.sources.window import CHANNEL_WINDOW_BYTES
from smki_sync.sources.wire import Wire

DEFAULT_READ = 32 * 1024
"""Bytes of one read request that every server must grant (filexfer-02, section 3)."""

LARGEST_READ = 255 * 1024
"""Bytes of one read request where the server grants it; measured, larger ones gain nothing."""

IN_FLIGHT_BYTES = CHANNEL_WINDOW_BYTES
"""Bytes asked for and not yet handed on: as many as may be on their way. Measured with up to 80 ms of delay,
twice as many gain nothing, and take the process above 64 MiB."""

IN_FLIGHT_REQUESTS = 64
"""Requests in flight at most, as OpenSSH's own client."""

LONGEST_REPLY = 4 * 1024 * 1024
"""Bytes of one reply at most: no read is larger than 255 KiB, and names may be long, but not for ever."""

PROTOCOL = 3
"""The version of SFTP that every server speaks; later ones never became common."""

_LIMITS = b"limits@openssh.com"


class Session:
    """One SFTP channel. Raises ``SourceUnreachable`` from the wire, ``ServerSaid``, ``Garbled``."""

    def __init__(
        self, transport: paramiko.Transport, *, peer: str, limits: Limits, after_another: bool
    ) -> None:
        """Open the channel and agree on the protocol; raises as :func:`~.sftp_channel.open_channel` does."""
        channel = open_channel(transport, peer=peer, seconds=limits.stall, after_another=after_another)
        self.wire = Wire(channel, peer=peer, limits=limits)
        self._asked = 0
        self._held, self._at = b"", 0
        extensions = self._agree_on_version()
        self.read_bytes = self._granted_read() if _LIMITS in extensions else DEFAULT_READ

    @property
    def in_flight(self) -> int:
        """How many read requests to keep in flight."""
        return min(IN_FLIGHT_REQUESTS, IN_FLIGHT_BYTES // self.read_bytes)

    def call(self, expected: int, command: int, body: bytes) -> Fields:
        """Ask one question and wait for its answer, which must be of the expected type."""
        asked = self._ask(command, body)
        answered, kind, fields = self._answer()
        if (answered, kind) != (asked, expected):
            raise Garbled(f"reply {answered} of type {kind} to request {asked}")
        return fields

    def ask_read(self, handle: bytes, at: int, length: int) -> int:
        """Ask for ``length`` bytes from offset ``at`` and do not wait; the number of the request."""
        return self._ask(CMD_READ, string(handle) + number(at, 8) + number(length))

    def next_read(self) -> tuple[int, bytes]:
        """Wait for the answer to any read request in flight: its number and the bytes."""
        answered, kind, fields = self._answer()
        if kind != CMD_DATA:
            raise Garbled(f"reply of type {kind} to a read request")
        return answered, fields.string()

    def close_handle(self, handle: bytes) -> None:
        """Close a file or directory."""
        self.call(CMD_STATUS, CMD_CLOSE, string(handle))

    def close(self) -> None:
        """Close the channel without waiting; what is still on its way is dropped."""
        self.wire.close()

    def _ask(self, command: int, body: bytes) -> int:
        self._asked = (self._asked + 1) & 0xFFFFFFFF
        self._send(command, number(self._asked) + body)
        return self._asked

    def _answer(self) -> tuple[int, int, Fields]:
        """Wait for one reply: the request's number, type, fields; ``ServerSaid`` for a status but OK."""
        kind, fields = self._receive()
        answered = fields.number()
        if kind == CMD_STATUS:
            code, text = read_status(fields)
            if code != Status.OK:
                raise ServerSaid(code, text)
        return answered, kind, fields

    def _send(self, command: int, body: bytes) -> None:
        self.wire.send(number(len(body) + 1) + number(command, 1) + body)

    def _receive(self) -> tuple[int, Fields]:
        length = int.from_bytes(self._exactly(4))
        if not 1 <= length <= LONGEST_REPLY:
            raise Garbled(f"a reply of {length} bytes")
        fields = Fields(self._exactly(length))
        return fields.number(1), fields

    def _exactly(self, size: int) -> bytes:
        """Take so many bytes of what has come, and wait for the rest of them."""
        pieces = []
        while size:
            if self._at == len(self._held):
                self._held, self._at = self.wire.recv(CHANNEL_WINDOW_BYTES // 2), 0
            piece = self._held[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _agree_on_version(self) -> dict[bytes, bytes]:
        """Say which version we speak (section 4); the extensions of the server."""
        self._send(CMD_INIT, number(PROTOCOL))
        kind, fields = self._receive()
        if kind != CMD_VERSION:
            raise Garbled(f"a reply of type {kind} in place of its version")
        version, extensions = read_version(fields)
        if version != PROTOCOL:
            raise Garbled(f"SFTP version {version}, where {PROTOCOL} was asked for")
        return extensions

    def _granted_read(self) -> int:
        """Ask a server that offers to say so how large a read request may be."""
        try:
            limits = self.call(CMD_EXTENDED_REPLY, CMD_EXTENDED, string(_LIMITS))
        except ServerSaid:
            return DEFAULT_READ
        limits.number(8)  # the longest packet
        return max(DEFAULT_READ, min(limits.number(8), LARGEST_READ))
