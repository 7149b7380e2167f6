"""Listen with uvicorn and h11: addresses, TLS, and limits on slow and idle connections."""

import asyncio
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smki_sync.errors import ConfigError, ResourceError
from smki_sync.service.app import MAX_HEADER_BYTES, WebService
from smki_sync.service.mirror_reader import MirrorReader

if TYPE_CHECKING:
    import uvicorn

HEADER_SECONDS: Final = 10.0
"""Time limit for the request line and headers, in seconds, from the connection or the last answer."""
KEEP_ALIVE_SECONDS: Final = 5
"""Time after which an idle connection is closed, in seconds."""
MAX_WAITING: Final = 512
"""Connections without a complete request. A further one replaces the oldest."""
REFRESH_SECONDS: Final = 30.0
"""Longest time until the file of an old generation is closed, in seconds, if there are no requests."""
BACKLOG: Final = 1024
"""Connections that the kernel keeps until they are accepted."""
STOP_SECONDS: Final = 10
"""Time for requests to end after SIGTERM, in seconds."""
_UNIX: Final = "unix:"
_DESCRIPTORS: Final = 4096
_HINT: Final = "Write HOST:PORT, for example 127.0.0.1:8083, or unix:/path."


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """Where to listen: ``host`` and ``port``, or the path of a Unix socket in ``unix``."""

    host: str = ""
    port: int = 0
    unix: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect. A host name other than ``localhost`` is not local."""
        if self.unix or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How to listen. TLS needs both files, in PEM."""

    address: ListenAddress
    tls_certificate: Path | None = None
    tls_key: Path | None = None


def parse_listen(text: str) -> ListenAddress:
    """Parse ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:/path``.

    Raises:
        ConfigError: ``serve-listen``.
    """
    if text.startswith(_UNIX) and text.removeprefix(_UNIX).startswith("/"):
        return ListenAddress(unix=text.removeprefix(_UNIX))
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - ports have 16 bits
        raise ConfigError("serve.listen is not an address.", hint=_HINT, code="serve-listen")
    return ListenAddress(host=host, port=int(port))


def check_exposure(options: ServerOptions, *, behind_proxy: bool, accept_dcc_client: bool) -> None:
    """Refuse to listen for other machines without TLS, and with a key that everybody knows.

    Raises:
        ConfigError: ``serve-exposed``, ``serve-tls``.
    """
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise ConfigError(
            "serve.tls_certificate and serve.tls_key must both be set.",
            hint="Set both, or none.",
            code="serve-tls",
        )
    if not options.address.is_local and options.tls_certificate is None and not behind_proxy:
        raise ConfigError(
            "serve.listen is not a loopback address, and TLS is not configured.",
            hint="Set serve.tls_certificate and serve.tls_key, or serve.behind_proxy if a proxy does TLS.",
            code="serve-exposed",
        )
    if accept_dcc_client and (behind_proxy or not options.address.is_local):
        raise ConfigError(
            "serve.accept_boxed_key is allowed only on a loopback address and without serve.behind_proxy:"
            " the key is public.",
            hint="Delete serve.accept_boxed_key, and send a key of `smki-sync serve --new-key` in a header.",
            code="serve-exposed",
        )


def check_installed() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        ConfigError: ``serve-not-installed``.
    """
    missing = [name for name in ("uvicorn", "h11") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"`smki-sync serve` needs packages that are not installed: {', '.join(missing)}.",
            hint='Run `pip install "smki-sync[serve]"`.',
            code="serve-not-installed",
        )


def serve(
    service: WebService, reader: MirrorReader, options: ServerOptions, *, started: Callable[[str], None]
) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Args:
        service: The application.
        reader: Its mirror; closed at the end.
        options: How to listen.
        started: Called with the address when connections are accepted.

    Raises:
        ResourceError: ``serve-address``. The address cannot be used.
        ConfigError: ``serve-tls``. The certificate or its key cannot be used.
    """
    _raise_descriptor_limit()
    with _listening_socket(options.address) as listener:
        server = _server(service, options)
        started(_url_of(options, listener))
        try:
            with suppress(KeyboardInterrupt):  # uvicorn raises the signal again when it has stopped
                asyncio.run(_run(server, listener, reader))
        finally:
            reader.close()
            if options.address.unix:
                Path(options.address.unix).unlink(missing_ok=True)


async def _run(server: "uvicorn.Server", listener: socket.socket, reader: MirrorReader) -> None:
    refreshing = asyncio.create_task(_refresh(reader))
    try:
        await server.serve(sockets=[listener])
    finally:
        refreshing.cancel()
        with suppress(asyncio.CancelledError):
            await refreshing


async def _refresh(reader: MirrorReader) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        reader.refresh()


def _server(service: WebService, options: ServerOptions) -> "uvicorn.Server":
    import uvicorn  # noqa: PLC0415 - an optional package

    config = uvicorn.Config(
        service,
        http=_protocol(),
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,  # a query may contain a key
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )
    try:
        config.load()
    except OSError as exc:  # ssl.SSLError is a subclass
        raise ConfigError(
            f"serve.tls_certificate and serve.tls_key cannot be used: {exc.strerror or exc}.",
            hint="Both files must be PEM, belong together, and be readable by this user.",
            code="serve-tls",
        ) from exc
    return uvicorn.Server(config)


def _protocol() -> Any:  # noqa: ANN401 - the base class is an optional package
    """Return the HTTP protocol of uvicorn with a time limit for headers and a limit on idle connections."""
    import h11  # noqa: PLC0415 - an optional package
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415

    waiting: dict[asyncio.Transport, None] = {}

    class LimitedProtocol(H11Protocol):
        """``waiting``: connections without a complete request, oldest first."""

        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_waiting()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            super().handle_events()
            if self.conn.their_state is not h11.IDLE:
                self.stop_waiting()

        def on_response_complete(self) -> None:
            self.wait()
            super().on_response_complete()

        def wait(self) -> None:
            self.stop_waiting()
            waiting[self.transport] = None
            self.deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)
            if len(waiting) > MAX_WAITING:
                oldest = next(iter(waiting))
                del waiting[oldest]
                oldest.abort()

        def stop_waiting(self) -> None:
            waiting.pop(self.transport, None)
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None

    return LimitedProtocol


def _listening_socket(address: ListenAddress) -> socket.socket:
    try:
        if address.unix:
            return _unix_socket(address.unix)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise ResourceError(
            f"Cannot listen on {address.unix or f'{address.host}:{address.port}'}: {exc.strerror}.",
            hint="Choose another address in serve.listen, or stop the program that uses it.",
            code="serve-address",
        ) from exc


def _unix_socket(path: str) -> socket.socket:
    """Return a Unix socket. One that no program listens on is replaced."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _url_of(options: ServerOptions, listener: socket.socket) -> str:
    if options.address.unix:
        return f"unix:{options.address.unix}"
    host, port = listener.getsockname()[:2]
    scheme = "https" if options.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def _raise_descriptor_limit() -> None:
    """Allow enough file descriptors for waiting connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
