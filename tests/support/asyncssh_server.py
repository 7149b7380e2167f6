"""A third implementation of SSH and SFTP: asyncssh's server, read-only, one directory, on loopback.

It shows that the client does not depend on what OpenSSH and paramiko have in common.
"""

import asyncio
import getpass
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncssh


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncSsh:
    """A server that runs: how to reach it and what to show it."""

    port: int
    directory: Path
    identity_file: Path
    known_hosts: Path

    @property
    def url(self) -> str:
        return f"sftp://{quote(getpass.getuser())}@127.0.0.1:{self.port}{quote(str(self.directory))}"


@contextmanager
def asyncssh_server(directory: Path, scratch: Path) -> Iterator[AsyncSsh]:
    """Run a server over ``directory``; keys go to ``scratch``."""
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    client_key.write_private_key(scratch / "identity")
    client_key.write_public_key(scratch / "authorized")
    ready: Future[int] = Future()
    ended = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(host_key, scratch / "authorized", ready, ended))
    )
    thread.start()
    try:
        port = ready.result()
        public = host_key.export_public_key().decode().strip()
        (scratch / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
        yield AsyncSsh(
            port=port,
            directory=directory,
            identity_file=scratch / "identity",
            known_hosts=scratch / "known_hosts",
        )
    finally:
        ended.set()
        thread.join()


class _Callers(asyncssh.SSHServer):
    """Remembers who called, so that no connection is left to the garbage collector."""

    def __init__(self, known: list[asyncssh.SSHServerConnection]) -> None:
        self._known = known

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._known.append(conn)


async def _serve(
    host_key: asyncssh.SSHKey, authorized: Path, ready: "Future[int]", ended: threading.Event
) -> None:
    callers: list[asyncssh.SSHServerConnection] = []
    try:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=str(authorized),
            sftp_factory=True,
            server_factory=lambda: _Callers(callers),
        )
    except BaseException as exc:
        ready.set_exception(exc)
        raise
    ready.set_result(server.get_port())
    await asyncio.to_thread(ended.wait)
    server.close()
    await server.wait_closed()
    for caller in callers:
        caller.abort()
        await caller.wait_closed()
