"""From an address to a logged-in SSH connection whose host key is the pinned one.

For: the steps dial, handshake, host key, login, each with its own time limit and its own words when it
fails. Refuses: a host key that is not pinned, in every configuration; to go on to the login before that.
"""

import logging

import paramiko

from smki_sync.errors import ConfigError
from smki_sync.sources.address import SftpAddress
from smki_sync.sources.base import Limits
from smki_sync.sources.dial import dial
from smki_sync.sources.login import SftpLogin
from smki_sync.sources.pinning import check_host_key, load_pins
from smki_sync.sources.sftp_keys import all_keys
from smki_sync.sources.sftp_transport import Connection
from smki_sync.sources.ssh_auth import log_in
from smki_sync.sources.ssh_connect import prefer, shake_hands
from smki_sync.sources.ssh_settings import Pins

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
        transport = Connection(dial(address, limits.connect))
        try:
            prefer(transport, pins, login.legacy_algorithms)
            left = shake_hands(transport, address, limits)
            check_host_key(transport.get_remote_server_key().asbytes(), address, pins, login.known_hosts)
            log_in(transport, address, login, keys, seconds=limits.login, left=left)
        except BaseException:
            hang_up(transport)
            raise
    _keep_alive(transport, limits.keep_alive)
    return transport


def read_host_key(address: SftpAddress, *, limits: Limits) -> tuple[str, bytes]:
    """Connect as far as the host key and no further: its type and its octets. Nothing is trusted by it.

    Raises ``SourceUnreachable``.
    """
    transport = Connection(dial(address, limits.connect))
    try:
        prefer(transport, Pins(keys=()), ())
        shake_hands(transport, address, limits)
        key = transport.get_remote_server_key()
        return key.get_name(), key.asbytes()
    finally:
        hang_up(transport)


def hang_up(transport: paramiko.Transport) -> None:
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
