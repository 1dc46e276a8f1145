"""Django's ASGI handler without what a hot path cannot afford.

Measured on one core, the stock handler costs five times as much: it hops to threads for signal
receivers and middleware. Here are neither. Paths resolve in a table, bodies are read up to a
limit, and every answer carries its request id.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final, NamedTuple, override
from uuid import UUID

from asgiref.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPScope,
    LifespanScope,
    Scope,
)
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from uuid_utils.compat import uuid7

from inference.gateway.errors import (
    OPENAI,
    BodyBroken,
    BodyTooLarge,
    InvalidHost,
    RequestTimeout,
    Surface,
    UnsupportedEncoding,
    UnsupportedTransfer,
)
from inference.gateway.gateway import Gateway
from inference.gateway.metrics import answered
from inference.snapshot import KeyEntry
from tenants.peers import peer_of

type Headers = list[tuple[bytes, bytes]]

PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Max-Age": "86400",
}
TINY_CHUNKS: Final = 1000
TINY_CHUNK_BYTES: Final = 16
"""Each chunk takes the server about as long as a whole request: no more smaller ones than that."""
_EXPOSED: Final = (
    b"x-request-id, request-id, x-sluice-region, x-sluice-fallback, x-sluice-cost, retry-after"
    b", deprecation, sunset, x-ratelimit-limit-requests, x-ratelimit-remaining-requests"
    b", x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens"
    b", x-ratelimit-reset-tokens"
)
_EVERYONE: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED),
)

_HOST: Final = re.compile(r"(?:[\w.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::\d{0,5})?", re.ASCII)
_PLAIN: Final = frozenset({"", "identity"})
_LARGE_BYTES: Final = 2**19


class GatewayRequest(HttpRequest):
    """A request read lazily: most of Django's view of it is never asked for."""

    def __init__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, gateway: Gateway, target: Target
    ) -> None:
        self.scope, self.receive, self.gateway = scope, receive, gateway
        self.id: UUID = uuid7()
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.auth: KeyEntry | None = None
        self.data = b""
        self.surface = target.surface
        self.limit_bytes: int = getattr(settings, target.limit)
        self.is_broken = False

    @override
    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]
        return {"REQUEST_METHOD": self.method, "PATH_INFO": self.path}

    @cached_property
    def _values(self) -> dict[bytes, list[str]]:
        """The values of each header by its name in lower case; read once, for many ask."""
        values = dict[bytes, list[str]]()
        for name, value in self.scope["headers"]:
            values.setdefault(name, []).append(value.decode("latin-1"))
        return values

    def header_values(self, name: bytes) -> Sequence[str]:
        """All values of the header `name`, given in lower case."""
        return self._values.get(name, ())

    def header(self, name: bytes) -> str:
        values = self.header_values(name)
        return values[0] if values else ""

    @property
    def peer(self) -> str:
        """The address of the client, behind TRUSTED_PROXIES; empty where there is none."""
        client = self.scope["client"]
        forwarded = self.header_values(b"x-forwarded-for")
        return peer_of(client[0] if client else "", forwarded, settings.TRUSTED_PROXIES)

    def head_check(self) -> None:
        """What the headers say of the host and the body.

        Raises InvalidHost, BodyTooLarge, UnsupportedEncoding, UnsupportedTransfer.
        """
        if not self._has_host:
            raise InvalidHost
        if self._length is not None and self._length > self.limit_bytes:
            raise BodyTooLarge.over(self.limit_bytes)
        if not {v.lower() for v in self.header_values(b"content-encoding")} <= _PLAIN:
            raise UnsupportedEncoding
        if self.header(b"transfer-encoding").lower() not in {"", "chunked"}:
            raise UnsupportedTransfer

    @cached_property
    def _length(self) -> int | None:
        """Of the body, in bytes, as far as the headers say; chunks say it themselves."""
        length = self.header(b"content-length")
        is_known = length.isdecimal() and not self.header_values(b"transfer-encoding")
        return int(length) if is_known else None

    @property
    def _has_host(self) -> bool:
        """One host, well formed; before HTTP/1.1 it may be missing."""
        hosts = self.header_values(b"host")
        if len(hosts) != 1:
            return False
        return bool(_HOST.fullmatch(hosts[0])) or (
            not hosts[0] and self.scope["http_version"] < "1.1"
        )

    @property
    def is_large(self) -> bool:
        """Whether the body may be so large that only those with a key may send it."""
        usual = settings.GATEWAY_MAX_BODY_BYTES
        return self.limit_bytes > usual and (self._length is None or self._length > usual)

    async def work[T](self, function: Callable[[], T]) -> T:
        """What `function`, which goes over the body, returns; one so large holds up no stream."""
        return await asyncio.to_thread(function) if len(self.data) > _LARGE_BYTES else function()

    async def body_read(self) -> None:
        """Read the whole body into `data`. Raises BodyTooLarge, RequestTimeout, BodyBroken."""
        try:
            async with asyncio.timeout(settings.GATEWAY_BODY_TIMEOUT_S):
                self.data = await self._parts_read(self.limit_bytes)
        except TimeoutError:
            raise RequestTimeout from None

    async def _parts_read(self, limit: int) -> bytes:
        """Added up at once: a list of the chunks would outgrow a body that comes byte by byte.

        What is as long as it was said to be has ended: to hear the server say so, too, would take
        as long as to read it.
        """
        data, more, chunks = bytearray(), True, 0
        while more:
            event = await self.receive()
            if event["type"] != "http.request":
                raise BodyBroken
            data += event["body"]
            more, chunks = event["more_body"] and len(data) != self._length, chunks + 1
            if len(data) > limit:
                raise BodyTooLarge.over(limit)
            if chunks > TINY_CHUNKS + len(data) // TINY_CHUNK_BYTES:
                raise BodyBroken("The body comes in too many tiny chunks. Send larger ones.")
        return bytes(data)


class Relayed(HttpResponseBase):
    """An answer of an engine, which sends itself, with headers of our own words.

    Django's would copy each, check it and look after cookies: a twentieth of a request.
    """

    def __init__(self, content_type: str, headers: Mapping[str, str]) -> None:
        self.headers = {"content-type": content_type, **headers}  # type: ignore[assignment]

    async def deliver(self, send: ASGISendCallable, headers: Headers) -> None:
        raise NotImplementedError


class Whole(Relayed):
    """All of it in one piece."""

    def __init__(self, data: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(content_type, headers)
        self._data = data

    @override
    async def deliver(self, send: ASGISendCallable, headers: Headers) -> None:
        await _send_whole(send, self.status_code, headers, self._data)


class Target(NamedTuple):
    """Where a path leads; `name` stands in metrics instead of the path.

    `limit` names the setting with the most bytes of a body.
    """

    name: str
    view: Callable[..., Awaitable[HttpResponseBase]]
    kwargs: Mapping[str, str] = MappingProxyType({})
    surface: Surface = OPENAI
    limit: str = "GATEWAY_MAX_BODY_BYTES"


class GatewayHandler(ASGIHandler):
    """Serves the paths that `resolve` knows, for as long as the server lives."""

    def __init__(self, gateway: Gateway, resolve: Callable[[str], Target]) -> None:
        self.gateway, self.resolve = gateway, resolve

    @override
    async def __call__(  # type: ignore[override]  # ASGI's own types say more
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        match scope["type"]:
            case "http":
                await self.handle(scope, receive, send)
            case "lifespan":
                await self._live(scope, receive, send)

    @override
    async def handle(  # type: ignore[override]  # ASGI's own types say more
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        started, target = perf_counter(), self.resolve(scope["path"])
        request = GatewayRequest(scope, receive, self.gateway, target)
        response = await self._answer(request, target)
        await self._send(request, response, send)
        self._count(request, target.name, response.status_code, perf_counter() - started)

    async def _answer(self, request: GatewayRequest, target: Target) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers=PREFLIGHT)
        return await target.view(request, **target.kwargs)

    async def _send(
        self, request: GatewayRequest, response: HttpResponseBase, send: ASGISendCallable
    ) -> None:
        request_id = str(request.id).encode()
        headers = [(b"x-request-id", request_id), *_cors(request)]
        headers += [(name, request_id) for name in request.surface.id_headers]
        headers += [(k.lower().encode(), v.encode("latin-1")) for k, v in response.items()]
        if self.gateway.drain.is_on:
            headers.append((b"connection", b"close"))
        if isinstance(response, Relayed):
            await response.deliver(send, headers)
        elif isinstance(response, HttpResponse):
            has_body = request.method != "HEAD"
            status, body = response.status_code, response.content
            await _send_whole(send, status, headers, body, has_body=has_body)

    def _count(self, request: GatewayRequest, name: str, status: int, duration_s: float) -> None:
        answered(name, status, duration_s)
        if request.auth is not None:
            self.gateway.figures.answered(status, is_broken=request.is_broken)

    async def _live(
        self, scope: LifespanScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await self._start(send)
            elif event["type"] == "lifespan.shutdown":
                await self.gateway.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start(self, send: ASGISendCallable) -> None:
        """A server that is not told of a failure goes on, and each request fails then."""
        try:
            await self.gateway.start()
        except BaseException as error:
            await send({"type": "lifespan.startup.failed", "message": repr(error)})
            raise
        await send({"type": "lifespan.startup.complete"})


def _cors(request: GatewayRequest) -> Iterable[tuple[bytes, bytes]]:
    """Who may read the answer in a browser: everyone, unless origins are named."""
    if settings.GATEWAY_CORS_ORIGINS == ["*"]:
        return _EVERYONE
    origin = request.header(b"origin")
    allowed = (
        ((b"access-control-allow-origin", origin.encode("latin-1")), _EVERYONE[1])
        if origin in settings.GATEWAY_CORS_ORIGINS
        else ()
    )
    return (*allowed, (b"vary", b"origin"))


async def _send_whole(
    send: ASGISendCallable, status: int, headers: Headers, body: bytes, *, has_body: bool = True
) -> None:
    if status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    await send(
        {"type": "http.response.start", "status": status, "headers": headers, "trailers": False}
    )
    shown = body if has_body else b""
    await send({"type": "http.response.body", "body": shown, "more_body": False})
