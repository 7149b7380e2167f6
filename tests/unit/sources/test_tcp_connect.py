"""The TCP connection to a server."""

import socket

from smki_sync.sources.base import SftpAddress
from smki_sync.sources.ssh_connect import tcp_connect


def test_tcp_connect_disables_nagle() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with tcp_connect(SftpAddress(user="party", host="127.0.0.1", port=port, path="/"), 5.0) as line:
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
