"""How each figure is taken: wrk for load, our own client for 400 streams held open."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, cast, override
from urllib.parse import urlsplit

import msgspec
import uvloop

from tests.bench import engine, procs
from tests.bench.servers import PROXY_CORE, BenchError, Proxy

SCRIPT: Final = Path(__file__).parent / "load.lua"
CLIENTS: Final = 32
RUNS: Final = 3
STREAMS: Final = 400
SHORTEST_PAUSE_MS: Final = 10
WINDOW_S: Final = 3.0
OTHERS_SHARE: Final = 0.03
LOST_TOKENS: Final = 0.05
"""A run in which more than this share of the paced tokens does not arrive is no measurement."""

QUESTION: Final = {
    "model": engine.MODEL,
    "messages": [
        {"role": "system", "content": "You answer in one short sentence."},
        {"role": "user", "content": "Which river runs through Stockholm?"},
    ],
    "max_tokens": engine.TOKENS,
}
STREAMED: Final = {"stream": True, "stream_options": {"include_usage": True}}


class Run(msgspec.Struct, frozen=True):
    """What load.lua prints at the end of a run of wrk."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    wrong: int

    @property
    def rate(self) -> float:
        return self.requests / self.duration_s


@dataclass(frozen=True)
class Figures:
    """The figures of one proxy; `answered` is how many whole answers the clients counted."""

    nonstream_rps: float
    p50_ms: float
    p99_ms_half_load: float
    streams_per_s: float
    paced_cpu_s: float
    kb_per_stream: float
    answered: int


class Meter:
    """Takes the figures of one proxy and counts the answers."""

    def __init__(self, proxy: Proxy, say: Callable[[str], None]) -> None:
        self._proxy, self._say = proxy, say
        self._answered = 0

    def measure(self) -> Figures:
        """About 45 s; says so when other processes took part of the proxy's core."""
        start_s, others_s = time.monotonic(), self._others_s()
        figures = self._measure()
        share = (self._others_s() - others_s) / (time.monotonic() - start_s)
        if share > OTHERS_SHARE:
            self._say(f"{self._proxy.name}: other processes took {share:.0%} of its core")
        return figures

    def _others_s(self) -> float:
        return procs.core_cpu_s(PROXY_CORE) - procs.cpu_s(self._proxy.pid)

    def _measure(self) -> Figures:
        """Memory comes first: later the process lives on what it freed."""
        self._say(f"{self._proxy.name}: {STREAMS} paced streams")
        self._load(connections=4, seconds=1)
        cpu_s, kb = uvloop.run(paced(self._proxy))
        self._answered += STREAMS
        self._say(f"{self._proxy.name}: requests")
        rate = self._median(lambda run: run.rate, connections=CLIENTS, seconds=2)
        p50_ms = self._median(lambda run: run.p50_ms, connections=1, seconds=1)
        p99_ms = self._half_load(rate, p50_ms)
        self._say(f"{self._proxy.name}: streams")
        streams = self._median(lambda run: run.rate, connections=CLIENTS, seconds=3, streamed=True)
        return Figures(rate, p50_ms, p99_ms, streams, cpu_s, kb, self._answered)

    def _half_load(self, rate: float, p50_ms: float) -> float:
        """p99 at half of `rate`, on as many connections as make the pauses long enough for wrk."""
        connections = max(CLIENTS, int(rate / 2 * SHORTEST_PAUSE_MS / 1000))
        pause_ms = connections / (rate / 2) * 1000 - p50_ms
        return self._median(
            lambda run: run.p99_ms, connections=connections, seconds=3, pause_ms=pause_ms
        )

    def _median(
        self,
        figure: Callable[[Run], float],
        *,
        connections: int,
        seconds: int,
        streamed: bool = False,
        pause_ms: float = 0,
    ) -> float:
        """The median of three runs after a short one to warm up."""

        def run(run_s: int) -> float:
            return figure(
                self._load(
                    connections=connections, seconds=run_s, streamed=streamed, pause_ms=pause_ms
                )
            )

        run(1)
        return median(run(seconds) for _ in range(RUNS))

    def _load(
        self, *, connections: int, seconds: int, streamed: bool = False, pause_ms: float = 0
    ) -> Run:
        body = json.dumps(QUESTION | STREAMED if streamed else QUESTION, separators=(",", ":"))
        events = str(engine.EVENTS if streamed else 0)
        options = [f"-c{connections}", f"-d{seconds}s", "-t1", "--timeout", "10s"]
        arguments = [self._proxy.api_key, body, events, f"{pause_ms:.3f}"]
        command = ["wrk", *options, "-s", str(SCRIPT), self._proxy.url, "--", *arguments]
        got = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if got.returncode:
            raise BenchError(f"wrk failed: {got.stderr or got.stdout}")
        return self._checked(msgspec.json.decode(got.stdout.splitlines()[-1], type=Run))

    def _checked(self, run: Run) -> Run:
        if run.errors or run.wrong or not run.requests:
            fault = f"{run.requests} answers, {run.wrong} of them wrong or not 200"
            raise BenchError(f"{self._proxy.name}: {fault}; {run.errors} connection errors.")
        self._answered += run.requests
        return run


class Stream(asyncio.Protocol):
    """One open stream; counts its events."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.events = 0
        self.is_refused = self.is_lost = False
        self.started = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        if not self.started.done():
            self.is_refused = not data.startswith(b"HTTP/1.1 200")
            self.started.set_result(None)
        self.events += data.count(b"data: ")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if not self.started.done():
            self.started.set_result(None)


async def paced(proxy: Proxy) -> tuple[float, float]:
    """CPU seconds per 10 s and kB per stream of `proxy` with 400 streams of 40 tokens/s open."""
    before_kb = procs.memory_kb(proxy.pid)
    streams = [await _open(proxy) for _ in range(STREAMS)]
    try:
        await asyncio.wait_for(asyncio.gather(*(stream.started for stream in streams)), 30)
        await asyncio.sleep(1)
        cpu_s = [await _window(proxy, streams) for _ in range(RUNS)]
        grown_kb = procs.memory_kb(proxy.pid) - before_kb
    finally:
        for stream in streams:
            stream.transport.close()
    return median(cpu_s), grown_kb / STREAMS


async def _open(proxy: Proxy) -> Stream:
    where = urlsplit(proxy.url)
    request = _paced_request(proxy.api_key, where.netloc, where.path)
    loop = asyncio.get_running_loop()
    host, port = where.netloc.split(":")
    _, stream = await loop.create_connection(lambda: Stream(request), host, int(port))
    return stream


def _paced_request(api_key: str, host: str, path: str) -> bytes:
    question = {"messages": [{"role": "user", "content": engine.PACED}], "max_tokens": 4096}
    body = json.dumps(QUESTION | STREAMED | question, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _window(proxy: Proxy, streams: list[Stream]) -> float:
    """CPU seconds per 10 s over one window; BenchError when the tokens do not keep pace."""
    loop = asyncio.get_running_loop()
    start, cpu_s, events = loop.time(), procs.cpu_s(proxy.pid), _events(streams)
    await asyncio.sleep(WINDOW_S)
    took_s = loop.time() - start
    expected = STREAMS * took_s / engine.STEP_S
    if any(stream.is_refused or stream.is_lost for stream in streams):
        raise BenchError(f"{proxy.name}: a paced stream was refused or cut.")
    if (got := _events(streams) - events) < expected * (1 - LOST_TOKENS):
        raise BenchError(f"{proxy.name}: {got} paced tokens came, {expected:.0f} were due.")
    return (procs.cpu_s(proxy.pid) - cpu_s) * 10 / took_s


def _events(streams: list[Stream]) -> int:
    return sum(stream.events for stream in streams)
