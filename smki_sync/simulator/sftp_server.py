"""Loopback SFTP server."""

import hmac
import logging
import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from threading import Event, Thread

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.sftp import SFTP_NO_SUCH_FILE, SFTP_PERMISSION_DENIED

from smki_sync.simulator.publisher import HIDDEN


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDirectory:
    """The visible files below ``root``, an absolute path without links."""

    root: Path

    def find(self, path: str) -> Path | None:
        """Return the real path of a client's path; ``None`` if it does not exist or is hidden."""
        parts = PurePosixPath("/", path).parts[1:]
        try:
            real = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # missing; NUL in the name; a cycle of links
            return None
        inside = real.is_relative_to(self.root)
        return real if inside and not _is_hidden((*parts, *real.relative_to(self.root).parts)) else None

    def names(self, folder: Path) -> list[str]:
        """Return the visible names in a directory, in order."""
        at = "/" + folder.relative_to(self.root).as_posix()
        return sorted(p.name for p in folder.iterdir() if self.find(f"{at}/{p.name}"))


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") for part in parts)


USER = "party"


class ServerAuth(paramiko.ServerInterface):
    """Accepts one user with one key, or with the password if there is one."""

    def __init__(self, *, key: paramiko.PKey, password: str | None) -> None:
        """``key``: the accepted key. ``password``: accepted too, if there is one."""
        self._key = key
        self._password = password

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002  the protocol's signature
        """Return the accepted methods."""
        return "publickey" if self._password is None else "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Accept the one user with the one key."""
        return _result(username == USER and key.asbytes() == self._key.asbytes())

    def check_auth_password(self, username: str, password: str) -> int:
        """Accept the one user with the password."""
        expected = self._password
        correct = expected is not None and hmac.compare_digest(password.encode(), expected.encode())
        return _result(username == USER and correct)

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002  the protocol's signature
        """Accept only sessions, no forwarding."""
        is_session = kind == "session"
        return OPEN_SUCCEEDED if is_session else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


def _result(accepted: bool) -> int:
    return AUTH_SUCCESSFUL if accepted else AUTH_FAILED


class SftpHandler(paramiko.SFTPServerInterface):
    """Answers listings, attributes and reads; refuses every write."""

    def __init__(self, server: paramiko.ServerInterface, published: PublishedDirectory) -> None:
        """``published``: the files to serve."""
        super().__init__(server)
        self._published = published

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        """List a directory."""
        folder = self._published.find(path)
        if folder is None or not folder.is_dir():
            return SFTP_NO_SUCH_FILE
        found = ((name, self.stat(f"{path}/{name}")) for name in self._published.names(folder))
        return [_named(name, attributes) for name, attributes in found if not isinstance(attributes, int)]

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        """Return the attributes of a file."""
        real = self._published.find(path)
        if real is None:
            return SFTP_NO_SUCH_FILE
        try:
            return paramiko.SFTPAttributes.from_stat(real.stat(), real.name)
        except OSError as exc:  # deleted a moment ago
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        """Return the attributes of a file; links are not visible."""
        return self.stat(path)

    def open(
        self,
        path: str,
        flags: int,
        attr: paramiko.SFTPAttributes,  # noqa: ARG002  the protocol's signature
    ) -> paramiko.SFTPHandle | int:
        """Open a file for reading."""
        if flags & ~os.O_RDONLY:
            return SFTP_PERMISSION_DENIED
        real = self._published.find(path)
        if real is None or not real.is_file():
            return SFTP_NO_SUCH_FILE
        try:
            return _OpenFile(real)
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)


class _OpenFile(paramiko.SFTPHandle):
    """An open file; its content stays the same if the name is published again meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.readfile = path.open("rb")  # the base class reads from it and closes it
        weakref.finalize(self, self.readfile.close)  # a client whose connection is lost closes nothing

    def stat(self) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


def _named(name: str, attributes: paramiko.SFTPAttributes) -> paramiko.SFTPAttributes:
    """Set the name of an entry in the directory."""
    attributes.filename = name
    return attributes


LOOPBACK = "127.0.0.1"
BACKLOG = 16
_LOG = "smki_sync.simulator.sftp"
logging.getLogger(_LOG).addHandler(
    logging.NullHandler()
)  # a program that wants these messages adds a handler
STOP_SECONDS = 5.0
"""Longest wait for each thread at the end; they are daemon threads, so none outlives the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a client needs to know about a running server.

    ``host_public_key``: the known_hosts line, which is also in the file ``known_hosts``. ``client_key``: file
    of the accepted private key. ``password``: accepted too, if there is one.
    """

    host: str
    port: int
    user: str
    host_public_key: str
    known_hosts: Path
    client_key: Path
    password: str | None

    @property
    def url(self) -> str:
        """The URL for ``--source``, without secrets."""
        return f"sftp://{self.user}@{self.host}:{self.port}/"


@contextmanager
def serve(
    directory: Path, *, port: int = 0, password: str | None = None, keys: Path | None = None
) -> Iterator[Service]:
    """Serve a directory until the block ends. ``port`` 0 selects a free one.

    ``keys``: directory of host key, client key and known_hosts, which are created if they are missing. The
    default is the hidden directory of the repository, or a temporary one. Raises ``OSError`` if the port is
    in use or the directory does not exist.
    """
    root = directory.resolve(strict=True)
    with ExitStack() as stack:
        keys = keys or (root / HIDDEN if (root / HIDDEN).is_dir() else None)
        keys = keys or Path(stack.enter_context(TemporaryDirectory()))
        host_key = _load_or_create_key(keys / "host_ed25519")
        client_key = _load_or_create_key(keys / "client_ed25519")
        auth = ServerAuth(key=client_key, password=password)
        listener = stack.enter_context(socket.create_server((LOOPBACK, port), backlog=BACKLOG))
        port = listener.getsockname()[1]
        line = f"[{LOOPBACK}]:{port} {host_key.get_name()} {host_key.get_base64()}"
        (keys / "known_hosts").write_text(line + "\n", encoding="ascii")
        stack.enter_context(_accepting(listener, host_key, auth, PublishedDirectory(root=root)))
        yield Service(
            host=LOOPBACK,
            port=port,
            user=USER,
            host_public_key=line,
            known_hosts=keys / "known_hosts",
            client_key=keys / "client_ed25519",
            password=password,
        )


@contextmanager
def _accepting(
    listener: socket.socket, host_key: paramiko.PKey, auth: ServerAuth, published: PublishedDirectory
) -> Iterator[None]:
    """Accept connections in a thread; close all of them at the end."""
    connections: list[paramiko.Transport] = []
    thread = Thread(target=_accept, args=(listener, connections, host_key, auth, published), daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone does not
        thread.join(STOP_SECONDS)
        for connection in connections:
            connection.close()
            connection.join(STOP_SECONDS)


def _accept(
    listener: socket.socket,
    connections: list[paramiko.Transport],
    host_key: paramiko.PKey,
    auth: ServerAuth,
    published: PublishedDirectory,
) -> None:
    while accepted := _next_connection(listener):
        transport = paramiko.Transport(accepted)
        connections[:] = [*(old for old in connections if old.is_alive()), transport]
        transport.set_log_channel(_LOG)
        transport.add_server_key(host_key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, SftpHandler, published)
        transport.start_server(event=Event(), server=auth)


def _next_connection(listener: socket.socket) -> socket.socket | None:
    """Return the next connection; ``None`` after the listener has been shut down."""
    try:
        return listener.accept()[0]
    except OSError:
        return None


def _load_or_create_key(path: Path) -> paramiko.Ed25519Key:
    """Return the Ed25519 key of a file; create the file, readable only by its owner, if it is missing."""
    if not path.exists():
        text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(text)
    return paramiko.Ed25519Key.from_private_key_file(str(path))
