"""Bounded SSH packetizer, transport, error translation."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_DISCONNECT,
    MSG_EXT_INFO,
    MSG_KEXINIT,
    MSG_SERVICE_ACCEPT,
    cMSG_SERVICE_REQUEST,
    cMSG_USERAUTH_REQUEST,
)
from paramiko.message import Message
from paramiko.packet import Packetizer
from paramiko.transport import ServiceRequestingTransport

from smki_sync.errors import SourceError, SourceMissing, SourceRefused, SourceUnreachable
from smki_sync.sources.base import printable
from smki_sync.sources.sftp_protocol import (
    CHANNEL_WINDOW_BYTES,
    BadReadReply,
    ProtocolError,
    SftpStatus,
    StatusReply,
)
from smki_sync.sources.ssh_settings import AlgorithmOffer

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
class Disconnect:
    """The server's DISCONNECT message (RFC 4253, 11.1)."""

    code: int
    text: str


class BoundedPacketizer(Packetizer):
    """The library's packets with bounds. ``unread``: how many bytes wait for our reader."""

    def __init__(self, line: socket.socket) -> None:
        """Wrap a connected socket."""
        super().__init__(line)
        self.greeting: list[str] = []
        self.farewell: Disconnect | None = None
        self.offer: AlgorithmOffer | None = None
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
                self.farewell = Disconnect(code=message.get_int(), text=printable(_text(message)))
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


def packetizer_of(transport: paramiko.Transport) -> BoundedPacketizer:
    """Give the packets of a connection of ours, which all have them."""
    line = transport.packetizer
    assert isinstance(line, BoundedPacketizer)
    return line


def _nothing() -> int:
    """No channel is open yet."""
    return 0


def _text(message: Message) -> str:
    return message.get_string().decode(errors="replace")


def _offer(message: Message) -> AlgorithmOffer:
    """Read the name-lists of a KEXINIT message (RFC 4253, 7.1)."""
    message.get_bytes(16)  # the cookie
    kex, host_keys, _, ciphers, _, macs = (_text(message).split(",") for _ in range(6))
    return AlgorithmOffer(kex=kex, host_keys=host_keys, ciphers=ciphers, macs=macs)


_POLL = 0.02
"""Seconds between looks at a connection while an answer is waited for."""


class BoundedTransport(ServiceRequestingTransport):
    """An SSH connection over a :class:`~smki_sync.sources.ssh_transport.Line`."""

    def __init__(self, line: socket.socket) -> None:
        """Wrap a connected socket; nothing is sent yet."""
        super().__init__(line, packetizer_class=BoundedPacketizer)

    def ensure_session(self) -> None:
        """Wait, as long as ``auth_timeout`` says, until the server lets us log in."""
        if packetizer_of(self).login_open.is_set():
            return
        question = Message()
        question.add_byte(cMSG_SERVICE_REQUEST)
        question.add_string("ssh-userauth")
        self.packetizer.send_message(question)
        deadline = time.monotonic() + self.auth_timeout
        while not packetizer_of(self).login_open.wait(_POLL):
            if not self.is_active() or time.monotonic() >= deadline:
                raise paramiko.AuthenticationException("no answer to the wish to log in")
        self.auth_handler = self.get_auth_handler()

    def get_auth_handler(self) -> AuthOnlyHandler:
        """Make what the steps of the login go through."""
        return _Login(self)


class _Login(AuthOnlyHandler):
    """One step of a login at a time. An answer is waited for from before the question goes out."""

    def send_auth_request(
        self, username: str, method: str, finish_message: Callable[[Message], object] | None = None
    ) -> list[str]:
        """Ask to be let in by a method; gives the methods that are still wanted, empty when we are in."""
        self.auth_method = method
        self.username = username
        self.auth_event = event = threading.Event()
        question = Message()
        question.add_byte(cMSG_USERAUTH_REQUEST)
        for word in (username, "ssh-connection", method):
            question.add_string(word)
        if finish_message:
            finish_message(question)
        with self.transport.lock:
            self.transport.packetizer.send_message(question)
        return self.wait_for_response(event)


FOREIGN = (paramiko.SSHException, EOFError)
"""What the library raises about a conversation that went wrong."""

TOO_MANY_CONNECTIONS = 12
"""Code of a DISCONNECT message from a server that is busy (RFC 4253, 11.1)."""


@contextmanager
def translated_errors(what: str, title: str) -> Iterator[None]:
    """Turn what is raised about ``what`` (a file, a directory) of the source ``title`` into our errors."""
    try:
        yield
    except StatusReply as said:
        raise _named(said, what, title) from said
    except (ProtocolError, BadReadReply, UnicodeError, *FOREIGN) as exc:
        raise SourceUnreachable(
            f"{title} does not keep to the SFTP protocol, about {what}: {printable(str(exc))}",
            code="protocol-broken",
            hint="Try again later; if it stays, tell the DCC.",
        ) from exc


def busy(what: str) -> SourceUnreachable:
    """Word a server that has no room now; it may have some later."""
    return SourceUnreachable(
        what, code="server-busy", hint="The server has as many callers as it allows; try again later."
    )


def turned_away(transport: paramiko.Transport) -> bool:
    """Whether the server hung up because it has too many callers, and said so."""
    farewell = packetizer_of(transport).farewell
    return farewell is not None and farewell.code == TOO_MANY_CONNECTIONS


def cause_of(transport: paramiko.Transport) -> str:
    """Say why a connection ended: the server's own words if it had any, else what the library met."""
    if farewell := packetizer_of(transport).farewell:
        return f"it hung up, saying: {farewell.text or 'nothing'} (code {farewell.code})"
    cause = transport.get_exception()
    if cause is None or isinstance(cause, EOFError):
        return "it hung up"
    return printable(str(cause)) or f"a packet was damaged on its way: {type(cause).__name__}"


def _named(said: StatusReply, what: str, title: str) -> SourceError:
    """Word a status reply by its code (filexfer-02, section 7)."""
    words = printable(said.text) or f"status {said.code}"
    match said.code:
        case SftpStatus.NO_SUCH_FILE:
            return SourceMissing(
                f"{what} is not there on {title} ({words})",
                hint="Check the path in the source URL; the Repository removes a delta after seven days.",
            )
        case SftpStatus.PERMISSION_DENIED:
            return SourceRefused(
                f"{what} on {title} may not be read ({words})",
                code="permission-denied",
                hint="Ask the DCC whether the account has access to it.",
            )
        case SftpStatus.EOF:
            return SourceUnreachable(
                f"{what} from {title} ended before its stated size",
                code="ended-early",
                hint="It may be in the middle of being replaced; try again later.",
            )
        case _:
            return SourceUnreachable(
                f"{title} failed with {what} ({words})",
                code="server-failed",
                hint="Try again later; if it stays, tell the DCC.",
            )
