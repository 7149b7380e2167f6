"""The TCP connection to a server with one or more addresses."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from smki_sync.errors import SourceUnreachable
from smki_sync.sources.base import SftpAddress, parse_address
from smki_sync.sources.ssh_connect import tcp_connect

Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]


def address(port: int) -> SftpAddress:
    return SftpAddress(user="party", host="smki.example", port=port, path="/")


def found(host: str, port: int, *more: int) -> Found:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, *more)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that never answers: its queue of connections is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


@contextmanager
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refusing_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> list[Found]:
    """What the name service returns; a test fills it."""
    results: list[Found] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: results)
    return results


def test_tcp_connect_disables_nagle() -> None:
    with listener() as port:
        local = SftpAddress(user="party", host="127.0.0.1", port=port, path="/")
        with tcp_connect(local, 5.0) as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.gettimeout() is None


@pytest.mark.parametrize("dead", [1, 3])
def test_tcp_connect_uses_last_address_when_others_do_not_answer(resolve: list[Found], dead: int) -> None:
    with silent_port() as silent, listener() as port:
        resolve += [found("127.0.0.1", silent), found("127.0.0.2", silent), found("127.0.0.3", silent)][:dead]
        resolve.append(found("127.0.0.1", port))
        with tcp_connect(address(port), 2.0) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


def test_tcp_connect_uses_next_address_when_first_is_refused(resolve: list[Found]) -> None:
    with listener() as port:
        resolve += [found("127.0.0.1", refusing_port()), found("127.0.0.1", port)]
        with tcp_connect(address(port), 60.0) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


def test_tcp_connect_uses_next_address_when_family_is_unsupported(
    resolve: list[Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithoutIpv6(socket.socket):
        def __init__(self, family: int = -1, *args: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *args)

    with listener() as port:
        resolve += [found("::1", port, 0, 0), found("127.0.0.1", port)]
        monkeypatch.setattr(socket, "socket", WithoutIpv6)
        with tcp_connect(address(port), 5.0) as connection:
            assert connection.family == socket.AF_INET


def test_tcp_connect_times_out_when_no_address_answers(resolve: list[Found]) -> None:
    with silent_port() as silent:
        resolve += [
            found("127.0.0.1", silent),
            found("127.0.0.1", refusing_port()),
            found("127.0.0.2", silent),
        ]
        with pytest.raises(SourceUnreachable) as caught:
            tcp_connect(address(22), 0.5)
    assert caught.value.reason == "connect-timeout"
    assert "any of its 3 addresses within 0.5 s" in caught.value.message


def test_tcp_connect_is_refused_when_every_address_refuses(resolve: list[Found]) -> None:
    resolve += [found("127.0.0.1", refusing_port()), found("127.0.0.1", refusing_port())]
    with pytest.raises(SourceUnreachable) as caught:
        tcp_connect(address(22), 60.0)
    assert caught.value.reason == "connection-refused"
    assert "any of its 2 addresses (Connection refused)" in caught.value.message


def test_tcp_connect_keeps_flow_and_scope_of_ipv6_addresses(
    resolve: list[Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: list[object] = []

    class Recorder(socket.socket):
        def connect(self, target: object) -> None:
            targets.append(target)
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", Recorder)
    resolve.append(found("fe80::1", 22, 5, 3))
    with pytest.raises(SourceUnreachable, match="Network is unreachable"):
        tcp_connect(address(22), 1.0)
    assert targets == [("fe80::1", 22, 5, 3)]


def test_scope_of_an_ipv6_address_survives_in_url_and_title() -> None:
    parsed = parse_address("sftp://party@[fe80::1%25eth0]:2222/out")
    assert isinstance(parsed, SftpAddress)
    assert parsed.host == "fe80::1%eth0"
    assert parse_address(parsed.title) == parsed
