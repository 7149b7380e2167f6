"""A real OpenSSH server on loopback, for one directory, with new keys."""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ecdsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from support.needs import need

START_SECONDS = 10.0

_CONFIG = """\
ListenAddress {listen}
Port {port}
HostKey {host_key}
PidFile none
AuthorizedKeysFile {authorized}
StrictModes no
UsePAM {pam}
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin yes
Subsystem sftp internal-sftp -R
{extra}
"""

_KINDS: dict[str, Callable[[], Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey]] = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa": lambda: generate_ecdsa(SECP256R1()),
    "rsa": lambda: generate_rsa(public_exponent=65537, key_size=3072),
}
"""The default types and sizes of ``ssh-keygen``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSsh:
    """A running server and its client files."""

    host: str
    port: int
    directory: Path
    identity_file: Path
    known_hosts: Path
    log: Path

    @property
    def url(self) -> str:
        return f"sftp://{quote(getpass.getuser())}@{self.host}:{self.port}{quote(str(self.directory))}"


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> str:
    """Write a key pair to ``path`` and ``path.pub`` as ``ssh-keygen`` does. Return ``type base64``."""
    key = _KINDS[kind]()
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.with_suffix(".pub").write_text(f"{public} test\n")
    return public


@contextmanager
def openssh_server(
    directory: Path,
    scratch: Path,
    *,
    extra: str = "",
    host_key: str = "ed25519",
    port: int | None = None,
    listen: str = "127.0.0.1",
    inside: tuple[str, ...] = (),
) -> Iterator[OpenSsh]:
    """Run a server over ``directory``; keys, configuration and log go to ``scratch``.

    ``extra``: further lines of its configuration. ``host_key``: the type of its key. ``port``: one to
    listen on again, with the keys that are in ``scratch`` already. ``listen``: its
    address. ``inside``: words before its command, which put it into another network.
    """
    program = need("sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's sshd separates privileges there
    if port is None:
        port = _free_port()
        public = make_key(scratch / "host", kind=host_key)
        (scratch / "authorized").write_text(make_key(scratch / "identity") + "\n")
        (scratch / "known_hosts").write_text(f"[{listen}]:{port} {public}\n")
    pam = (
        "no" if os.geteuid() == 0 else "yes"
    )  # without it an account locked for passwords takes no key either
    (scratch / "sshd_config").write_text(
        _CONFIG.format(
            port=port,
            host_key=scratch / "host",
            authorized=scratch / "authorized",
            pam=pam,
            listen=listen,
            extra=extra,
        )
    )
    log = scratch / "sshd.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*inside, program, "-D", "-e", "-f", str(scratch / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=out,
        )
    try:
        _wait_until_up(server, (listen, port), log)
        yield OpenSsh(
            host=listen,
            port=port,
            directory=directory,
            identity_file=scratch / "identity",
            known_hosts=scratch / "known_hosts",
            log=log,
        )
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(server: subprocess.Popen[bytes], place: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(place) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"sshd did not start:\n{log.read_text()}")
