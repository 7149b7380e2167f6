"""A scripted SFTP server: what neither OpenSSH nor a library's server can be made to do.

:class:`Script` is a correct server for files in memory. A test subclasses it and overrides one answer: wrong
lengths, replies out of order, garbage, endless listings, missing attributes.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

INIT, VERSION, OPEN, CLOSE, READ, FSTAT, OPENDIR, READDIR, STAT = 1, 2, 3, 4, 5, 8, 11, 12, 17
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED = 101, 102, 103, 104, 105, 200
OK, EOF, NO_SUCH_FILE, FAILURE, UNSUPPORTED = 0, 1, 2, 4, 8

PASSWORD = "correct horse"
REGULAR = 0o100644


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size)


def string(value: bytes) -> bytes:
    return number(len(value)) + value


def attributes(size: int, *, mode: int = REGULAR, modified: int = 1_763_000_000) -> bytes:
    """Size, permissions and times."""
    return struct.pack(">IQIII", 0x1 | 0x4 | 0x8, size, mode, modified, modified)


def entry(name: bytes, size: int = 1) -> bytes:
    """One entry of a NAME reply."""
    return string(name) + string(b"-rw-r--r-- " + name) + attributes(size)


class ClientGone(Exception):
    """The client has closed the connection."""


class Script:
    """A correct server. Each answer is a method; ``body`` is what follows the number of the request."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.asked: list[int] = []
        self.gone = threading.Event()
        self._channel: paramiko.Channel | None = None
        self._listed = False
        self._open = b""

    # A test overrides these.

    def version(self) -> None:
        self.send(VERSION, number(3))

    def opendir(self, asked: int, body: bytes) -> None:
        del body
        self._listed = False
        self.reply(HANDLE, asked, string(b"directory"))

    def readdir(self, asked: int) -> None:
        if self._listed:
            self.status(asked, EOF)
            return
        self._listed = True
        self.names(asked, [entry(name.encode(), len(content)) for name, content in self.files.items()])

    def open(self, asked: int, body: bytes) -> None:
        path = body[4 : 4 + int.from_bytes(body[:4])].decode()
        content = self.files.get(Path(path).name)
        if content is None:
            self.status(asked, NO_SUCH_FILE)
        else:
            self._open = content
            self.reply(HANDLE, asked, string(b"file"))

    def fstat(self, asked: int) -> None:
        self.reply(ATTRS, asked, attributes(len(self._open)))

    def stat(self, asked: int, name: str) -> None:
        content = self.files.get(name)
        if content is None:
            self.status(asked, NO_SUCH_FILE)
        else:
            self.reply(ATTRS, asked, attributes(len(content)))

    def read(self, asked: int, at: int, length: int) -> None:
        piece = self._open[at : at + length]
        if piece:
            self.data(asked, piece)
        else:
            self.status(asked, EOF)

    def close(self, asked: int) -> None:
        self.status(asked, OK)

    # Tests call these.

    def send(self, kind: int, body: bytes) -> None:
        self.send_raw(number(len(body) + 1) + number(kind, 1) + body)

    def send_raw(self, data: bytes) -> None:
        assert self._channel is not None
        try:
            self._channel.sendall(data)
        except OSError as exc:
            raise ClientGone from exc

    def reply(self, kind: int, asked: int, body: bytes) -> None:
        self.send(kind, number(asked) + body)

    def status(self, asked: int, code: int, text: bytes = b"words") -> None:
        self.reply(STATUS, asked, number(code) + string(text) + string(b"en"))

    def names(self, asked: int, entries: Sequence[bytes]) -> None:
        self.reply(NAME, asked, number(len(entries)) + b"".join(entries))

    def data(self, asked: int, piece: bytes) -> None:
        self.reply(DATA, asked, string(piece))

    def serve(self, channel: paramiko.Channel) -> None:
        """Answer until the client closes the connection."""
        self._channel = channel
        try:
            while True:
                self._answer()
        except ClientGone:
            pass
        finally:
            self.gone.set()

    def _answer(self) -> None:
        request = self._exactly(int.from_bytes(self._exactly(4)))
        kind, asked, body = request[0], int.from_bytes(request[1:5]), request[5:]
        self.asked.append(kind)
        match kind:
            case 1:
                self.version()
            case 11:
                self.opendir(asked, body)
            case 12:
                self.readdir(asked)
            case 3:
                self.open(asked, body)
            case 8:
                self.fstat(asked)
            case 5:
                handle = 4 + int.from_bytes(body[:4])
                at, length = struct.unpack(">QI", body[handle:])
                self.read(asked, at, length)
            case 17:
                self.stat(asked, Path(body[4 : 4 + int.from_bytes(body[:4])].decode()).name)
            case 4:
                self.close(asked)
            case _:
                self.status(asked, UNSUPPORTED)

    def _exactly(self, size: int) -> bytes:
        assert self._channel is not None
        piece = b""
        while len(piece) < size:
            try:
                more = self._channel.recv(size - len(piece))
            except OSError as exc:
                raise ClientGone from exc
            if not more:
                raise ClientGone
            piece += more
        return piece


class LimitedServer(Script):
    """Disconnects when more than ``most`` read requests wait.

    ``expected``: returns how many the client keeps in flight. The server answers when that many wait, so that
    the result does not depend on timing. ``seen``: the most that waited, for each connection.
    """

    SPAN = 32_768

    def __init__(self, files: dict[str, bytes], *, most: int, expected: Callable[[], int]) -> None:
        super().__init__(files)
        self.most = most
        self.expected = expected
        self.dropped = 0
        self.seen: list[int] = []
        self._waiting: list[tuple[int, int, int]] = []

    def serve(self, channel: paramiko.Channel) -> None:
        self._waiting = []
        self.seen.append(0)
        super().serve(channel)

    def read(self, asked: int, at: int, length: int) -> None:
        assert self._channel is not None
        self._waiting.append((asked, at, length))
        self.seen[-1] = max(self.seen[-1], len(self._waiting))
        if len(self._waiting) > self.most:
            self.dropped += 1
            self._channel.get_transport().close()
            raise ClientGone
        left = -(-(len(self._open) - self._waiting[0][1]) // self.SPAN)
        if len(self._waiting) >= min(self.expected(), left):
            for request in self._waiting:
                super().read(*request)
            self._waiting = []


@dataclass(kw_only=True)
class Rogue:
    """A running server."""

    port: int
    host_key: paramiko.PKey
    transports: list[paramiko.Transport] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"sftp://party@127.0.0.1:{self.port}/extracts"

    def known_hosts(self, path: Path) -> Path:
        path.write_text(f"[127.0.0.1]:{self.port} {self.host_key.get_name()} {self.host_key.get_base64()}\n")
        return path


class _Gate(paramiko.ServerInterface):
    """Accepts every login."""

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        del username, password
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return OPEN_SUCCEEDED


class _Handler(paramiko.SubsystemHandler):
    """Passes the channel to the script."""

    def __init__(
        self, channel: paramiko.Channel, name: str, server: paramiko.ServerInterface, script: Script
    ) -> None:
        super().__init__(channel, name, server)
        self._script = script

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        del name, transport
        self._script.serve(channel)


@contextmanager
def rogue_server(script: Script) -> Iterator[Rogue]:
    """Run a script on a free loopback port until the end of the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    rogue = Rogue(port=listener.getsockname()[1], host_key=paramiko.ECDSAKey.generate())
    accepting = threading.Thread(target=_accept, args=(listener, rogue, script))
    accepting.start()
    try:
        yield rogue
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for transport in rogue.transports:
            transport.close()
            transport.packetizer.complete_handshake()
            transport.join()


def _accept(listener: socket.socket, rogue: Rogue, script: Script) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # closed: the test is over
        transport = paramiko.Transport(connection)
        transport.add_server_key(rogue.host_key)
        transport.set_subsystem_handler("sftp", _Handler, script)
        rogue.transports.append(transport)
        transport.start_server(event=threading.Event(), server=_Gate())
