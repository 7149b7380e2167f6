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
class ListedFile:
    """The visible part of ``root``, an absolute path without links."""

    root: Path

    def find(self, path: str) -> Path | None:
        """The real path behind a client's path from ``/``; ``None`` where there is nothing to see."""
        parts = PurePosixPath("/", path).parts[1:]
        try:
            real = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # not there; a NUL in the name; links in a ring
            return None
        inside = real.is_relative_to(self.root)
        return real if inside and not _is_hidden((*parts, *real.relative_to(self.root).parts)) else None

    def names(self, folder: Path) -> list[str]:
        """What there is to see in a folder of it, in order."""
        at = "/" + folder.relative_to(self.root).as_posix()
        return sorted(p.name for p in folder.iterdir() if self.find(f"{at}/{p.name}"))


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") for part in parts)


USER = "party"


class ServerAuth(paramiko.ServerInterface):
    """Who may come in: one user, by one key, or by a password if there is one."""

    def __init__(self, *, accepts: paramiko.PKey, password: str | None) -> None:
        """``accepts``: the one key. ``password``: lets in too, where there is one."""
        self._accepts = accepts
        self._password = password

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002  the protocol's signature
        """By key, and by password where there is one."""
        return "publickey" if self._password is None else "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """The one user with the one key."""
        return _verdict(username == USER and key.asbytes() == self._accepts.asbytes())

    def check_auth_password(self, username: str, password: str) -> int:
        """The one user with the password."""
        wanted = self._password
        right = wanted is not None and hmac.compare_digest(password.encode(), wanted.encode())
        return _verdict(username == USER and right)

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002  the protocol's signature
        """Sessions alone, nothing that is forwarded."""
        is_session = kind == "session"
        return OPEN_SUCCEEDED if is_session else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


def _verdict(accepted: bool) -> int:
    return AUTH_SUCCESSFUL if accepted else AUTH_FAILED


class SftpHandler(paramiko.SFTPServerInterface):
    """What may be asked for: listings, attributes and contents; every write is refused."""

    def __init__(self, server: paramiko.ServerInterface, shown: ListedFile) -> None:
        """``shown``: what callers see of the directory."""
        super().__init__(server)
        self._shown = shown

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        """What a directory shows."""
        folder = self._shown.find(path)
        if folder is None or not folder.is_dir():
            return SFTP_NO_SUCH_FILE
        found = ((name, self.stat(f"{path}/{name}")) for name in self._shown.names(folder))
        return [_named(name, attributes) for name, attributes in found if not isinstance(attributes, int)]

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        """What a file is like."""
        real = self._shown.find(path)
        if real is None:
            return SFTP_NO_SUCH_FILE
        try:
            return paramiko.SFTPAttributes.from_stat(real.stat(), real.name)
        except OSError as exc:  # removed this instant
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        """The same: no link is shown."""
        return self.stat(path)

    def open(
        self,
        path: str,
        flags: int,
        attr: paramiko.SFTPAttributes,  # noqa: ARG002  the protocol's signature
    ) -> paramiko.SFTPHandle | int:
        """A file, to be read."""
        if flags & ~os.O_RDONLY:
            return SFTP_PERMISSION_DENIED
        real = self._shown.find(path)
        if real is None or not real.is_file():
            return SFTP_NO_SUCH_FILE
        try:
            return _Reading(real)
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)


class _Reading(paramiko.SFTPHandle):
    """A file open for reading; keeps its bytes when the name is published anew meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.readfile = path.open("rb")  # the base class reads from it and closes it
        weakref.finalize(self, self.readfile.close)  # a caller who is cut off closes nothing

    def stat(self) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


def _named(name: str, attributes: paramiko.SFTPAttributes) -> paramiko.SFTPAttributes:
    """A line of a listing under the name that stands in the directory."""
    attributes.filename = name
    return attributes


LOOPBACK = "127.0.0.1"
BACKLOG = 16
_LOG = "smki_sync.simulator.sftp"
logging.getLogger(_LOG).addHandler(logging.NullHandler())  # who wants to hear of callers, listens
STOP_SECONDS = 5.0
"""How long to wait for each thread at the end; they are daemons, so none outlives the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running server, as a client needs it.

    ``host_public_key``: its line for known_hosts, which the file ``known_hosts`` holds too.
    ``client_key``: file of the private key that may log in. ``password``: may log in too, if any.
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
        """The URL for ``--source``; holds no secret."""
        return f"sftp://{self.user}@{self.host}:{self.port}/"


@contextmanager
def serve(
    directory: Path, *, port: int = 0, password: str | None = None, keys: Path | None = None
) -> Iterator[Service]:
    """Serve a directory until the block ends. ``port`` 0 takes any free one.

    ``keys``: where host key, client key and known_hosts lie, made there if they are missing; without
    it the repository's hidden directory, or a temporary one where the directory has none. Raises
    ``OSError`` where the port is taken or the directory is not there.
    """
    root = directory.resolve(strict=True)
    with ExitStack() as stack:
        place = keys or (root / HIDDEN if (root / HIDDEN).is_dir() else None)
        place = place or Path(stack.enter_context(TemporaryDirectory()))
        host_key, client_key = _key(place / "host_ed25519"), _key(place / "client_ed25519")
        door = ServerAuth(accepts=client_key, password=password)
        listener = stack.enter_context(socket.create_server((LOOPBACK, port), backlog=BACKLOG))
        port = listener.getsockname()[1]
        line = f"[{LOOPBACK}]:{port} {host_key.get_name()} {host_key.get_base64()}"
        (place / "known_hosts").write_text(line + "\n", encoding="ascii")
        stack.enter_context(_answering(listener, host_key, door, ListedFile(root=root)))
        yield Service(
            host=LOOPBACK,
            port=port,
            user=USER,
            host_public_key=line,
            known_hosts=place / "known_hosts",
            client_key=place / "client_ed25519",
            password=password,
        )


@contextmanager
def _answering(
    listener: socket.socket, host_key: paramiko.PKey, door: ServerAuth, shown: ListedFile
) -> Iterator[None]:
    """Answer calls in a thread of their own; at the end hang up on everybody."""
    calls: list[paramiko.Transport] = []
    thread = Thread(target=_answer, args=(listener, calls, host_key, door, shown), daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone does not
        thread.join(STOP_SECONDS)
        for call in calls:
            call.close()
            call.join(STOP_SECONDS)


def _answer(
    listener: socket.socket,
    calls: list[paramiko.Transport],
    host_key: paramiko.PKey,
    door: ServerAuth,
    shown: ListedFile,
) -> None:
    while connection := _next_call(listener):
        call = paramiko.Transport(connection)
        calls[:] = [*(old for old in calls if old.is_alive()), call]
        call.set_log_channel(_LOG)
        call.add_server_key(host_key)
        call.set_subsystem_handler("sftp", paramiko.SFTPServer, SftpHandler, shown)
        call.start_server(event=Event(), server=door)


def _next_call(listener: socket.socket) -> socket.socket | None:
    """The next connection; ``None`` once the listener has been shut down."""
    try:
        return listener.accept()[0]
    except OSError:
        return None


def _key(path: Path) -> paramiko.Ed25519Key:
    """The Ed25519 key in a file that only its owner can read, made if it is not there."""
    if not path.exists():
        text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(text)
    return paramiko.Ed25519Key.from_private_key_file(str(path))
