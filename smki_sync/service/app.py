"""The ASGI application: routes, limits, keys and answers."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qs

from smki_sync.errors import MirrorError
from smki_sync.export.formats import fields_of
from smki_sync.mirror.queries import Certificate, EuiIs, SerialIs, Stamp
from smki_sync.model.certificate import parse_eui, parse_serial
from smki_sync.service.keys import KeyFile
from smki_sync.service.mirror_reader import MirrorReader, days_behind
from smki_sync.service.xml_messages import parse_retrieve, parse_search, retrieve_answer, search_answer
from smki_sync.usability import UnusableReason

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES: Final = 8192
"""Largest body of a request, in bytes. A request of the DCC's client has about 200."""
MAX_HEADER_BYTES: Final = 8192
"""Largest headers, in bytes. h11 limits only headers that arrive in parts, so this service checks again."""
MAX_QUERY_BYTES: Final = 1024
"""Longest query string, in bytes."""
BODY_SECONDS: Final = 10.0
"""Time limit for the body of a request, in seconds."""

_WITHOUT_KEY: Final = ("healthz", "readyz")
_XML: Final = "application/xml"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_SAFE_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What an operator decides.

    Args:
        prefix: Path before the routes; starts and ends with ``/``.
        answer_when_behind_days: Days behind from which certificates are not answered; 0 = always answer.
        rate: Requests per second and key.
    """

    prefix: str = "/"
    answer_when_behind_days: int = 8
    rate: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Status, body and headers of an answer."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


class _Refused(Exception):
    """Ends a request with a response."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = Response(
            status=status, body=f"{reason}\n".encode(), content_type=_TEXT, headers=named
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    query: Mapping[str, list[str]]
    headers: Mapping[bytes, bytes]
    body: bytes = b""


class RateLimit:
    """Token buckets: ``rate`` requests per second and name, with a burst of one second."""

    def __init__(self, rate: int, clock: Callable[[], float] = monotonic) -> None:
        """Start with full buckets."""
        self._rate, self._clock = rate, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, name: str) -> bool:
        """Whether one more request is within the limit; counts it if it is."""
        now = self._clock()
        tokens, since = self._buckets.get(name, (float(self._rate), now))
        tokens = min(float(self._rate), tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        self._buckets[name] = (tokens - allowed, now)
        return allowed


class WebService:
    """An ASGI application on one mirror. Lookups run in the event loop: each takes far below 1 ms."""

    def __init__(
        self, reader: MirrorReader, keys: KeyFile, options: ServiceOptions, now: Callable[[], datetime]
    ) -> None:
        """Keep the parts. ``now``: returns the time, UTC."""
        self._reader, self._keys, self._options, self._now = reader, keys, options, now
        self._limit = RateLimit(options.rate)
        self._answered: Counter[tuple[str, int]] = Counter()
        self._routes: dict[str, tuple[str, Callable[[_Request], Response]]] = {
            "services/certificatesearch": ("POST", self._search),
            "services/retrievecertificate": ("POST", self._retrieve),
            "api/v1/certificates": ("GET", self._certificates),
            "api/v1/mirror": ("GET", self._mirror),
            "healthz": ("GET", self._health),
            "readyz": ("GET", self._ready),
            "metrics": ("GET", self._metrics),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"no support for {scope['type']}")  # uvicorn runs with lifespan and ws off
        route = scope["path"].removeprefix(self._options.prefix)
        known = scope["path"].startswith(self._options.prefix) and route in self._routes
        try:
            response = await self._respond(route if known else None, scope, receive)
        except _Refused as refused:
            response = refused.response
        self._answered[route if known else "other", response.status] += 1
        await _send(response, send)

    async def _respond(self, route: str | None, scope: Scope, receive: Receive) -> Response:
        if route is None:
            raise _Refused(404, "There is no such path.")
        _check_head(scope)
        method, handle = self._routes[route]
        if scope["method"] != method:
            raise _Refused(405, f"Use {method}.", allow=method)
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            raise _Refused(414, "The query is too long.")
        query = parse_qs(scope["query_string"].decode("latin-1"))
        request = _Request(query=query, headers=dict(scope["headers"]))
        if route not in _WITHOUT_KEY:
            self._check_key(request)
        return handle(replace(request, body=await _read_body(receive)) if method == "POST" else request)

    def _check_key(self, request: _Request) -> None:
        name = self._keys.name_of(_key_in(request))
        if name is None:
            raise _Refused(403, "The key is missing or not valid.")
        if not self._limit.allows(name):
            raise _Refused(503, "Too many requests with this key.", retry_after="1")

    def _search(self, request: _Request) -> Response:
        identity = _parsed(parse_search, request.body)
        stamp, found = self._find(identity)
        if not found:
            raise _Refused(402, "The mirror has no such certificate.", **_headers_of(stamp))
        return _ok(search_answer(found), _XML, stamp)

    def _retrieve(self, request: _Request) -> Response:
        identity = _parsed(parse_retrieve, request.body)
        stamp, found = self._find(identity)
        if not found:
            raise _Refused(402, "The mirror has no such certificate.", **_headers_of(stamp))
        return _ok(retrieve_answer(found[0]), _XML, stamp)

    def _find(self, identity: EuiIs | SerialIs) -> tuple[Stamp, list[Certificate]]:
        """Return what the Repository would list: all but withdrawn certificates, usable first."""
        stamp, found = self._find_all(identity)
        listed = [c for c in found if c.withdrawn is None]
        if any(c.unusable is UnusableReason.REVOCATION_UNKNOWN for c in listed):
            raise _Refused(
                503,
                "No revocation list in force tells whether the certificate is revoked.",
                **_headers_of(stamp),
            )
        return stamp, listed

    def _find_all(self, identity: EuiIs | SerialIs) -> tuple[Stamp, list[Certificate]]:
        now = self._now()
        try:
            stamp, found = self._reader.find(identity, now)
        except MirrorError as error:
            raise _unavailable(error) from error
        self._check_age(stamp, now)
        return stamp, found

    def _check_age(self, stamp: Stamp, now: datetime) -> None:
        limit, days = self._options.answer_when_behind_days, days_behind(stamp.position, now)
        if limit and days > limit:
            raise _Refused(
                503, f"The mirror is {days} days behind; the limit is {limit}.", **_headers_of(stamp)
            )

    def _certificates(self, request: _Request) -> Response:
        identity = _identity_in(request.query)
        stamp, found = self._find_all(identity)
        try:
            certificates = [fields_of(c) for c in found]
        except MirrorError as error:
            raise _unavailable(error) from error
        document = {
            "schema": "smki-sync/show/1",
            "position": stamp.position.isoformat(),
            "token": stamp.token,
            "certificates": certificates,
        }
        return _ok(_json(document), _JSON, stamp, status=200 if found else 404)

    def _mirror(self, _request: _Request) -> Response:
        stamp = self._stamp()
        document = {
            "schema": "smki-sync/mirror/1",
            "position": stamp.position.isoformat(),
            "days_behind": days_behind(stamp.position, self._now()),
            "digest": stamp.digest,
            "token": stamp.token,
        }
        return _ok(_json(document), _JSON, stamp)

    def _health(self, _request: _Request) -> Response:
        return Response(status=200, body=b"ok\n", content_type=_TEXT)

    def _ready(self, _request: _Request) -> Response:
        stamp = self._stamp()
        self._check_age(stamp, self._now())
        return _ok(b"ready\n", _TEXT, stamp)

    def _metrics(self, _request: _Request) -> Response:
        name = "smki_sync_serve_requests_total"
        lines = [f"# HELP {name} Answers by route and status.", f"# TYPE {name} counter"]
        lines += [
            f'{name}{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self._answered.items())
        ]
        return Response(
            status=200,
            body="\n".join([*lines, ""]).encode(),
            content_type="text/plain; version=0.0.4; charset=utf-8",
        )

    def _stamp(self) -> Stamp:
        try:
            return self._reader.stamp()
        except MirrorError as error:
            raise _unavailable(error) from error


def _check_head(scope: Scope) -> None:
    """Refuse large headers, unknown versions of HTTP, and two lengths, which a proxy may read differently."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise _Refused(431, f"The headers are longer than {MAX_HEADER_BYTES} bytes.", connection="close")
    if scope["http_version"] not in ("1.0", "1.1"):
        raise _Refused(505, "Use HTTP/1.1.", connection="close")
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
        raise _Refused(400, "The request has two lengths.", connection="close")


def _unavailable(error: MirrorError) -> _Refused:
    """Return the answer without a mirror. The code is stable; paths of the machine are not sent."""
    return _Refused(503, f"The mirror cannot be read: {error.reason}.", retry_after="60")


def _key_in(request: _Request) -> str | None:
    """Return the key of a request: from ``Authorization``, ``X-API-Key`` or ``apikey`` in the query."""
    authorization = request.headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    header = request.headers.get(b"x-api-key")
    if header is not None:
        return header.decode("latin-1")
    given = request.query.get("apikey", [])
    return given[0] if len(given) == 1 else None


def _parsed(parse: Callable[[bytes], EuiIs | SerialIs], body: bytes) -> EuiIs | SerialIs:
    try:
        return parse(body)
    except ValueError as exc:
        raise _Refused(401, f"Invalid request: {exc}.") from exc


def _identity_in(query: Mapping[str, list[str]]) -> EuiIs | SerialIs:
    """Return the one identity that a query names."""
    given = [(name, text) for name, texts in query.items() if name != "apikey" for text in texts]
    try:
        match given:
            case [("eui", text)]:
                return EuiIs(eui=parse_eui(text))
            case [("serial", text)]:
                return SerialIs(serials=(parse_serial(text),))
            case _:
                raise _Refused(400, "Give exactly one of: eui, serial.")
    except ValueError as exc:
        raise _Refused(400, f"Invalid query: {exc}.") from exc


async def _read_body(receive: Receive) -> bytes:
    """Return the body of a request within the limits of size and time."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Refused(400, "The request is not complete.")
                body += bytes(message.get("body", b""))
                if len(body) > MAX_BODY_BYTES:
                    raise _Refused(
                        413, f"The body is longer than {MAX_BODY_BYTES} bytes.", connection="close"
                    )
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        raise _Refused(408, "The body did not arrive in time.", connection="close") from None


def _headers_of(stamp: Stamp) -> dict[str, str]:
    return {"SMKI_Position": stamp.position.isoformat()}


def _ok(body: bytes, content_type: str, stamp: Stamp, *, status: int = 200) -> Response:
    headers = {"smki-position": stamp.position.isoformat(), "smki-token": stamp.token}
    return Response(status=status, body=body, content_type=content_type, headers=headers)


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=True).encode() + b"\n"


async def _send(response: Response, send: Send) -> None:
    headers = [
        (b"content-type", response.content_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
        *_SAFE_HEADERS,
        *((name.lower().encode(), value.encode("latin-1")) for name, value in response.headers.items()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
