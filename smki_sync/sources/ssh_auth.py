"""Load private keys; one login attempt."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from smki_sync.errors import ConfigError, SourceRefused, SourceUnreachable
from smki_sync.sources.base import LOGIN, SftpAddress
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sources.ssh_transport import busy, cause_of, turned_away

_AFTER_REFUSAL = (
    "Check user, key and password with the DCC before the next run: five wrong logins in an hour lock the"
    " account (SEC Appendix P). smki-sync has tried once and does not try again by itself."
)


def authenticate(
    transport: paramiko.Transport,
    address: SftpAddress,
    login: SftpLogin,
    keys: Sequence[paramiko.PKey],
    *,
    seconds: float,
    left: float,
) -> None:
    """Log in: with a key where there is one, else with the password, once.

    ``seconds``: the limit on agreeing on keys and logging in together, of which so many are ``left``.
    Raises ``SourceRefused`` (code ``login-refused``) or ``SourceUnreachable`` (``login-timeout``,
    ``connection-lost``, ``server-busy``).
    """
    attempt = _Attempt(
        transport=transport, address=address, deadline=time.monotonic() + left, seconds=seconds
    )
    offered = attempt.ask()
    if keys and "publickey" in offered:
        offered = attempt.show_keys(keys)
    if login.password is not None and not transport.is_authenticated():
        offered = attempt.say_password(login.password, offered)
    if not transport.is_authenticated():
        raise _refused(address, f"it takes {_listed(offered)}, which is not what was configured")


class _AuthRejected(SourceRefused):
    """The server said no and listens on: of several keys asked for, the next may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One login in progress. Each step gives the methods that the server would take next."""

    transport: paramiko.Transport
    address: SftpAddress
    deadline: float
    seconds: float

    def ask(self) -> Sequence[str]:
        """Ask what the server takes, showing nothing."""
        return self._step(lambda: _methods(self.transport, self.address.user), shown=False)

    def show_keys(self, keys: Sequence[paramiko.PKey]) -> Sequence[str]:
        """Show one key after the other until one is taken; the last refusal is the one that counts."""
        for key in keys[:-1]:
            with suppress(_AuthRejected):
                return self._show(key)
        return self._show(keys[-1])

    def say_password(self, password: str, offered: Sequence[str]) -> Sequence[str]:
        """Give the password in the way that the server takes, and only there."""
        user, transport = self.address.user, self.transport
        if "password" in offered:
            return self._step(lambda: transport.auth_password(user, password, fallback=False), shown=True)
        if "keyboard-interactive" in offered:
            answer = _OneAnswer(password)
            return self._step(lambda: transport.auth_interactive(user, answer), shown=True)
        return offered

    def _show(self, key: paramiko.PKey) -> Sequence[str]:
        return self._step(lambda: self.transport.auth_publickey(self.address.user, key), shown=True)

    def _step(self, act: Callable[[], Sequence[str]], *, shown: bool) -> Sequence[str]:
        """Wait no longer than the login may take, and word what the library raises."""
        self.transport.auth_timeout = max(0.0, self.deadline - time.monotonic())
        try:
            return act()
        except (paramiko.SSHException, EOFError, OSError) as exc:
            raise self._worded(exc, shown=shown) from exc

    def _worded(self, exc: Exception, *, shown: bool) -> SourceRefused | SourceUnreachable:
        peer, lost = self.address.peer, not self.transport.is_active()
        if not lost and time.monotonic() >= self.deadline:
            return LOGIN.fired(f"{peer} did not answer the login", self.seconds)
        if lost and turned_away(self.transport):
            return busy(f"{peer} has no room for the login ({cause_of(self.transport)})")
        if not shown or isinstance(exc, OSError):
            return SourceUnreachable(
                f"{peer} closed the connection during the login ({cause_of(self.transport)})",
                code="connection-lost",
                hint="Try again later.",
            )
        if lost:  # some servers say no by hanging up, and a wrong no must not be repeated
            return _refused(self.address, f"instead of an answer {cause_of(self.transport)}")
        return _refused(self.address, "the server said no", kind=_AuthRejected)


class _OneAnswer:
    """Answers a keyboard-interactive server's one question with the password, and no other question."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._answered = False

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """Answer; raises, which ends the connection, where the password was asked for twice or with more."""
        del title, instructions
        if not prompts:
            return []
        if self._answered or len(prompts) > 1:
            raise paramiko.SSHException("the server asks for more than a password")
        self._answered = True
        return [self._password]


def _methods(transport: paramiko.Transport, user: str) -> Sequence[str]:
    """Give the methods that the server takes for this user; none where it lets anybody in."""
    try:
        return transport.auth_none(user)
    except paramiko.BadAuthenticationType as exc:
        return exc.allowed_types


def _refused(address: SftpAddress, why: str, *, kind: type[SourceRefused] = SourceRefused) -> SourceRefused:
    message = f"{address.peer} refused the login of {address.user}: {why}"
    return kind(message, code="login-refused", hint=_AFTER_REFUSAL)


def _listed(methods: Sequence[str]) -> str:
    known = [method for method in methods if method in {"publickey", "password", "keyboard-interactive"}]
    return " or ".join(known) or "no method that smki-sync knows"


_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@contextmanager
def all_keys(login: SftpLogin) -> Iterator[list[paramiko.PKey]]:
    """Give the keys to try: the identity file alone, or, only where asked for, an agent's and the usual."""
    if login.identity_file is not None:
        yield [load_key(login.identity_file, login.key_passphrase)]
        return
    folder = Path.home() / ".ssh"
    found = [folder / name for name in _USUAL_KEYS if login.look_for_keys and (folder / name).is_file()]
    loaded = [load_key(path, login.key_passphrase) for path in found]
    if not login.allow_agent:
        yield loaded
        return
    with closing(paramiko.Agent()) as agent:
        yield [*agent.get_keys(), *loaded]


def load_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Load a private key: OpenSSH's format or PEM; Ed25519, ECDSA or RSA; encrypted or not.

    Raises ``ConfigError`` with codes ``identity-file`` (missing, not readable, no such key),
    ``key-passphrase-missing`` or ``key-passphrase-wrong``.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"the identity file {path} cannot be read ({exc.strerror})",
            code="identity-file",
            hint="Name the private key (not the .pub file), readable by the user that runs smki-sync.",
        ) from exc
    return _for_paramiko(_opened(data, passphrase, path))


def _opened(data: bytes, passphrase: str | None, path: Path) -> PrivateKey:
    """Open a key without the passphrase if that suffices, so that one too many does no harm."""
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError:
        key = None  # encrypted
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _no_key(path) from exc
    if key is None and passphrase is None:
        raise ConfigError(
            f"the identity file {path} is encrypted and no passphrase is given",
            code="key-passphrase-missing",
            hint="Set SMKI_SYNC_KEY_PASSPHRASE.",
        )
    if key is None and passphrase is not None:
        try:
            key = load(data, password=passphrase.encode())
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise ConfigError(
                f"the passphrase given does not open the identity file {path}",
                code="key-passphrase-wrong",
                hint="Check SMKI_SYNC_KEY_PASSPHRASE; ssh-keygen -y -f FILE asks for it and tries it.",
            ) from exc
    if not isinstance(key, PrivateKey):
        raise _no_key(path)
    return key


def _no_key(path: Path) -> ConfigError:
    return ConfigError(
        f"the identity file {path} holds no Ed25519, ECDSA or RSA private key",
        code="identity-file",
        hint="Name the private key, not the .pub file; ssh-keygen -t ed25519 makes one.",
    )


def _for_paramiko(key: PrivateKey) -> paramiko.PKey:
    """Hand an opened key over in the one format that all of the library's key classes read."""
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    match key:
        case ed25519.Ed25519PrivateKey():
            return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
        case ec.EllipticCurvePrivateKey():
            return paramiko.ECDSAKey.from_private_key(io.StringIO(text))
        case _:
            return paramiko.RSAKey.from_private_key(io.StringIO(text))
