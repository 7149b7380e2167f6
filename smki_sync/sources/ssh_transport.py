"""The SSH packets of one connection, bounded, and what they said that the library keeps to itself.

For: a library that takes any length on trust, and drops the words with which a server hangs up. Uses the
public methods of ``paramiko.packet.Packetizer`` alone. Refuses: to hold more of a server's bytes than an
honest one sends, whatever it announces.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

import paramiko
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_DISCONNECT,
    MSG_EXT_INFO,
    MSG_KEXINIT,
    MSG_SERVICE_ACCEPT,
)
from paramiko.message import Message
from paramiko.packet import Packetizer

from smki_sync.sources.algorithms import Offer
from smki_sync.sources.names import printable
from smki_sync.sources.window import CHANNEL_WINDOW_BYTES

LONGEST_PACKET = 260 * 1024
"""Bytes of one SSH packet at most: we ask for 255 KiB, and OpenSSH sends none above 256 KiB."""

LONGEST_LINE = 8 * 1024
"""Bytes of one line before the SSH protocol begins; RFC 4253, 4.2 grants the version 255."""

MOST_LINES = 3
"""Lines kept of what a server said before it named itself: enough for a reason, no room for a flood."""

MOST_EXTENSIONS = 256
"""Extensions in one EXT_INFO message (RFC 8308); the library loops as often as the number says."""

MOST_UNREAD = 2 * CHANNEL_WINDOW_BYTES
"""Bytes that wait for our reader at most: twice the window that the server was granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """The server's DISCONNECT message (RFC 4253, 11.1)."""

    code: int
    text: str


class Line(Packetizer):
    """The library's packets with bounds. ``unread``: how many bytes wait for our reader."""

    def __init__(self, line: socket.socket) -> None:
        """Wrap a connected socket."""
        super().__init__(line)
        self.greeting: list[str] = []
        self.farewell: Farewell | None = None
        self.offer: Offer | None = None
        self.key_exchanges = 0
        self.login_open = threading.Event()
        self.unread: Callable[[], int] = _nothing

    def readline(self, timeout: float) -> str:
        """Read one line before the protocol; whoever waits for the banner keeps the time."""
        del timeout
        line = bytearray()
        while not line.endswith(b"\n"):
            if len(line) >= LONGEST_LINE:
                raise paramiko.SSHException(f"a first line of more than {LONGEST_LINE} bytes")
            line += self.read_all(1)
        text = line.decode(errors="replace").rstrip("\r\n")
        self.greeting = [*self.greeting, printable(text)][:MOST_LINES]
        return text

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read ``n`` bytes, unless no honest server would send so many at once."""
        if n > LONGEST_PACKET:
            raise paramiko.SSHException(f"a packet of {n} bytes")
        return super().read_all(n, check_rekey)

    def read_message(self) -> tuple[int, Message]:
        """Read one message and look at those that the library forgets or trusts too far."""
        kind, message = super().read_message()
        match kind:
            case int() if kind in (MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA):
                if self.unread() > MOST_UNREAD:
                    raise paramiko.SSHException("more data than it was allowed to send")
            case int() if kind == MSG_DISCONNECT:
                self.farewell = Farewell(code=message.get_int(), text=printable(_text(message)))
            case int() if kind == MSG_KEXINIT:
                self.key_exchanges += 1
                self.offer = _offer(message)
            case int() if kind == MSG_SERVICE_ACCEPT:
                self.login_open.set()
            case int() if kind == MSG_EXT_INFO and message.get_int() > MOST_EXTENSIONS:
                raise paramiko.SSHException("too many extensions")
            case _:
                pass
        message.rewind()
        return kind, message


def line_of(transport: paramiko.Transport) -> Line:
    """Give the packets of a connection of ours, which all have them."""
    line = transport.packetizer
    assert isinstance(line, Line)
    return line


def _nothing() -> int:
    """No channel is open yet."""
    return 0


def _text(message: Message) -> str:
    return message.get_string().decode(errors="replace")


def _offer(message: Message) -> Offer:
    """Read the name-lists of a KEXINIT message (RFC 4253, 7.1)."""
    message.get_bytes(16)  # the cookie
    kex, host_keys, _, ciphers, _, macs = (_text(message).split(",") for _ in range(6))
    return Offer(kex=kex, host_keys=host_keys, ciphers=ciphers, macs=macs)
