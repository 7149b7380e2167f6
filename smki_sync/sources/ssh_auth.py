"""Logging in to an SFTP server: once, with what was configured, and no second guess.

For: the one attempt that a refused login gets (Appendix P: five wrong passwords in an hour lock the
account). Asks first, with the ``none`` method that carries no
credential, what the server takes. Refuses: to try a password after a refused key, to repeat anything.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import paramiko

from smki_sync.errors import SourceRefused, SourceUnreachable
from smki_sync.sources.address import SftpAddress
from smki_sync.sources.login import SftpLogin
from smki_sync.sources.patience import LOGIN
from smki_sync.sources.sftp_words import busy, cause_of, turned_away

_AFTER_REFUSAL = (
    "Check user, key and password with the DCC before the next run: five wrong logins in an hour lock the"
    " account (SEC Appendix P). smki-sync has tried once and does not try again by itself."
)


def log_in(
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


class _SaidNo(SourceRefused):
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
            with suppress(_SaidNo):
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
        return _refused(self.address, "the server said no", kind=_SaidNo)


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
