"""TCP connect, key exchange, host-key check, login."""

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable

import paramiko

from smki_sync.errors import ConfigError, SourceUnreachable
from smki_sync.sources.base import BANNER, CONNECT, LOGIN, Limits, SftpAddress, printable
from smki_sync.sources.ssh_auth import all_keys, authenticate
from smki_sync.sources.ssh_settings import (
    AlgorithmOffer,
    LegacyAlgorithm,
    PinnedHostKeys,
    SftpLogin,
    agreed,
    check_host_key,
    ciphers,
    disagreement,
    fingerprint,
    host_key_algorithms,
    load_pins,
    macs,
    remedies,
)
from smki_sync.sources.ssh_transport import BoundedTransport, busy, cause_of, packetizer_of, turned_away

_OUR_LIMITS_FIRST = 30.0
"""Seconds by which the library's own limits, which it does not name, stand behind ours."""

_POLL = 0.02
"""Seconds between looks at a handshake in progress."""


_BUSY = re.compile(r"maxstartups|too many|not allowed at this time|busy|try again|later", re.IGNORECASE)
"""What servers say in place of their name when they have no room; the first two are OpenSSH's."""


def set_preferences(
    transport: paramiko.Transport, pins: PinnedHostKeys, legacy: Iterable[LegacyAlgorithm]
) -> None:
    """Say what to ask for: safe algorithms, fast ones first, host keys of the pinned types first."""
    options = transport.get_security_options()
    options.ciphers = ciphers(legacy)
    options.digests = macs(legacy)
    options.key_types = host_key_algorithms((key.kind for key in pins.trusted), options.key_types)


def negotiate(transport: paramiko.Transport, address: SftpAddress, limits: Limits) -> float:
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
    ours, theirs = _ours(transport), packetizer_of(transport).offer
    kex = agreed(ours.kex, theirs.kex) if theirs else ""
    facts = vars(transport)  # ciphers and MACs are public, and missing from the type stubs
    cipher = str(facts["remote_cipher"])
    mac = "the cipher's own" if "gcm" in cipher else str(facts["remote_mac"])
    key = transport.get_remote_server_key()
    return (
        f"{address.peer} is {printable(transport.remote_version)}; key exchange {kex}; host key"
        f" {transport.host_key_type} {fingerprint(key.asbytes())}; cipher {cipher}; MAC {mac}"
    )


def _ours(transport: paramiko.Transport) -> AlgorithmOffer:
    """What this side asks for."""
    return AlgorithmOffer(
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
    cause, greeting = transport.get_exception(), " ".join(packetizer_of(transport).greeting)
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
    ours, theirs = _ours(transport), packetizer_of(transport).offer
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


def tcp_connect(address: SftpAddress, seconds: float) -> socket.socket:
    """Connect within ``seconds`` (the name service's own time not counted), or raise ``SourceUnreachable``.

    Codes: ``host-unknown``, ``connect-timeout``, ``connection-refused``, ``source-unreachable``.
    """
    found = _addresses(address)
    deadline = time.monotonic() + seconds
    failure: OSError = TimeoutError()
    for place in found:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            line = socket.create_connection(place, timeout=left)
        except OSError as exc:
            failure = exc
        else:
            # A question is a small packet; without this it waits until the one before is acknowledged.
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return line
    raise _worded(failure, address, seconds) from failure


def _addresses(address: SftpAddress) -> list[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        raise SourceUnreachable(
            f"the host {address.host} (port {address.port}) is not known to the name service",
            code="host-unknown",
            hint="Check the host's name in the source URL and this machine's name service.",
        ) from exc
    return [(str(place[0]), address.port) for *_, place in found]


def _worded(failure: OSError, address: SftpAddress, seconds: float) -> SourceUnreachable:
    if isinstance(failure, TimeoutError):
        return CONNECT.fired(f"{address.peer} did not accept a connection", seconds)
    return SourceUnreachable(
        f"{address.peer} could not be reached ({failure.strerror or failure})",
        code="connection-refused" if isinstance(failure, ConnectionRefusedError) else None,
        hint="Check the gateway connection, the firewall and the port; the server may be down.",
    )


logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it prints tracebacks of what we word


def connect(address: SftpAddress, *, login: SftpLogin, limits: Limits) -> paramiko.Transport:
    """Connect, check the host key, log in once; the caller closes with :func:`disconnect`.

    Raises ``ConfigError`` before anything is sent, ``SourceUnreachable`` and ``SourceRefused`` after.
    """
    pins = load_pins(login.known_hosts, address)
    with all_keys(login) as keys:
        if not keys and login.password is None:
            raise ConfigError(
                f"nothing is configured to log in to {address.peer} with",
                code="no-credentials",
                hint="Give a private key (repository.identity_file) or a password"
                " (repository.password_file).",
            )
        transport = BoundedTransport(tcp_connect(address, limits.connect))
        try:
            set_preferences(transport, pins, login.legacy_algorithms)
            left = negotiate(transport, address, limits)
            check_host_key(transport.get_remote_server_key().asbytes(), address, pins, login.known_hosts)
            authenticate(transport, address, login, keys, seconds=limits.login, left=left)
        except BaseException:
            disconnect(transport)
            raise
    _keep_alive(transport, limits.keep_alive)
    return transport


def read_host_key(address: SftpAddress, *, limits: Limits) -> tuple[str, bytes]:
    """Connect as far as the host key and no further: its type and its octets. Nothing is trusted by it.

    Raises ``SourceUnreachable``.
    """
    transport = BoundedTransport(tcp_connect(address, limits.connect))
    try:
        set_preferences(transport, PinnedHostKeys(keys=()), ())
        negotiate(transport, address, limits)
        key = transport.get_remote_server_key()
        return key.get_name(), key.asbytes()
    finally:
        disconnect(transport)


def disconnect(transport: paramiko.Transport) -> None:
    """Close at once, without waiting for the server or for bytes on their way."""
    transport.close()
    transport.packetizer.complete_handshake()  # else its timer thread outlives a handshake that failed
    transport.sock.close()


def _keep_alive(transport: paramiko.Transport, seconds: float) -> None:
    """Send a sign of life on an idle line; the library's own would wait for itself while keys are renewed."""

    def ask() -> None:
        if transport.clear_to_send.is_set():
            transport.global_request("keepalive@openssh.com", wait=False)

    transport.packetizer.set_keepalive(seconds, ask)
