"""From an address to a logged-in SSH connection whose host key is the pinned one.

For: the steps dial, handshake, host key, login, each with its own time limit and its own words when it
fails. Refuses: a host key that is not pinned, in every configuration; to go on to the login before that.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import paramiko

from smki_sync.errors import ConfigError, SourceError, SourceUnreachable
from smki_sync.sources.address import SftpAddress
from smki_sync.sources.base import Limits
from smki_sync.sources.hostkeys import Pins
from smki_sync.sources.login import SftpLogin
from smki_sync.sources.names import printable
from smki_sync.sources.pinning import check_host_key, load_pins
from smki_sync.sources.sftp_keys import all_keys
from smki_sync.sources.sftp_login import log_in

KEEP_ALIVE = 30
"""Seconds between keep-alives: often enough for firewalls that forget idle connections after a minute."""

_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""The library offers its fastest ciphers last; measured, these halve the time of a transfer."""

_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")
"""What a pinned ``ssh-rsa`` key signs with today (RFC 8332)."""

_OUR_LIMITS_FIRST = 30.0
"""Seconds by which the library's own limits, which it does not name, stand behind ours."""

_POLL = 0.02
"""Seconds between looks at a handshake in progress."""

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it prints tracebacks of what we word


def connect(address: SftpAddress, *, login: SftpLogin, limits: Limits) -> paramiko.Transport:
    """Connect, check the host key, log in once; the caller closes with :func:`hang_up`.

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
        transport = paramiko.Transport(_dial(address, limits))
        try:
            left = _shake_hands(transport, address, pins, limits)
            check_host_key(transport.get_remote_server_key().asbytes(), address, pins, login.known_hosts)
            log_in(transport, address, login, keys, seconds=left)
        except BaseException:
            hang_up(transport)
            raise
    transport.set_keepalive(KEEP_ALIVE)
    return transport


def hang_up(transport: paramiko.Transport) -> None:
    """Close at once, without waiting for the server or for bytes on their way."""
    transport.close()
    transport.packetizer.complete_handshake()  # else its timer thread outlives a handshake that failed
    transport.sock.close()


def _dial(address: SftpAddress, limits: Limits) -> socket.socket:
    """Open the TCP connection; every address of the host gets the whole limit."""
    try:
        return socket.create_connection((address.host, address.port), timeout=limits.connect)
    except TimeoutError as exc:
        raise SourceUnreachable(
            f"{address.peer} did not accept a connection within {limits.connect:g} s (limit: connect)",
            code="connect-timeout",
            hint="Check the gateway connection, the firewall and the port.",
        ) from exc
    except (socket.gaierror, UnicodeError) as exc:
        raise SourceUnreachable(
            f"the host {address.host} (port {address.port}) is not known to the name service",
            code="host-unknown",
            hint="Check the host's name in the source URL and this machine's name service.",
        ) from exc
    except OSError as exc:
        raise SourceUnreachable(
            f"{address.peer} could not be reached ({exc.strerror or exc})",
            code="connection-refused" if isinstance(exc, ConnectionRefusedError) else None,
            hint="Check the gateway connection, the firewall and the port; the server may be down.",
        ) from exc


def _shake_hands(transport: paramiko.Transport, address: SftpAddress, pins: Pins, limits: Limits) -> float:
    """Agree on keys with the server; give the seconds that are left for the login."""
    _prefer(transport, pins)
    transport.banner_timeout = limits.banner + _OUR_LIMITS_FIRST
    transport.handshake_timeout = limits.login + _OUR_LIMITS_FIRST
    agreed = threading.Event()
    transport.start_client(event=agreed)
    if not _waited(transport, lambda: bool(transport.remote_version), limits.banner):
        raise _too_slow(address, "name itself as an SSH server", limits.banner, "banner")
    start = time.monotonic()
    if not _waited(transport, agreed.is_set, limits.login):
        raise _too_slow(address, "agree on keys", limits.login, "login")
    if not transport.is_active():
        raise _broken_off(transport, address)
    return limits.login - (time.monotonic() - start)


def _prefer(transport: paramiko.Transport, pins: Pins) -> None:
    """Put fast ciphers first, and the host key types that are pinned; nothing is taken out."""
    options = transport.get_security_options()
    options.ciphers = _first(_FAST_CIPHERS, options.ciphers)
    kinds = [_RSA_SIGNATURES if key.kind == "ssh-rsa" else (key.kind,) for key in pins.trusted]
    options.key_types = _first([name for names in kinds for name in names], options.key_types)


def _first(wanted: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Order the known names: the wanted ones first, once each, then the rest."""
    return tuple(dict.fromkeys([*(name for name in wanted if name in known), *known]))


def _waited(transport: paramiko.Transport, ready: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is ready or the connection has ended; whether that was in time."""
    deadline = time.monotonic() + seconds
    while transport.is_active() and not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def _broken_off(transport: paramiko.Transport, address: SftpAddress) -> SourceError:
    """Word what ended the handshake."""
    cause = transport.get_exception()
    if isinstance(cause, paramiko.ssh_exception.IncompatiblePeer):
        return SourceUnreachable(
            f"{address.peer} and smki-sync have no algorithm in common ({printable(str(cause))})",
            code="no-common-algorithm",
            hint="The server offers only methods that are not considered safe today; tell the DCC.",
        )
    why = printable(str(cause) or type(cause).__name__) if cause else "it hung up"
    return SourceUnreachable(
        f"{address.peer} broke off the SSH handshake ({why})",
        code="handshake-failed",
        hint="Check that an SSH server listens on this port; it may be overloaded, or a firewall cuts in.",
    )


def _too_slow(address: SftpAddress, what: str, seconds: float, limit: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"{address.peer} did not {what} within {seconds:g} s (limit: {limit})",
        code=f"{limit}-timeout",
        hint="Check that an SSH server listens on this port; it may be overloaded: try again later.",
    )
