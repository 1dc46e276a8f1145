"""Engines that say bytes, however wrong, and see what is asked and who leaves."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final
from uuid import uuid4

from inference.gateway.endpoint import Question
from inference.gateway.upstream import Timeouts
from inference.snapshot import Route

QUESTION: Final = Question("/v1/chat/completions", b"{}")
PATIENT: Final = Timeouts(connect_s=5, first_byte_s=5, idle_s=5)
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ANSWER: Final = HEAD + b"Content-Length: 2\r\n\r\n{}"
CHUNKED: Final = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SOON_S: Final = 5

type Script = Callable[[Caller], Awaitable[None]]


class Caller:
    """A connection, as the engine has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def head(self) -> bytes:
        """The lines before a body."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def asks(self) -> bytes:
        """The body of a request."""
        length = next(
            line.partition(b":")[2]
            for line in (await self.head()).split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        return await self._reader.readexactly(int(length))

    async def hears(self, *parts: bytes) -> None:
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()

    async def leaves(self) -> None:
        """Until it closes the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(2**16):
                pass


class Engine:
    """A server that treats each connection as `script` says, and closes it at its end.

    `callers` counts connections; `is_left` is set once one of them was closed from outside, or by
    the end of its script.
    """

    def __init__(self, script: Script) -> None:
        self.callers = 0
        self.is_left = asyncio.Event()
        self.route: Route
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._script(Caller(reader, writer))
        finally:
            self.is_left.set()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def left(self) -> None:
        async with asyncio.timeout(SOON_S):
            await self.is_left.wait()


@asynccontextmanager
async def serving(
    script: Script,
    *,
    host: str = "127.0.0.1",
    name: str = "",
    path: str = "",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Engine]:
    engine = Engine(script)
    server = await asyncio.start_server(engine.serve, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if tls else "http"
    engine.route = route_to(f"{scheme}://{name or host}:{port}{path}")
    async with server:
        yield engine


def route_to(base_url: str, key: str = "") -> Route:
    return Route(
        backend_id=uuid4(),
        backend="raw",
        base_url=base_url,
        engine="vllm",
        engine_model="m",
        region="r",
        weight=1,
        max_in_flight=256,
        key=key,
    )


def encrypted(route: Route) -> Route:
    return replace(route, base_url=route.base_url.replace("http:", "https:"))


def says(*parts: bytes) -> Script:
    """One answer in `parts`; then it waits for the caller to leave."""

    async def script(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(*parts)
        await caller.leaves()

    return script


def hangs_up(*parts: bytes) -> Script:
    """One answer in `parts`, and the connection is closed."""

    async def script(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(*parts)

    return script


def answers(*answers: bytes) -> Script:
    """An answer a request, as long as there are any; then the connection is closed."""

    async def script(caller: Caller) -> None:
        for answer in answers:
            await caller.asks()
            await caller.hears(answer)

    return script


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def soon(found: Callable[[], object]) -> None:
    """Until `found` is true; AssertionError past SOON_S."""
    for _ in range(100 * SOON_S):
        if found():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still {found()!r} after {SOON_S} s")
