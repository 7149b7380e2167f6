"""A TCP proxy on loopback with network faults, for tests without network namespaces.

Delay, a low rate, a cut or reset at a byte, a black hole, a flipped bit: all on the way to the client. A test
can change them at any time.
"""

import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 32 * 1024


@dataclass(kw_only=True)
class Faults:
    """Faults on the way to the client; offsets are counted from the start of each connection.

    ``delay``: seconds. ``rate``: bytes per second. ``cut_at``, ``reset_at``: where the connection is closed
    or reset. ``swallow_from``: bytes vanish from there on. ``flip_at``: one bit is flipped there.
    """

    delay: float = 0.0
    rate: float = 0.0
    cut_at: int | None = None
    reset_at: int | None = None
    swallow_from: int | None = None
    flip_at: int | None = None

    @property
    def ends_at(self) -> int | None:
        return self.reset_at if self.cut_at is None else self.cut_at


@dataclass(kw_only=True)
class Proxy:
    """A running proxy. ``passed``: bytes to the client; ``sent_up``: bytes to the server."""

    port: int
    faults: Faults
    passed: int = 0
    sent_up: int = 0
    connections: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def reset_all(self) -> None:
        """Reset every connection."""
        for line in self._sockets:
            _reset(line)


@contextmanager
def proxy_to(port: int, faults: Faults | None = None) -> Iterator[Proxy]:
    """Run a proxy for a local port until the end of the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(port=listener.getsockname()[1], faults=faults or Faults())
    threads: list[threading.Thread] = []
    accepting = threading.Thread(target=_accept, args=(listener, port, proxy, threads))
    accepting.start()
    try:
        yield proxy
    finally:
        _close(listener)
        accepting.join()
        for line in proxy._sockets:
            _close(line)
        for thread in threads:
            thread.join()


def _accept(listener: socket.socket, port: int, proxy: Proxy, threads: list[threading.Thread]) -> None:
    with suppress(OSError):  # closed: the test is over
        while True:
            client, _ = listener.accept()
            proxy.connections += 1
            server = socket.create_connection(("127.0.0.1", port))
            for line in (client, server):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            proxy._sockets += [client, server]
            coming: queue.Queue[tuple[float, bytes]] = queue.Queue()
            for target, args in (
                (_up, (client, server, proxy)),
                (_take, (server, proxy, coming)),
                (_give, (client, server, proxy, coming)),
            ):
                threads.append(threading.Thread(target=target, args=args))
                threads[-1].start()


def _up(client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
    with suppress(OSError):
        while data := client.recv(_PIECE):
            server.sendall(data)
            proxy.sent_up += len(data)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _take(server: socket.socket, proxy: Proxy, coming: queue.Queue[tuple[float, bytes]]) -> None:
    """Record when each piece arrived, so that a delay does not limit the rate."""
    data = b"begun"
    while data:
        try:
            data = server.recv(_PIECE)
        except OSError:
            data = b""
        coming.put((time.monotonic() + proxy.faults.delay, data))


def _give(
    client: socket.socket, server: socket.socket, proxy: Proxy, coming: queue.Queue[tuple[float, bytes]]
) -> None:
    done = 0
    with suppress(OSError):
        while True:
            due, data = coming.get()
            if not data:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            if proxy.faults.rate:
                time.sleep(len(data) / proxy.faults.rate)
            passing, ended = _weathered(data, done, proxy.faults)
            client.sendall(passing)
            done += len(data)
            proxy.passed += len(passing)
            if ended:
                break
    if proxy.faults.reset_at is not None:
        _reset(client)
    _close(client)
    _close(server)


def _weathered(data: bytes, at: int, faults: Faults) -> tuple[bytes, bool]:
    """Return the bytes that pass, and whether the connection ends after them."""
    if faults.flip_at is not None and at <= faults.flip_at < at + len(data):
        changed = bytearray(data)
        changed[faults.flip_at - at] ^= 0x10
        data = bytes(changed)
    if faults.swallow_from is not None:
        data = data[: max(0, faults.swallow_from - at)]
    if faults.ends_at is not None and faults.ends_at <= at + len(data):
        return data[: max(0, faults.ends_at - at)], True
    return data, False


def _reset(line: socket.socket) -> None:
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.shutdown(socket.SHUT_RD)  # wakes who reads from it, and tells the other side nothing
        line.close()


def _close(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
