"""Agreeing on keys with a server: what is asked for, how long it may take, and what came of it.

For: the steps between TCP and login, each with its own limit and its own words when it fails. Refuses: to
judge the host key (:mod:`.pinning` does), to ask for what is not considered safe unless it is configured.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable

import paramiko

from smki_sync.errors import SourceUnreachable
from smki_sync.sources.address import SftpAddress
from smki_sync.sources.algorithms import (
    LegacyAlgorithm,
    Offer,
    agreed,
    ciphers,
    disagreement,
    host_key_algorithms,
    macs,
    remedies,
)
from smki_sync.sources.base import Limits
from smki_sync.sources.names import printable
from smki_sync.sources.patience import BANNER, LOGIN
from smki_sync.sources.sftp_words import busy, cause_of, turned_away
from smki_sync.sources.ssh_settings import Pins, fingerprint
from smki_sync.sources.ssh_transport import line_of

_OUR_LIMITS_FIRST = 30.0
"""Seconds by which the library's own limits, which it does not name, stand behind ours."""

_POLL = 0.02
"""Seconds between looks at a handshake in progress."""


_BUSY = re.compile(r"maxstartups|too many|not allowed at this time|busy|try again|later", re.IGNORECASE)
"""What servers say in place of their name when they have no room; the first two are OpenSSH's."""


def prefer(transport: paramiko.Transport, pins: Pins, legacy: Iterable[LegacyAlgorithm]) -> None:
    """Say what to ask for: safe algorithms, fast ones first, host keys of the pinned types first."""
    options = transport.get_security_options()
    options.ciphers = ciphers(legacy)
    options.digests = macs(legacy)
    options.key_types = host_key_algorithms((key.kind for key in pins.trusted), options.key_types)


def shake_hands(transport: paramiko.Transport, address: SftpAddress, limits: Limits) -> float:
    """Agree on keys with the server; give the seconds that are left for the login.

    Raises ``SourceUnreachable``: ``banner-timeout``, ``login-timeout``, ``server-busy``,
    ``no-common-algorithm``, ``handshake-failed``.
    """
    transport.handshake_timeout = limits.login + _OUR_LIMITS_FIRST
    transport.clear_to_send_timeout = (
        limits.stall
    )  # new keys in the middle of a file wait for what is under way
    done = threading.Event()
    transport.start_client(event=done)
    if not _waited(transport, lambda: bool(transport.remote_version), limits.banner):
        raise BANNER.fired(f"{address.peer} did not name itself as an SSH server", limits.banner)
    start = time.monotonic()
    if not _waited(transport, done.is_set, limits.login):
        raise LOGIN.fired(f"{address.peer} did not agree on keys", limits.login)
    if not transport.is_active():
        raise _broken_off(transport, address)
    return limits.login - (time.monotonic() - start)


def negotiated(transport: paramiko.Transport, address: SftpAddress) -> str:
    """Say in one line who the server is and what was agreed on."""
    ours, theirs = _ours(transport), line_of(transport).offer
    kex = agreed(ours.kex, theirs.kex) if theirs else ""
    facts = vars(transport)  # ciphers and MACs are public, and missing from the type stubs
    cipher = str(facts["remote_cipher"])
    mac = "the cipher's own" if "gcm" in cipher else str(facts["remote_mac"])
    key = transport.get_remote_server_key()
    return (
        f"{address.peer} is {printable(transport.remote_version)}; key exchange {kex}; host key"
        f" {transport.host_key_type} {fingerprint(key.asbytes())}; cipher {cipher}; MAC {mac}"
    )


def _ours(transport: paramiko.Transport) -> Offer:
    """What this side asks for."""
    return Offer(
        kex=transport.preferred_kex,
        host_keys=transport.preferred_keys,
        ciphers=transport.preferred_ciphers,
        macs=transport.preferred_macs,
    )


def _waited(transport: paramiko.Transport, ready: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is ready or the connection has ended; whether that was in time."""
    deadline = time.monotonic() + seconds
    while transport.is_active() and not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def _broken_off(transport: paramiko.Transport, address: SftpAddress) -> SourceUnreachable:
    """Word what ended the handshake."""
    cause, greeting = transport.get_exception(), " ".join(line_of(transport).greeting)
    if isinstance(cause, paramiko.ssh_exception.IncompatiblePeer):
        return _nothing_in_common(transport, address, cause)
    if turned_away(transport):
        return busy(f"{address.peer} has no room for a connection ({cause_of(transport)})")
    if not transport.remote_version and _hung_up(cause) and (not greeting or _BUSY.search(greeting)):
        said = f", saying: {greeting}" if greeting else ""
        return busy(f"{address.peer} hung up before it named itself as an SSH server{said}")
    why = f"it is none, and says: {greeting}" if greeting else cause_of(transport)
    return SourceUnreachable(
        f"{address.peer} broke off the SSH handshake ({why})",
        code="handshake-failed",
        hint="Check that an SSH server listens on this port; it may be overloaded, or a firewall cuts in.",
    )


def _hung_up(cause: Exception | None) -> bool:
    """Whether the connection ended, or was reset, while the library read the banner."""
    met = cause.__context__ if isinstance(cause, paramiko.SSHException) else cause
    return isinstance(met, EOFError | OSError)


def _nothing_in_common(
    transport: paramiko.Transport, address: SftpAddress, cause: Exception
) -> SourceUnreachable:
    ours, theirs = _ours(transport), line_of(transport).offer
    why = disagreement(ours, theirs) if theirs else str(cause)
    names = ", ".join(f'"{name}"' for name in remedies(ours, theirs)) if theirs else ""
    hint = (
        f" If they confirm that it is an old server: repository.legacy_algorithms = [{names}]."
        if names
        else ""
    )
    return SourceUnreachable(
        f"{address.peer} and smki-sync have no algorithm in common: {printable(why)}",
        code="no-common-algorithm",
        hint=f"The server offers only methods that are not considered safe today; tell the DCC.{hint}",
    )
