"""TCP connect, key exchange, host-key check, login."""

import logging
import os
import re
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import paramiko

from smki_sync.errors import ConfigError, SourceUnreachable
from smki_sync.sources.base import BANNER, CONNECT, LOGIN, Limits, SftpAddress, printable
from smki_sync.sources.sftp_channel import SftpChannel, open_channel
from smki_sync.sources.ssh_auth import authenticate, login_keys
from smki_sync.sources.ssh_settings import (
    AlgorithmOffer,
    LegacyAlgorithm,
    PinnedHostKeys,
    SftpLogin,
    allowed_ciphers,
    allowed_macs,
    check_host_key,
    common_algorithm,
    fingerprint,
    helpful_legacy_algorithms,
    load_pins,
    missing_algorithms,
    ordered_host_key_algorithms,
)
from smki_sync.sources.ssh_transport import (
    BoundedTransport,
    is_over_limit,
    packetizer_of,
    reason_of,
    server_busy,
)

_LIBRARY_MARGIN: Final = 30.0
"""Seconds by which the library's own limits, whose errors do not name a limit, are longer than ours."""

_POLL: Final = 0.02
"""Seconds between two checks of a key exchange in progress."""

_BUSY_GREETING: Final = re.compile(
    r"maxstartups|too many|not allowed at this time|busy|try again|later", re.IGNORECASE
)
"""What servers without room send instead of an SSH banner; the first two are OpenSSH's."""

ATTEMPT_DELAY: Final = 1.0
"""Seconds after which the next address is tried while one does not answer (RFC 8305, 5: at most 2 s). Less
would open needless connections to a server behind a slow line."""

_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]
"""One result of ``getaddrinfo``."""

# Without a handler, the library prints tracebacks of errors that we translate.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class ParamikoConnection:
    """A connection that is logged in. ``description``: the server and the algorithms, in one line."""

    def __init__(self, transport: paramiko.Transport, *, address: SftpAddress, limits: Limits) -> None:
        """Wrap a transport that is logged in."""
        self.transport = transport
        self.description = describe_connection(transport, address)
        self._peer = address.peer
        self._stall = limits.stall

    def open_channel(self, *, after_another: bool) -> SftpChannel:
        """Open the ``sftp`` subsystem; raises as :func:`~.sftp_channel.open_channel` does."""
        return open_channel(self.transport, peer=self._peer, seconds=self._stall, after_another=after_another)

    def close(self) -> None:
        """Close at once."""
        disconnect(self.transport)


def connect(address: SftpAddress, *, login: SftpLogin, limits: Limits) -> ParamikoConnection:
    """Connect, check the host key, log in once.

    Raises ``ConfigError`` before anything is sent, ``SourceUnreachable`` and ``SourceRefused`` after that.
    """
    pins = load_pins(login.known_hosts, address)
    with login_keys(login) as keys:
        if not keys.keys and login.password is None:
            raise ConfigError(
                f"no credentials are configured for {address.peer}",
                code="no-credentials",
                hint="Set repository.identity_file or repository.password_file.",
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
    _start_keepalive(transport, limits.keep_alive)
    return ParamikoConnection(transport, address=address, limits=limits)


def read_host_key(address: SftpAddress, *, limits: Limits) -> tuple[str, bytes]:
    """Connect up to the key exchange; return the type of the host key and the key. It is not checked.

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
    """Close at once, without waiting for the server or for bytes in flight."""
    transport.close()
    transport.packetizer.complete_handshake()  # stops its timer thread after a failed key exchange
    transport.sock.close()


def _start_keepalive(transport: paramiko.Transport, seconds: float) -> None:
    """Send keepalive messages; the library's own would wait for itself during a key exchange."""

    def send() -> None:
        if transport.clear_to_send.is_set():
            transport.global_request("keepalive@openssh.com", wait=False)

    transport.packetizer.set_keepalive(seconds, send)


def tcp_connect(address: SftpAddress, seconds: float) -> socket.socket:
    """Connect within ``seconds``; the time of the name service does not count.

    Every address of the host is tried: the next one starts when one fails, or does not answer for a moment
    (RFC 8305). Raises ``SourceUnreachable``: ``host-unknown``, ``connect-timeout``, ``connection-refused``,
    ``source-unreachable``.
    """
    waiting = deque(_resolve(address))
    attempts = len(waiting)
    delay = min(ATTEMPT_DELAY, seconds / (attempts + 1))
    deadline = time.monotonic() + seconds
    failure: OSError = TimeoutError()
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                if waiting:
                    failure = _start_attempt(selector, waiting.popleft()) or failure
                left = deadline - time.monotonic()
                if left <= 0:
                    failure = TimeoutError()
                    break
                connection, failure = _first_connected(
                    selector, min(delay, left) if waiting else left, failure
                )
                if connection is not None:
                    return connection
        finally:
            for key in list(selector.get_map().values()):
                selector.unregister(key.fileobj)
                _socket_of(key).close()
    raise _connect_error(failure, address, seconds, attempts) from failure


def _resolve(address: SftpAddress) -> list[_Address]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        raise SourceUnreachable(
            f"the host {address.host} (port {address.port}) cannot be resolved",
            code="host-unknown",
            hint="Check the host in the source URL and the name service of this machine.",
        ) from exc
    return list(dict.fromkeys(found))


def _start_attempt(selector: selectors.BaseSelector, found: _Address) -> OSError | None:
    """Start to connect to one address, with its flow and scope; return the error if it fails at once."""
    family, kind, protocol, _, sockaddr = found
    try:
        connection = socket.socket(family, kind, protocol)
    except OSError as exc:  # this machine does not support the address family
        return exc
    connection.setblocking(False)
    try:
        connection.connect(sockaddr)
    except BlockingIOError:
        pass
    except OSError as exc:
        connection.close()
        return exc
    selector.register(connection, selectors.EVENT_WRITE)
    return None


def _first_connected(
    selector: selectors.BaseSelector, seconds: float, failure: OSError
) -> tuple[socket.socket | None, OSError]:
    """Wait for the attempts in progress; return the first connection, and the last error."""
    if not selector.get_map():
        return None, failure
    for key, _ in selector.select(seconds):
        connection = _socket_of(key)
        selector.unregister(connection)
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            connection.setblocking(True)
            # A request is a small packet; without this it waits until the previous one is acknowledged.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection, failure
        connection.close()
        failure = _error_of_code(code)
    return None, failure


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)  # only sockets are registered
    return key.fileobj


def _error_of_code(code: int) -> OSError:
    """Create the exception of an error number, with its own class and text."""
    return OSError(code, os.strerror(code))


def _connect_error(
    failure: OSError, address: SftpAddress, seconds: float, attempts: int
) -> SourceUnreachable:
    tried = f" at any of its {attempts} addresses" if attempts > 1 else ""
    if isinstance(failure, TimeoutError):
        return CONNECT.error(f"{address.peer} did not accept a connection{tried}", seconds)
    return SourceUnreachable(
        f"{address.peer} could not be reached{tried} ({failure.strerror or failure})",
        code="connection-refused" if isinstance(failure, ConnectionRefusedError) else None,
        hint="Check the gateway connection, the firewall and the port. The server may be down.",
    )


def set_preferences(
    transport: paramiko.Transport, pins: PinnedHostKeys, legacy: Iterable[LegacyAlgorithm]
) -> None:
    """Set our algorithms: only safe ones, fast ones first, host keys of the pinned types first."""
    options = transport.get_security_options()
    options.ciphers = allowed_ciphers(legacy)
    options.digests = allowed_macs(legacy)
    options.key_types = ordered_host_key_algorithms((key.kind for key in pins.trusted), options.key_types)


def negotiate(transport: paramiko.Transport, address: SftpAddress, limits: Limits) -> float:
    """Exchange keys with the server; return the seconds that are left for the login.

    Raises ``SourceUnreachable``: ``banner-timeout``, ``login-timeout``, ``server-busy``,
    ``no-common-algorithm``, ``handshake-failed``.
    """
    transport.handshake_timeout = limits.login + _LIBRARY_MARGIN
    transport.clear_to_send_timeout = (
        limits.stall
    )  # a key exchange during a transfer waits for data in flight
    done = threading.Event()
    transport.start_client(event=done)
    if not _wait_until(transport, lambda: bool(transport.remote_version), limits.banner):
        raise BANNER.error(f"{address.peer} did not send an SSH banner", limits.banner)
    started = time.monotonic()
    if not _wait_until(transport, done.is_set, limits.login):
        raise LOGIN.error(f"{address.peer} did not complete the key exchange", limits.login)
    if not transport.is_active():
        raise _handshake_error(transport, address)
    return limits.login - (time.monotonic() - started)


def describe_connection(transport: paramiko.Transport, address: SftpAddress) -> str:
    """Describe the server and the algorithms in one line."""
    ours, theirs = _our_offer(transport), packetizer_of(transport).offer
    kex = common_algorithm(ours.kex, theirs.kex) if theirs else ""
    facts = vars(transport)  # cipher and MAC are public attributes that the type stubs lack
    cipher = str(facts["remote_cipher"])
    mac = "part of the cipher" if "gcm" in cipher else str(facts["remote_mac"])
    key = transport.get_remote_server_key()
    return (
        f"{address.peer} is {printable(transport.remote_version)}; key exchange {kex}; host key"
        f" {transport.host_key_type} {fingerprint(key.asbytes())}; cipher {cipher}; MAC {mac}"
    )


def _our_offer(transport: paramiko.Transport) -> AlgorithmOffer:
    """Return the algorithms that we offer."""
    return AlgorithmOffer(
        kex=transport.preferred_kex,
        host_keys=transport.preferred_keys,
        ciphers=transport.preferred_ciphers,
        macs=transport.preferred_macs,
    )


def _wait_until(transport: paramiko.Transport, ready: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``ready`` or until the connection has ended; return whether that was in time."""
    deadline = time.monotonic() + seconds
    while transport.is_active() and not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def _handshake_error(transport: paramiko.Transport, address: SftpAddress) -> SourceUnreachable:
    """Create the error for a key exchange that ended without a connection."""
    error, greeting = transport.get_exception(), " ".join(packetizer_of(transport).greeting)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return _no_common_algorithm(transport, address, error)
    if is_over_limit(transport):
        return server_busy(f"{address.peer} has no room for a connection ({reason_of(transport)})")
    closed_early = not transport.remote_version and _was_closed(error)
    if closed_early and (not greeting or _BUSY_GREETING.search(greeting)):
        text = f" and sent: {greeting}" if greeting else ""
        return server_busy(f"{address.peer} closed the connection before sending an SSH banner{text}")
    why = f"it is not an SSH server, and sent: {greeting}" if greeting else reason_of(transport)
    return SourceUnreachable(
        f"{address.peer} did not complete the SSH handshake ({why})",
        code="handshake-failed",
        hint="Check that an SSH server listens on this port and that no firewall interferes.",
    )


def _was_closed(error: Exception | None) -> bool:
    """Whether the connection was closed or reset while the library read the banner."""
    cause = error.__context__ if isinstance(error, paramiko.SSHException) else error
    return isinstance(cause, EOFError | OSError)


def _no_common_algorithm(
    transport: paramiko.Transport, address: SftpAddress, error: Exception
) -> SourceUnreachable:
    ours, theirs = _our_offer(transport), packetizer_of(transport).offer
    why = missing_algorithms(ours, theirs) if theirs else str(error)
    legacy = helpful_legacy_algorithms(ours, theirs) if theirs else ()
    names = ", ".join(f'"{name}"' for name in legacy)
    setting = (
        f" If it confirms that the server is old, set repository.legacy_algorithms = [{names}]."
        if names
        else ""
    )
    return SourceUnreachable(
        f"{address.peer} and smki-sync have no algorithm in common: {printable(why)}",
        code="no-common-algorithm",
        hint=f"The server offers only methods that are no longer safe. Contact the DCC.{setting}",
    )
