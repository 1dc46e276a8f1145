"""Streams held open at an engine's pace, and what they cost the proxy; wrk cannot do that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Final, cast, override
from urllib.parse import urlsplit

from tests.bench import engine, procs
from tests.bench.servers import BenchError, Proxy
from tests.bench.wrk import QUESTION, STREAMED

STREAMS: Final = 400
WINDOW_S: Final = 3.0
WINDOWS: Final = 3
START_TIMEOUT_S: Final = 30
AT_ONCE: Final = 50
"""400 and 800 are multiples of it."""
LOST_TOKENS: Final = 0.05
"""A run in which more than this share of the paced tokens does not arrive is no measurement."""
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_END: Final = b"data: [DONE]\n\n" + _LAST_CHUNK


class Stream(asyncio.Protocol):
    """Asks for a paced stream, again whenever one has ended, and counts its events.

    `fault` says what was wrong with it, once it is.
    """

    def __init__(self, request: bytes) -> None:
        self._request, self._tail = request, b""
        self._loop = asyncio.get_running_loop()
        self._is_closing = False
        self.events = self.answers = 0
        self.fault = ""
        self.started = self._loop.create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        if not self._tail:
            self._begin(data)
        self.events += data.count(b"data: ")
        self._tail = (self._tail + data)[-len(_END) :]
        if self._tail.endswith(_LAST_CHUNK):
            self._end()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closing:
            self.fault = self.fault or "was cut"
        self._say_started()

    def close(self) -> None:
        self._is_closing = True
        self._transport.close()

    def _begin(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200"):
            self.fault = f"was refused: {data[:300].decode(errors='replace')}"
        self._say_started()

    def _end(self) -> None:
        """Only a fault ends without the event that ends all streams."""
        if self._tail != _END:
            self.fault = self.fault or "ended without [DONE]"
        self.answers, self._tail = self.answers + 1, b""
        self._transport.write(self._request)

    def _say_started(self) -> None:
        if not self.started.done():
            self.started.set_result(None)


@asynccontextmanager
async def streams_open(proxy: Proxy, count: int) -> AsyncIterator[Sequence[Stream]]:
    """`count` paced streams that have all begun. BenchError when some have not in 30 s."""
    streams: list[Stream] = []
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while len(streams) < count:
                await _begin(proxy, streams)
        yield streams
    except (TimeoutError, OSError):
        begun = sum(stream.events > 0 for stream in streams)
        raise BenchError(f"{begun} of {count} paced streams began.") from None
    finally:
        for stream in streams:
            stream.close()


async def _begin(proxy: Proxy, streams: list[Stream]) -> None:
    """Some more, once those before have begun."""
    for _ in range(AT_ONCE):
        streams.append(await _open(proxy))  # noqa: PERF401 - all are closed, come what may
    await asyncio.gather(*(stream.started for stream in streams))


async def _open(proxy: Proxy) -> Stream:
    where = urlsplit(proxy.url)
    request = _request(proxy.api_key, where.netloc, where.path)
    host, _, port = where.netloc.partition(":")
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: Stream(request), host, int(port))
    return stream


def _request(api_key: str, host: str, path: str) -> bytes:
    question = {"messages": [{"role": "user", "content": engine.PACED}], "max_tokens": 4096}
    body = json.dumps(QUESTION | STREAMED | question, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def paced(proxy: Proxy) -> tuple[float, float]:
    """CPU seconds per 10 s and kB per stream of `proxy` with 400 streams of 40 tokens/s open."""
    before_kb = procs.memory_kb(proxy.pid)
    async with streams_open(proxy, STREAMS) as streams:
        await asyncio.sleep(1)
        cpu_s = [await _window(proxy, streams) for _ in range(WINDOWS)]
        grown_kb = procs.memory_kb(proxy.pid) - before_kb
    return median(cpu_s), grown_kb / STREAMS


async def _window(proxy: Proxy, streams: Sequence[Stream]) -> float:
    """CPU seconds per 10 s over one window; BenchError when the tokens do not keep pace."""
    loop = asyncio.get_running_loop()
    start, cpu_s, events = loop.time(), procs.cpu_s(proxy.pid), events_of(streams)
    await asyncio.sleep(WINDOW_S)
    took_s = loop.time() - start
    if fault := next((stream.fault for stream in streams if stream.fault), ""):
        raise BenchError(f"a paced stream {fault}.")
    expected = STREAMS * took_s / engine.STEP_S
    if (got := events_of(streams) - events) < expected * (1 - LOST_TOKENS):
        raise BenchError(f"{got:,} paced tokens came, {expected:,.0f} were due.")
    return (procs.cpu_s(proxy.pid) - cpu_s) * 10 / took_s


def events_of(streams: Sequence[Stream]) -> int:
    return sum(stream.events for stream in streams)
