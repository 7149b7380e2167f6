"""Real SFTP in front of a directory: loopback only, read-only.

For: running an SFTP client against a simulated repository without an SSH server of the machine. Whoever calls
meets :mod:`.server_desk`. Refuses: to listen on any address but loopback.

    with serve(Path("repository")) as service:
        print(service.url, service.client_key, service.known_hosts)
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smki_sync.simulator.server_desk import USER, Desk, Door
from smki_sync.simulator.shelf import HIDDEN
from smki_sync.simulator.shown import Shown

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
        door = Door(accepts=client_key, password=password)
        listener = stack.enter_context(socket.create_server((LOOPBACK, port), backlog=BACKLOG))
        port = listener.getsockname()[1]
        line = f"[{LOOPBACK}]:{port} {host_key.get_name()} {host_key.get_base64()}"
        (place / "known_hosts").write_text(line + "\n", encoding="ascii")
        stack.enter_context(_answering(listener, host_key, door, Shown(root=root)))
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
def _answering(listener: socket.socket, host_key: paramiko.PKey, door: Door, shown: Shown) -> Iterator[None]:
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
    door: Door,
    shown: Shown,
) -> None:
    while connection := _next_call(listener):
        call = paramiko.Transport(connection)
        calls[:] = [*(old for old in calls if old.is_alive()), call]
        call.set_log_channel(_LOG)
        call.add_server_key(host_key)
        call.set_subsystem_handler("sftp", paramiko.SFTPServer, Desk, shown)
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
