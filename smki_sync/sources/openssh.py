"""The OpenSSH engine: SFTP packets over the pipes of the system's ``ssh -s … sftp``.

It supports what ``ssh`` supports: jump hosts, hardware keys, certificates, FIPS builds and the operator's own
``ssh_config``. Options that protect the connection are given on the command line, so no configuration file
can change them: the pinned host keys, no prompts, no forwarding.
"""

import math
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from smki_sync.errors import ConfigError, LoginInterrupted, SourceError, SourceRefused, SourceUnreachable
from smki_sync.sources.base import BANNER, CONNECT, LOGIN, Limits, SftpAddress, printable
from smki_sync.sources.ssh_auth import load_key
from smki_sync.sources.ssh_settings import SftpLogin, load_pins

_LOGGED_IN: Final = b"Authenticated to "
"""What ``ssh`` with LogLevel VERBOSE writes to stderr after a successful login."""

_POLL: Final = 0.02
"""Seconds between two checks of a login in progress."""

_STOP_SECONDS: Final = 2.0
"""How long ``ssh`` may take to end its jump-host process before it is killed."""

_STDERR_BYTES: Final = 64 * 1024
"""Bytes of stderr that are read: enough for every message of ``ssh``."""

_SECRETS: Final = ("SMKI_SYNC_PASSWORD", "SMKI_SYNC_KEY_PASSPHRASE", "SSH_ASKPASS")

_AFTER_REFUSAL: Final = (
    "Check user and key with the DCC before the next run. Five wrong logins in an hour lock the account"
    " (SEC Appendix P), so smki-sync does not retry automatically."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """An error of ``ssh``. ``text``: a part of its message on stderr."""

    text: str
    code: str
    error: type[SourceError]
    hint: str


_NETWORK: Final = "Check the gateway connection, the firewall and the port. The server may be down."
_BUSY: Final = "The server has reached its connection limit. Try again later."
_HANDSHAKE: Final = "Check that an SSH server listens on this port and that no firewall interferes."
_KEY: Final = "Ask the DCC for the fingerprint of the host key, and compare it with repository.known_hosts."

_FAILURES: Final = (
    _Failure(text="REVOKED HOST KEY", code="host-key-revoked", error=SourceRefused, hint=_KEY),
    _Failure(text="IDENTIFICATION HAS CHANGED", code="host-key-changed", error=SourceRefused, hint=_KEY),
    _Failure(text="host key is known for", code="host-key-unknown", error=SourceRefused, hint=_KEY),
    _Failure(text="Host key verification failed", code="host-key-unknown", error=SourceRefused, hint=_KEY),
    _Failure(
        text="Too many authentication failures",
        code="login-refused",
        error=SourceRefused,
        hint=_AFTER_REFUSAL,
    ),
    _Failure(text="Permission denied", code="login-refused", error=SourceRefused, hint=_AFTER_REFUSAL),
    _Failure(
        text="Unable to negotiate",
        code="no-common-algorithm",
        error=SourceUnreachable,
        hint="Contact the DCC. Algorithms of old servers can be allowed in repository.ssh_config.",
    ),
    _Failure(
        text="Protocol major versions differ",
        code="no-common-algorithm",
        error=SourceUnreachable,
        hint="The server is too old. Contact the DCC.",
    ),
    _Failure(text="Could not resolve hostname", code="host-unknown", error=SourceUnreachable, hint=_NETWORK),
    _Failure(text="Connection refused", code="connection-refused", error=SourceUnreachable, hint=_NETWORK),
    _Failure(
        text="timed out during banner", code="banner-timeout", error=SourceUnreachable, hint=BANNER.hint
    ),
    _Failure(text="timed out", code="connect-timeout", error=SourceUnreachable, hint=CONNECT.hint),
    _Failure(text="Exceeded MaxStartups", code="server-busy", error=SourceUnreachable, hint=_BUSY),
    _Failure(text="Not allowed at this time", code="server-busy", error=SourceUnreachable, hint=_BUSY),
    _Failure(text="ession open refused", code="server-busy", error=SourceUnreachable, hint=_BUSY),
    _Failure(
        text="kex_exchange_identification: Connection closed",
        code="server-busy",
        error=SourceUnreachable,
        hint=_BUSY,
    ),
    _Failure(
        text="kex_exchange_identification: read: Connection reset",
        code="server-busy",
        error=SourceUnreachable,
        hint=_BUSY,
    ),
    _Failure(text="kex_exchange", code="handshake-failed", error=SourceUnreachable, hint=_HANDSHAKE),
    _Failure(
        text="ssh_dispatch_run_fatal", code="handshake-failed", error=SourceUnreachable, hint=_HANDSHAKE
    ),
    _Failure(text="Bad packet length", code="handshake-failed", error=SourceUnreachable, hint=_HANDSHAKE),
    _Failure(text="banner exchange", code="handshake-failed", error=SourceUnreachable, hint=_HANDSHAKE),
    _Failure(
        text="subsystem request failed",
        code="no-sftp",
        error=SourceUnreachable,
        hint="Ask the DCC whether the account may use SFTP.",
    ),
    _Failure(text="No route to host", code="source-unreachable", error=SourceUnreachable, hint=_NETWORK),
    _Failure(
        text="Network is unreachable", code="source-unreachable", error=SourceUnreachable, hint=_NETWORK
    ),
)
"""Messages of ``ssh``, the first match first."""


def check_login(login: SftpLogin) -> None:
    """Raise ``ConfigError`` if the engine cannot log in like this."""
    if login.password is not None or login.key_passphrase is not None:
        raise ConfigError(
            'a password or key passphrase cannot be used with repository.engine = "openssh"',
            code="openssh-secret",
            hint="Use a key without a passphrase, or one in an SSH agent. Unset repository.password_file,"
            " SMKI_SYNC_PASSWORD and SMKI_SYNC_KEY_PASSPHRASE.",
        )
    if login.identity_file is None and login.ssh_config is None:
        raise ConfigError(
            "no credentials are configured for the OpenSSH engine",
            code="no-credentials",
            hint="Set repository.identity_file, or repository.ssh_config to a file with IdentityFile.",
        )


def connect(address: SftpAddress, *, login: SftpLogin, limits: Limits) -> "OpenSshConnection":
    """Start ``ssh``, which checks the host key and logs in once.

    Raises ``ConfigError`` before anything is sent, ``SourceUnreachable`` and ``SourceRefused`` after that.
    """
    check_login(login)
    load_pins(login.known_hosts, address)
    if login.identity_file is not None:
        _check_identity(login.identity_file, allow_agent=login.allow_agent)
    program = shutil.which("ssh")
    if program is None:
        raise ConfigError(
            "the program ssh is not installed",
            code="openssh-missing",
            hint='Install openssh-client, or set repository.engine = "paramiko".',
        )
    command = [program, *ssh_options(address, login, limits)]
    return OpenSshConnection(command, address=address, limits=limits)


def _check_identity(path: Path, *, allow_agent: bool) -> None:
    """Find out what ``ssh`` would report as a refused login: an unreadable key, or one that is encrypted."""
    if not os.access(path, os.R_OK):
        raise ConfigError(
            f"the identity file {path} cannot be read",
            code="identity-file",
            hint="Use a key that the user who runs smki-sync can read; with an agent, its .pub file.",
        )
    if allow_agent:
        return
    try:
        load_key(path, None)
    except ConfigError as error:  # ssh supports more types of keys than we do
        if error.reason == "key-passphrase-missing":
            raise ConfigError(
                error.message,
                code=error.reason,
                hint="Add the key to an SSH agent and set repository.allow_agent = true.",
            ) from error


def ssh_options(address: SftpAddress, login: SftpLogin, limits: Limits) -> list[str]:
    """Return the arguments of ``ssh``."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _quoted(login.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "VerifyHostKeyDNS": "no",
        "KnownHostsCommand": "none",
        "PreferredAuthentications": "publickey",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": str(max(1, math.ceil(limits.connect))),
        "ConnectionAttempts": "1",
        "ServerAliveInterval": str(math.ceil(limits.keep_alive)),
        "LogLevel": "VERBOSE",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
        "RequestTTY": "no",
        "EscapeChar": "none",
        "Tunnel": "no",
    }
    if not login.allow_agent:
        options["IdentityAgent"] = "none"
    if login.identity_file is not None:
        options["IdentityFile"] = _quoted(login.identity_file)
    ciphers = [name.value for name in login.legacy_algorithms if not name.is_mac]
    macs = [name.value for name in login.legacy_algorithms if name.is_mac]
    options |= {"Ciphers": f"+{','.join(ciphers)}"} if ciphers else {}
    options |= {"MACs": f"+{','.join(macs)}"} if macs else {}
    config = ["-F", str(login.ssh_config)] if login.ssh_config is not None else []
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    target = ["-l", address.user, "-p", str(address.port), "-s", "--", address.host, "sftp"]
    return [*config, *given, *target]


def _quoted(path: Path | None) -> str:
    """Quote a path for an option: it can contain blanks, and % starts a token."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'


class OpenSshConnection:
    """A login by ``ssh``. The first session uses the process of the login; a further one logs in again."""

    def __init__(self, command: list[str], *, address: SftpAddress, limits: Limits) -> None:
        """Start ``ssh`` and wait until it has logged in."""
        self._command = command
        self._address = address
        self._limits = limits
        self._process: SshProcess | None = self._start()
        self.description = f"{address.peer}: {self._process.login_line()}"

    def open_channel(self, *, after_another: bool) -> "SshProcess":
        """Return the byte channel of a session."""
        if after_another and self._process is not None:
            self._process.close()
            self._process = None
        process = self._process or self._start()
        self._process = process
        return process

    def close(self) -> None:
        """End ``ssh``."""
        if self._process is not None:
            self._process.close()

    def _start(self) -> "SshProcess":
        process = SshProcess(self._command, address=self._address)
        try:
            process.wait_for_login(self._limits.connect + self._limits.login)
        except BaseException:
            process.close()
            raise
        return process


class SshProcess:
    """A running ``ssh``, as a byte channel (:class:`~smki_sync.sources.sftp_channel.ByteChannel`)."""

    def __init__(self, command: list[str], *, address: SftpAddress) -> None:
        """Start it. It has no terminal, so it can never prompt."""
        environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
        self._address = address
        self._timeout: float | None = None
        self._stderr: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._input, False)

    def wait_for_login(self, seconds: float) -> None:
        """Wait until the login has succeeded; raises the error of ``ssh`` otherwise."""
        deadline = time.monotonic() + seconds
        while _LOGGED_IN not in self._messages():
            if self._process.poll() is not None:
                raise self.error(during_login=True)
            if time.monotonic() >= deadline:
                timeout = LOGIN.error(f"{self._address.peer} did not complete the login", seconds)
                raise LoginInterrupted(timeout.message, code=timeout.reason, hint=timeout.hint)
            time.sleep(_POLL)

    def login_line(self) -> str:
        """Return what ``ssh`` says about the login."""
        lines = self._messages().decode(errors="replace").splitlines()
        return printable(next((line for line in lines if line.startswith(_LOGGED_IN.decode())), ""))

    def settimeout(self, timeout: float | None) -> None:
        """Limit the next calls, in seconds."""
        self._timeout = timeout

    def send(self, data: bytes) -> int:
        """Send some of the data."""
        if not select.select([], [self._input], [], self._timeout)[1]:
            raise TimeoutError
        try:
            return os.write(self._input, data)
        except BrokenPipeError as exc:
            raise self._ended() from exc

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes."""
        if not select.select([self._output], [], [], self._timeout)[0]:
            raise TimeoutError
        data = os.read(self._output, size)
        if not data:
            raise self._ended()
        return data

    def close(self) -> None:
        """End the process and the jump-host process that it started."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            assert pipe is not None
            pipe.close()

    def _ended(self) -> SourceError:
        """Return the error of a process that has closed its pipes."""
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self.error(during_login=False)

    def error(self, *, during_login: bool) -> SourceError:
        """Translate the messages of ``ssh`` into our errors."""
        text = self._messages().decode(errors="replace")
        peer, why = self._address.peer, printable(" ".join(_relevant(text)))
        for failure in _FAILURES:
            if failure.text in text:
                what = "refused the login" if failure.code == "login-refused" else "could not be used"
                return failure.error(f"{peer} {what} (ssh: {why})", code=failure.code, hint=failure.hint)
        if during_login:
            return LoginInterrupted(
                f"the connection to {peer} ended during the login (ssh: {why})",
                code="connection-lost",
                hint="Try again later. If it happens again, run ssh -v with the same host.",
            )
        return SourceUnreachable(
            f"the connection to {peer} was lost (ssh: {why})",
            code="connection-lost",
            hint="Try again later. The download will resume.",
        )

    def _messages(self) -> bytes:
        return os.pread(self._stderr.fileno(), _STDERR_BYTES, 0)


def _relevant(text: str) -> Iterator[str]:
    """Return the lines of stderr without the decoration of ``ssh``."""
    for line in text.splitlines():
        words = line.strip("@ \t\r")
        if words and not words.startswith((_LOGGED_IN.decode(), "Transferred:", "Bytes per second:")):
            yield words
