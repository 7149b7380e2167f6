"""The TCP connection to a server, within one limit on time.

For: every address that the name service knows for the host, tried in turn until one accepts. Refuses: to give
each address the whole limit, to speak any protocol.
"""

import socket
import time

from smki_sync.errors import SourceUnreachable
from smki_sync.sources.address import SftpAddress
from smki_sync.sources.patience import CONNECT


def dial(address: SftpAddress, seconds: float) -> socket.socket:
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
