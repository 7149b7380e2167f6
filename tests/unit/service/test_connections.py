"""Slow, idle and malformed connections. Another client gets its answer at the same time."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from support.served import KEY, Served

from smki_sync.service.app import MAX_HEADER_BYTES
from smki_sync.service.server import MAX_WAITING

from .test_web_service import DEVICE_DS

IDLE = 10_000


def connected(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=60)


def exchange(served: Served, sent: bytes) -> bytes:
    """Everything that is answered until the server closes the connection."""
    received = b""
    with closing(connected(served)) as connection:
        connection.sendall(sent)
        try:
            while part := connection.recv(65_536):
                received += part
        except ConnectionResetError:
            pass
    return received


def head(*lines: str) -> bytes:
    return "\r\n".join(["GET /healthz HTTP/1.1", "Host: a", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    "sent",
    [
        head(f"X-Long: {'x' * 60_000}"),
        head(*(f"X-{n}: {'x' * 100}" for n in range(1000))),
        b"GET /" + b"a" * MAX_HEADER_BYTES * 2 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        head("Content-Length: 1", "Transfer-Encoding: chunked"),
        head("Content-Length: -1"),
        head("Content-Length: 1", "Content-Length: 2"),
        head("Bad Name: 1"),
        b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 20_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:30]) if isinstance(sent, bytes) else None,
)
def test_malformed_request_is_refused(served: Served, sent: bytes) -> None:
    answer = exchange(served, sent)
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert served.ask("/healthz").status == 200


def test_body_without_an_end_is_refused_and_the_connection_closed(served: Served) -> None:
    sent = (
        "POST /services/certificatesearch HTTP/1.1\r\nHost: a\r\n"
        f"X-API-Key: {KEY}\r\nContent-Length: 1000\r\n\r\n<a"
    )
    assert b" 408 " in exchange(served, sent.encode()).split(b"\r\n")[0]


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", head()[:-2], head() + b"GET /healthz HT"])
def test_connection_without_a_complete_request_is_closed(served: Served, sent: bytes) -> None:
    answer = exchange(served, sent)
    assert answer.count(b"HTTP/1.1") == sent.count(b"\r\n\r\n")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 1000
    if hard not in (-1, resource.RLIM_INFINITY) and hard < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@pytest.mark.usefixtures("many_descriptors")
def test_requests_are_answered_while_10_000_connections_are_idle(served: Served) -> None:
    with ExitStack() as idle:
        for n in range(IDLE):
            idle.enter_context(closing(connected(served)))
            if n % (2 * MAX_WAITING) == 0:
                assert served.retrieve(DEVICE_DS).status == 200
        assert served.retrieve(DEVICE_DS).status == 200
    assert served.retrieve(DEVICE_DS).status == 200
