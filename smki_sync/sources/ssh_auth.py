"""Load private keys; log in once."""

import base64
import binascii
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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

from smki_sync.errors import ConfigError, LoginInterrupted, SourceRefused, SourceUnreachable
from smki_sync.sources.base import LOGIN, SftpAddress
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sources.ssh_transport import is_over_limit, packetizer_of, reason_of, server_busy

MAX_OFFERED_KEYS: Final = 3
"""Keys offered in one login if none is named: the server counts each, and five wrong logins lock the
account."""

_AFTER_REFUSAL: Final = (
    "Check user, key and password with the DCC before the next run. Five wrong logins in an hour lock the"
    " account (SEC Appendix P), so smki-sync does not retry automatically."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginKeys:
    """The keys to offer, in order. ``agent_keys``: how many the SSH agent holds, if they are offered."""

    keys: Sequence[paramiko.PKey]
    agent_keys: int = 0

    @property
    def hint(self) -> str:
        """What to add to the hint of a refused login."""
        if not self.agent_keys:
            return ""
        return (
            f" The SSH agent holds {self.agent_keys} key{'s' * (self.agent_keys != 1)};"
            f" {len(self.keys)} keys were offered. Set repository.identity_file to the key to use."
        )


def authenticate(
    transport: paramiko.Transport,
    address: SftpAddress,
    login: SftpLogin,
    keys: LoginKeys,
    *,
    seconds: float,
    left: float,
) -> None:
    """Log in once: with a key if there is one, else with the password.

    ``seconds``: the limit for key exchange and login together; ``left``: what remains of it. If only a key or
    only a password is configured, it is sent at once: some servers disconnect when a client first asks for
    the methods. Raises ``SourceRefused`` (``login-refused``), ``LoginInterrupted`` (``login-timeout``,
    ``connection-lost``) or ``SourceUnreachable`` (``server-busy``).
    """
    attempt = _LoginAttempt(
        transport=transport,
        address=address,
        deadline=time.monotonic() + left,
        seconds=seconds,
        hint=_AFTER_REFUSAL + keys.hint,
    )
    methods: Sequence[str] = ()
    if keys.keys and login.password is not None:
        methods = attempt.list_methods()
    if keys.keys and (not methods or "publickey" in methods):
        methods = attempt.offer_keys(keys.keys)
    if login.password is not None and not transport.is_authenticated():
        methods = attempt.send_password(login.password, methods)
    if not transport.is_authenticated():
        raise attempt.refused(f"the server accepts {_listed(methods)}, but none of these is configured")


class _KeyRejected(SourceRefused):
    """The server rejected a key and stays connected: the next key can be offered."""


class _MethodNotAllowed(Exception):
    """The server does not accept this method from this user."""

    def __init__(self, methods: Sequence[str]) -> None:
        """Store the methods that it accepts."""
        super().__init__(*methods)
        self.methods = methods


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoginAttempt:
    """One login in progress. Each step returns the methods that the server accepts next."""

    transport: paramiko.Transport
    address: SftpAddress
    deadline: float
    seconds: float
    hint: str

    def list_methods(self) -> Sequence[str]:
        """Ask for the accepted methods, without any credentials."""
        return self._step(lambda: _methods(self.transport, self.address.user), credentials=False)

    def offer_keys(self, keys: Sequence[paramiko.PKey]) -> Sequence[str]:
        """Offer one key after the other until one is accepted; raises the last refusal."""
        try:
            for key in keys[:-1]:
                with suppress(_KeyRejected):
                    return self._offer_key(key)
            return self._offer_key(keys[-1])
        except _MethodNotAllowed as refusal:
            return refusal.methods

    def send_password(self, password: str, methods: Sequence[str]) -> Sequence[str]:
        """Send the password by the method that the server accepts. ``methods``: empty if not known."""
        user, transport = self.address.user, self.transport
        if not methods or "password" in methods:
            try:
                return self._step(
                    lambda: transport.auth_password(user, password, fallback=False), credentials=True
                )
            except _MethodNotAllowed as refusal:
                methods = refusal.methods
        if "keyboard-interactive" in methods:
            answer = _PasswordAnswer(password)
            return self._step(lambda: transport.auth_interactive(user, answer), credentials=True)
        return methods

    def refused(self, why: str, *, kind: type[SourceRefused] = SourceRefused) -> SourceRefused:
        """Create the error of a refused login, with the text that the server showed."""
        text = packetizer_of(self.transport).login_text
        shown = f'; the server says: "{text}"' if text else ""
        return kind(
            f"{self.address.peer} refused the login of {self.address.user}: {why}{shown}",
            code="login-refused",
            hint=self.hint,
        )

    def _offer_key(self, key: paramiko.PKey) -> Sequence[str]:
        return self._step(lambda: self.transport.auth_publickey(self.address.user, key), credentials=True)

    def _step(self, step: Callable[[], Sequence[str]], *, credentials: bool) -> Sequence[str]:
        """Call one step within the time limit, and translate the errors of the library."""
        self.transport.auth_timeout = max(0.0, self.deadline - time.monotonic())
        try:
            return step()
        except paramiko.BadAuthenticationType as exc:
            raise _MethodNotAllowed(exc.allowed_types) from exc
        except (paramiko.SSHException, EOFError, OSError) as exc:
            raise self._error_of(exc, credentials=credentials) from exc

    def _error_of(self, exc: Exception, *, credentials: bool) -> SourceRefused | SourceUnreachable:
        peer, lost = self.address.peer, not self.transport.is_active()
        if not lost and time.monotonic() >= self.deadline:
            timeout = LOGIN.error(f"{peer} did not answer the login", self.seconds)
            return LoginInterrupted(timeout.message, code=timeout.reason, hint=timeout.hint)
        if lost and is_over_limit(self.transport):
            return server_busy(f"{peer} has no room for the login ({reason_of(self.transport)})")
        if not credentials or isinstance(exc, OSError):
            return LoginInterrupted(
                f"{peer} closed the connection during the login ({reason_of(self.transport, exc)})",
                code="connection-lost",
                hint="Try again later. If it happens again, ask the DCC whether the account may log in.",
            )
        if lost:  # some servers refuse by closing the connection, and a wrong login must not be repeated
            return self.refused(reason_of(self.transport, exc))
        return self.refused("the server rejected the credentials", kind=_KeyRejected)


class _PasswordAnswer:
    """Answers the one prompt of a keyboard-interactive server with the password, and no other prompt."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._answered = False

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """Answer; raises, which ends the connection, at a second prompt."""
        del title, instructions
        if not prompts:
            return []
        if self._answered or len(prompts) > 1:
            raise paramiko.SSHException("the server asks for more than a password")
        self._answered = True
        return [self._password]


def _methods(transport: paramiko.Transport, user: str) -> Sequence[str]:
    """Return the accepted methods; the library raises them as an error."""
    try:
        return transport.auth_none(user)
    except paramiko.BadAuthenticationType as exc:
        return exc.allowed_types


def _listed(methods: Sequence[str]) -> str:
    known = [method for method in methods if method in {"publickey", "password", "keyboard-interactive"}]
    return " or ".join(known) or "no method that smki-sync supports"


_DEFAULT_KEYS: Final = ("id_ed25519", "id_ecdsa", "id_rsa")

_LONGEST_PUBLIC_KEY: Final = 64 * 1024

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@contextmanager
def login_keys(login: SftpLogin) -> Iterator[LoginKeys]:
    """Return the keys to offer.

    With an identity file, that key alone; the agent signs with it if it holds it. Without one, up to
    :data:`MAX_OFFERED_KEYS` keys of the agent and of ``~/.ssh``, if the login allows them.
    """
    if login.allow_agent:
        with closing(paramiko.Agent()) as agent:
            yield _with_agent(login, agent.get_keys())
    elif login.identity_file is not None:
        yield LoginKeys(keys=[load_key(login.identity_file, login.key_passphrase)])
    else:
        yield LoginKeys(keys=_default_keys(login))


def _with_agent(login: SftpLogin, held: Sequence[paramiko.PKey]) -> LoginKeys:
    if login.identity_file is None:
        offered = [*held, *_default_keys(login)][:MAX_OFFERED_KEYS]
        return LoginKeys(keys=offered, agent_keys=len(held))
    named = public_key_of(login.identity_file)
    in_agent = [key for key in held if key.asbytes() == named]
    return LoginKeys(keys=in_agent[:1] or [load_key(login.identity_file, login.key_passphrase)])


def _default_keys(login: SftpLogin) -> list[paramiko.PKey]:
    folder = Path.home() / ".ssh"
    paths = [folder / name for name in _DEFAULT_KEYS if login.look_for_keys]
    return [load_key(path, login.key_passphrase) for path in paths if path.is_file()]


def public_key_of(identity_file: Path) -> bytes | None:
    """Read the public key of an identity file, from itself or from ``NAME.pub``; ``None`` without one."""
    for path in (identity_file, identity_file.with_name(identity_file.name + ".pub")):
        with suppress(OSError, ValueError, binascii.Error), path.open("rb") as file:
            kind, key, *_ = file.read(_LONGEST_PUBLIC_KEY).split()
            if kind.startswith((b"ssh-", b"ecdsa-", b"sk-")):
                return base64.b64decode(key, validate=True)
    return None


def load_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Load a private key in OpenSSH or PEM format: Ed25519, ECDSA or RSA, encrypted or not.

    Raises ``ConfigError``: ``identity-file``, ``key-passphrase-missing`` or ``key-passphrase-wrong``.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"the identity file {path} cannot be read ({exc.strerror})",
            code="identity-file",
            hint="Use the private key (not the .pub file), readable by the user who runs smki-sync.",
        ) from exc
    return _paramiko_key(_decrypted(data, passphrase, path))


def _decrypted(data: bytes, passphrase: str | None, path: Path) -> PrivateKey:
    """Parse a key; the passphrase is used only for an encrypted one."""
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError:
        key = None  # encrypted
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _not_a_key(path) from exc
    if key is None and passphrase is None:
        raise ConfigError(
            f"the identity file {path} is encrypted, but no passphrase is set",
            code="key-passphrase-missing",
            hint="Set SMKI_SYNC_KEY_PASSPHRASE.",
        )
    if key is None and passphrase is not None:
        try:
            key = load(data, password=passphrase.encode())
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise ConfigError(
                f"the passphrase does not decrypt the identity file {path}",
                code="key-passphrase-wrong",
                hint="Check SMKI_SYNC_KEY_PASSPHRASE. To test a passphrase, run: ssh-keygen -y -f FILE",
            ) from exc
    if not isinstance(key, PrivateKey):
        raise _not_a_key(path)
    return key


def _not_a_key(path: Path) -> ConfigError:
    return ConfigError(
        f"the identity file {path} is not an Ed25519, ECDSA or RSA private key",
        code="identity-file",
        hint="Use the private key, not the .pub file. To create one, run: ssh-keygen -t ed25519",
    )


def _paramiko_key(key: PrivateKey) -> paramiko.PKey:
    """Convert a key by the format that all key classes of the library read."""
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    match key:
        case ed25519.Ed25519PrivateKey():
            return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
        case ec.EllipticCurvePrivateKey():
            return paramiko.ECDSAKey.from_private_key(io.StringIO(text))
        case _:
            return paramiko.RSAKey.from_private_key(io.StringIO(text))
