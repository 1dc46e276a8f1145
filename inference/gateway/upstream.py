"""Calls of the engines, over pooled connections."""

from __future__ import annotations

import asyncio
import errno
from functools import cache
from typing import Final

import aiohttp
import structlog
from django.conf import settings
from yarl import URL

from inference.gateway.endpoint import Question
from inference.gateway.metrics import UPSTREAM_FAILURES
from inference.snapshot import Route

KEEP_ALIVE_S: Final = 3.0
"""Less than the 5 s of vLLM's server, so that a call never meets a connection about to close."""
END_TIMEOUT_S: Final = 1.0
READ_BUFFER_BYTES: Final = 2**18

log = structlog.get_logger()


class Unreachable(Exception):  # noqa: N818
    """The backend gave no answer, or broke off in the middle of one."""


class Reply:
    """An answer of an engine whose body is still to be read."""

    __slots__ = ("_response", "_route", "status")

    def __init__(self, response: aiohttp.ClientResponse, route: Route) -> None:
        self._response, self._route, self.status = response, route, response.status

    async def read(self) -> bytes:
        """The whole body. Raises Unreachable."""
        try:
            return await self._response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(self._route, error) from None

    async def read_some(self) -> bytes:
        """What has arrived, at least one byte; nothing at the end. Raises Unreachable."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(self._route, error) from None

    async def finish(self) -> None:
        """Read the end of a body that said it is done, so that the connection can serve again."""
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                while not self._response.content.at_eof():
                    await self._response.content.readany()
            self._response.release()
        except (aiohttp.ClientError, OSError):
            self.close()

    def close(self) -> None:
        """Close the connection at once: the engine stops generating."""
        self._response.close()


class Upstream:
    """The connections of this process to all engines."""

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.GATEWAY_CONNECT_TIMEOUT_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
        )

    async def stop(self) -> None:
        await self._session.close()

    async def call(self, route: Route, question: Question, request_id: str) -> Reply:
        """Send `question` and wait for the status. Raises Unreachable."""
        headers = {"Content-Type": question.content_type, "X-Request-Id": request_id}
        if route.key:
            headers["Authorization"] = f"Bearer {route.key}"
        url, body = _url(route.base_url, question.path), question.data
        try:
            try:
                return Reply(await self._post(url, body, headers), route)
            except aiohttp.ClientConnectionError as error:
                if not _was_closed(error):
                    raise
                return Reply(await self._post(url, body, headers), route)
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(route, error) from None

    async def _post(self, url: URL, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        return await self._session.post(url, data=body, headers=headers, allow_redirects=False)


def _was_closed(error: aiohttp.ClientConnectionError) -> bool:
    """Whether the engine closed the connection before any answer.

    Engines close idle connections, and some after a number of calls, just as the next one leaves:
    that is no failure, and a new connection serves.
    """
    if isinstance(error, aiohttp.ClientOSError):
        return error.errno in {errno.ECONNRESET, errno.EPIPE}
    return isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionResetError))


@cache
def _url(base_url: str, path: str) -> URL:
    return URL(base_url + path)


def _failed(route: Route, error: Exception) -> Unreachable:
    kind = type(error).__name__
    UPSTREAM_FAILURES.labels(route.backend, kind).inc()
    log.warning("upstream.failed", backend=route.backend, kind=kind)
    return Unreachable(kind)
