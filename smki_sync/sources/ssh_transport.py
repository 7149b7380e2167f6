"""SSH packetizer and transport with limits; why a connection ended."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_DISCONNECT,
    MSG_EXT_INFO,
    MSG_KEXINIT,
    MSG_SERVICE_ACCEPT,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_INFO_REQUEST,
    cMSG_SERVICE_REQUEST,
    cMSG_USERAUTH_REQUEST,
)
from paramiko.message import Message
from paramiko.packet import Packetizer
from paramiko.transport import ServiceRequestingTransport

from smki_sync.errors import SourceUnreachable
from smki_sync.sources.base import printable
from smki_sync.sources.sftp_protocol import CHANNEL_WINDOW_BYTES
from smki_sync.sources.ssh_settings import AlgorithmOffer

LONGEST_PACKET: Final = 260 * 1024
"""Bytes of one SSH packet: we request 255 KiB, and OpenSSH sends none above 256 KiB."""

LONGEST_LINE: Final = 8 * 1024
"""Bytes of one line before the SSH protocol starts; RFC 4253, 4.2 allows 255 for the version."""

MAX_GREETING_LINES: Final = 3
"""Lines kept of what a server sends before its SSH banner: enough for a reason."""

MAX_EXTENSIONS: Final = 256
"""Extensions in one EXT_INFO message (RFC 8308); the library loops as often as the count says."""

MAX_PROMPTS: Final = 16
"""Prompts in one keyboard-interactive request (RFC 4256, 3.2); the library loops as the count says."""

MAX_UNREAD_BYTES: Final = 2 * CHANNEL_WINDOW_BYTES
"""Unread bytes of the channel: twice the window that the server was granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The DISCONNECT message of the server (RFC 4253, 11.1)."""

    code: int
    text: str


class BoundedPacketizer(Packetizer):
    """The packetizer of the library, with limits, and with the messages that the library does not keep.

    ``greeting``: lines before the SSH banner. ``offer``: the algorithms of the server. ``login_text``: the
    last text that the server showed during the login. ``unread``: returns the unread bytes of the channel.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Wrap a connected socket."""
        super().__init__(connection)
        self.greeting: list[str] = []
        self.disconnect: Disconnect | None = None
        self.offer: AlgorithmOffer | None = None
        self.key_exchanges = 0
        self.login_text = ""
        self.login_accepted = threading.Event()
        self.unread: Callable[[], int] = _no_bytes

    def readline(self, timeout: float) -> str:
        """Read one line before the SSH protocol; the caller limits the time."""
        del timeout
        line = bytearray()
        while not line.endswith(b"\n"):
            if len(line) >= LONGEST_LINE:
                raise paramiko.SSHException(f"a first line of more than {LONGEST_LINE} bytes")
            line += self.read_all(1)
        text = line.decode(errors="replace").rstrip("\r\n")
        self.greeting = [*self.greeting, printable(text)][:MAX_GREETING_LINES]
        return text

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read ``n`` bytes, unless that is more than any valid packet."""
        if n > LONGEST_PACKET:
            raise paramiko.SSHException(f"a packet of {n} bytes")
        return super().read_all(n, check_rekey)

    def read_message(self) -> tuple[int, Message]:
        """Read one message; check its counts, and keep what the library drops."""
        kind, message = super().read_message()
        match kind:
            case int() if kind in (MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA):
                if self.unread() > MAX_UNREAD_BYTES:
                    raise paramiko.SSHException("more data than the channel window allows")
            case int() if kind == MSG_DISCONNECT:
                self.disconnect = Disconnect(code=message.get_int(), text=printable(_text(message)))
            case int() if kind == MSG_KEXINIT:
                self.key_exchanges += 1
                self.offer = _read_offer(message)
            case int() if kind == MSG_SERVICE_ACCEPT:
                self.login_accepted.set()
            case int() if kind == MSG_EXT_INFO and message.get_int() > MAX_EXTENSIONS:
                raise paramiko.SSHException("too many extensions")
            case int() if kind == MSG_USERAUTH_BANNER:
                self.login_text = _one_line(_text(message)) or self.login_text
            case int() if kind == MSG_USERAUTH_INFO_REQUEST:
                self._read_info_request(message)
            case _:
                pass
        message.rewind()
        return kind, message

    def _read_info_request(self, message: Message) -> None:
        """Keep the texts of a keyboard-interactive request, or of a request for a new password.

        Both have this number (RFC 4256, 3.2; RFC 4252, 8); both start with texts.
        """
        texts = [_text(message), _text(message)]
        _text(message)  # the language tag
        prompts = message.get_int()
        if prompts > MAX_PROMPTS:
            raise paramiko.SSHException(f"{prompts} prompts in one request")
        for _ in range(prompts):
            texts.append(_text(message))
            message.get_boolean()
        self.login_text = _one_line(" ".join(texts)) or self.login_text


def packetizer_of(transport: paramiko.Transport) -> BoundedPacketizer:
    """Return the packetizer of one of our connections."""
    packetizer = transport.packetizer
    assert isinstance(packetizer, BoundedPacketizer)
    return packetizer


def _no_bytes() -> int:
    """Default of ``BoundedPacketizer.unread``: no channel is open yet."""
    return 0


def _text(message: Message) -> str:
    return message.get_string().decode(errors="replace")


def _one_line(text: str) -> str:
    """Make a text of the server a short, printable line."""
    return printable(" ".join(text.split()))


def _read_offer(message: Message) -> AlgorithmOffer:
    """Read the name-lists of a KEXINIT message (RFC 4253, 7.1)."""
    message.get_bytes(16)  # the cookie
    kex, host_keys, _, ciphers, _, macs = (_text(message).split(",") for _ in range(6))
    return AlgorithmOffer(kex=kex, host_keys=host_keys, ciphers=ciphers, macs=macs)


_POLL: Final = 0.02
"""Seconds between two checks of a connection while waiting for a reply."""


class BoundedTransport(ServiceRequestingTransport):
    """An SSH connection over a :class:`BoundedPacketizer`."""

    def __init__(self, connection: socket.socket) -> None:
        """Wrap a connected socket; nothing is sent yet."""
        super().__init__(connection, packetizer_class=BoundedPacketizer)

    def ensure_session(self) -> None:
        """Request the login service; wait for the reply up to ``auth_timeout``."""
        if packetizer_of(self).login_accepted.is_set():
            return
        request = Message()
        request.add_byte(cMSG_SERVICE_REQUEST)
        request.add_string("ssh-userauth")
        self.packetizer.send_message(request)
        deadline = time.monotonic() + self.auth_timeout
        while not packetizer_of(self).login_accepted.wait(_POLL):
            if not self.is_active() or time.monotonic() >= deadline:
                raise paramiko.AuthenticationException("no reply to the request for the login service")
        self.auth_handler = self.get_auth_handler()

    def get_auth_handler(self) -> AuthOnlyHandler:
        """Create the handler of the login."""
        return _LoginHandler(self)


class _LoginHandler(AuthOnlyHandler):
    """One step of a login at a time. Waiting for the reply starts before the request is sent."""

    def send_auth_request(
        self, username: str, method: str, finish_message: Callable[[Message], object] | None = None
    ) -> list[str]:
        """Request a login by a method; return the methods that are still needed, empty after success."""
        self.auth_method = method
        self.username = username
        self.auth_event = event = threading.Event()
        request = Message()
        request.add_byte(cMSG_USERAUTH_REQUEST)
        for word in (username, "ssh-connection", method):
            request.add_string(word)
        if finish_message:
            finish_message(request)
        with self.transport.lock:
            self.transport.packetizer.send_message(request)
        return self.wait_for_response(event)


PARAMIKO_ERRORS: Final = (paramiko.SSHException, EOFError)
"""What the library raises about a failed conversation."""

TOO_MANY_CONNECTIONS: Final = 12
"""Code of a DISCONNECT message of a busy server (RFC 4253, 11.1)."""


def server_busy(what: str) -> SourceUnreachable:
    """Create the error for a server that has no room now."""
    return SourceUnreachable(
        what, code="server-busy", hint="The server has reached its connection limit. Try again later."
    )


def is_over_limit(transport: paramiko.Transport) -> bool:
    """Whether the server disconnected because it has too many connections, and said so."""
    disconnect = packetizer_of(transport).disconnect
    return disconnect is not None and disconnect.code == TOO_MANY_CONNECTIONS


def reason_of(transport: paramiko.Transport, raised: Exception | None = None) -> str:
    """Say why a connection ended: the text of the server if there is one, else the error of the library.

    ``raised``: what the library raised; it reports an error of its thread only once.
    """
    if disconnect := packetizer_of(transport).disconnect:
        return f"the server disconnected: {disconnect.text or 'no reason given'} (code {disconnect.code})"
    error = transport.get_exception() or raised
    if error is None or isinstance(error, EOFError | paramiko.AuthenticationException):
        return "the server closed the connection"
    return printable(str(error)) or f"a damaged packet: {type(error).__name__}"
