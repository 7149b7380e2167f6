"""A small read-only SFTP server of paramiko's classes, with faults that a test selects.

A real OpenSSH does not do these on demand: password logins, counting, short reads, a disconnect at a chosen
step. Loopback only, one directory with regular files.
"""

import os
import socket
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.message import Message
from paramiko.server import InteractiveQuery
from paramiko.sftp import CMD_DATA, SFTP_FAILURE, SFTP_NO_SUCH_FILE, SFTP_PERMISSION_DENIED

USER = "party"
PASSWORD = "correct horse"

EMPTY_DATA = 99
"""A status that the server turns into a DATA reply without data."""

Read = Callable[["Served", int, int], bytes | int]


@dataclass(kw_only=True)
class Behaviour:
    """What the server does; the default is a correct server.

    ``drop_on_none``: disconnect when a client asks for the methods. ``expired``: the password is expired, and
    this is the text that the server shows. ``prompts``: the number stated by a keyboard-interactive request.
    """

    password: str | None = PASSWORD
    interactive: bool = False
    key: paramiko.PKey | None = None
    hang_up_on_refusal: bool = False
    read: Read = lambda served, offset, length: served.honest(offset, length)
    endless_listing: bool = False
    extra_names: list[str] = field(default_factory=list)
    silent_subsystem: bool = False
    then_password: bool = False
    silent_login: bool = False
    no_sftp: bool = False
    forbidden: bool = False
    empty_data: bool = False
    size_claimed: int | None = None
    drop_on_none: bool = False
    expired: str = ""
    prompts: int = 0


@dataclass(kw_only=True)
class Seen:
    """What reached the server."""

    connections: int = 0
    passwords: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    reads: int = 0
    listings: int = 0
    nones: int = 0

    @property
    def attempts(self) -> int:
        return len(self.passwords) + len(self.keys)


@dataclass(kw_only=True)
class Server:
    """A server that runs. ``transports``: its side of each connection, for a test to cut."""

    port: int
    directory: Path
    host_key: paramiko.PKey
    behaviour: Behaviour
    seen: Seen = field(default_factory=Seen)
    transports: list[paramiko.Transport] = field(default_factory=list)
    extra_host_keys: list[paramiko.PKey] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"sftp://{USER}@127.0.0.1:{self.port}{quote(str(self.directory))}"

    def known_hosts(self, path: Path) -> Path:
        """Write a known_hosts file that pins this server."""
        key = self.host_key
        path.write_text(f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n")
        return path


class Served(paramiko.SFTPHandle):
    """One open file."""

    def __init__(self, path: Path, server: Server) -> None:
        super().__init__()
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)  # a caller who is cut off closes nothing
        self.server = server

    def honest(self, offset: int, length: int) -> bytes:
        """What an honest server answers."""
        return os.pread(self._file.fileno(), length, offset)

    def read(self, offset: int, length: int) -> bytes | int:
        self.server.seen.reads += 1
        if self.server.behaviour.empty_data:
            return EMPTY_DATA
        return self.server.behaviour.read(self, offset, length)

    def stat(self) -> paramiko.SFTPAttributes:
        attributes = paramiko.SFTPAttributes.from_stat(os.fstat(self._file.fileno()))
        if self.server.behaviour.size_claimed is not None:
            attributes.st_size = self.server.behaviour.size_claimed
        return attributes

    def close(self) -> None:
        self._file.close()


class _EndlessFolder(list[paramiko.SFTPAttributes]):
    """A listing that has always sixteen entries more."""

    def __getitem__(self, index: object) -> "_EndlessFolder":  # type: ignore[override]  # only ever sliced
        start = getattr(index, "start", None)
        return self if start else _EndlessFolder(_attributes(f"{n}.gz") for n in range(16))


def _attributes(name: str) -> paramiko.SFTPAttributes:
    attributes = paramiko.SFTPAttributes()
    attributes.filename = name
    attributes.st_mode = stat.S_IFREG | 0o444
    attributes.st_size = 1
    return attributes


class _Files(paramiko.SFTPServerInterface):
    """The one directory, read-only."""

    def __init__(self, server: "_Gate") -> None:
        super().__init__(server)
        self.server = server.server

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        self.server.seen.listings += 1
        if self.server.behaviour.forbidden:
            return SFTP_PERMISSION_DENIED
        if self.server.behaviour.endless_listing:
            return _EndlessFolder([_attributes("0.gz")])
        if not Path(path).is_dir():
            return SFTP_NO_SUCH_FILE
        try:
            found = list(os.scandir(os.fsencode(path)))
        except PermissionError:
            return SFTP_PERMISSION_DENIED
        entries = [paramiko.SFTPAttributes.from_stat(e.stat(follow_symlinks=False), e.name) for e in found]  # type: ignore[arg-type]  # names as size pass, as on a disk
        return entries + [_attributes(name) for name in self.server.behaviour.extra_names]

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        del attr
        place = Path(path)
        if (
            self.server.behaviour.forbidden
            or flags != os.O_RDONLY
            or self.server.directory not in place.parents
        ):
            return SFTP_PERMISSION_DENIED
        if not place.exists():
            return SFTP_NO_SUCH_FILE
        if not place.is_file():
            return SFTP_FAILURE
        try:
            return Served(place, self.server)
        except PermissionError:
            return SFTP_PERMISSION_DENIED


class _Gate(paramiko.ServerInterface):
    """Who is let in."""

    def __init__(self, server: Server, transport: paramiko.Transport) -> None:
        self.server = server
        self._transport = transport

    def get_allowed_auths(self, username: str) -> str:
        del username
        behaviour = self.server.behaviour
        password = "keyboard-interactive" if behaviour.interactive else "password"
        offered = [password] if behaviour.password is not None else []
        return ",".join([*offered, *(["publickey"] if behaviour.key else [])])

    def check_auth_none(self, username: str) -> int:
        del username
        self.server.seen.nones += 1
        if self.server.behaviour.drop_on_none:
            self._transport.close()
        return AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        while self.server.behaviour.silent_login and self._transport.is_active():
            time.sleep(0.02)
        if self.server.behaviour.interactive:
            return AUTH_FAILED
        self.server.seen.passwords.append(password)
        if self.server.behaviour.expired:
            request = Message()
            request.add_byte(b"\x3c")  # SSH_MSG_USERAUTH_PASSWD_CHANGEREQ
            request.add_string(self.server.behaviour.expired)
            request.add_string("en")
            self._transport.packetizer.send_message(request)
        return self._verdict(username == USER and password == self.server.behaviour.password)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.server.seen.keys.append(key.get_base64())
        verdict = self._verdict(username == USER and key == self.server.behaviour.key)
        two_steps = self.server.behaviour.then_password and verdict == AUTH_SUCCESSFUL
        return AUTH_PARTIALLY_SUCCESSFUL if two_steps else verdict

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        del submethods
        if username != USER or not self.server.behaviour.interactive:
            return AUTH_FAILED
        if self.server.behaviour.prompts:
            request = Message()
            request.add_byte(b"\x3c")  # SSH_MSG_USERAUTH_INFO_REQUEST
            for text in ("", "many prompts", "en"):
                request.add_string(text)
            request.add_int(self.server.behaviour.prompts)
            self._transport.packetizer.send_message(request)
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int | InteractiveQuery:
        self.server.seen.passwords.extend(responses)
        if self.server.behaviour.expired:
            return InteractiveQuery("", self.server.behaviour.expired, ("Current password: ", False))
        return self._verdict(responses == [self.server.behaviour.password])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        while self.server.behaviour.silent_subsystem and self._transport.is_active():
            time.sleep(0.02)
        return not self.server.behaviour.no_sftp and super().check_channel_subsystem_request(channel, name)

    def _verdict(self, good: bool) -> int:
        if not good and self.server.behaviour.hang_up_on_refusal:
            self._transport.close()
        return AUTH_SUCCESSFUL if good else AUTH_FAILED


class _Protocol(paramiko.SFTPServer):
    """The library's SFTP, and the one breach of protocol that a handle cannot commit by itself."""

    def _send_status(self, request_number: int, code: int, desc: str | None = None) -> None:
        if code == EMPTY_DATA:
            self._response(request_number, CMD_DATA, b"")  # type: ignore[attr-defined]  # private
        else:
            super()._send_status(request_number, code, desc)  # type: ignore[misc]  # private


@contextmanager
def paramiko_server(directory: Path, behaviour: Behaviour | None = None) -> Iterator[Server]:
    """Serve ``directory`` on a free loopback port until the end of the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(
        port=listener.getsockname()[1],
        directory=directory,
        host_key=paramiko.ECDSAKey.generate(),
        behaviour=behaviour or Behaviour(),
    )
    accepting = threading.Thread(target=_accept, args=(listener, server))
    accepting.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for transport in server.transports:
            transport.close()
            transport.packetizer.complete_handshake()
            transport.join()


def _accept(listener: socket.socket, server: Server) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # closed: the test is over
        server.seen.connections += 1
        transport = paramiko.Transport(connection)
        for key in (server.host_key, *server.extra_host_keys):
            transport.add_server_key(key)
        transport.set_subsystem_handler("sftp", _Protocol, _Files)
        server.transports.append(transport)
        transport.start_server(event=threading.Event(), server=_Gate(server, transport))
