"""Callers that leave: the engine hears of it at once, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from inference.gateway.upstream import Timeouts, Unreachable, Upstream
from inference.gateway.upstream.reply import MAX_UNREAD_BYTES
from tests.inference.gateway.upstream.engines import (
    CHUNKED,
    HEAD,
    PATIENT,
    QUESTION,
    Caller,
    Engine,
    chunk,
    encrypted,
    says,
    serving,
    soon,
)

ENOUGH_BYTES: Final = 15_000_000
"""More than sockets hold."""


async def read_all(upstream: Upstream, engine: Engine) -> bytes:
    return await (await upstream.call(engine.route, QUESTION, "id", PATIENT)).read()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        HEAD,
        CHUNKED,
        CHUNKED + chunk(b"one"),
        HEAD + b"Content-Length: 5\r\n\r\non",
    ],
    ids=["nothing", "interim", "half_head", "head", "chunk", "half_body"],
)
async def test_a_cancelled_call_stops_the_engine(upstream: Upstream, said: bytes) -> None:
    has_spoken = asyncio.Event()

    async def speaks(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(said)
        has_spoken.set()
        await caller.leaves()

    async with serving(speaks) as engine:
        call = asyncio.create_task(read_all(upstream, engine))
        await has_spoken.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await engine.left()
        assert upstream.open_connections == 0


async def test_calls_cancelled_at_any_moment_leave_nothing(upstream: Upstream) -> None:
    async with serving(says(CHUNKED, chunk(b"one"))) as engine:
        for turns in range(30):
            call = asyncio.create_task(read_all(upstream, engine))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await soon(lambda: upstream.open_connections == 0)


async def test_a_call_cancelled_while_connecting_leaves_nothing(upstream: Upstream) -> None:
    has_called = asyncio.Event()

    async def says_no_hello(caller: Caller) -> None:
        has_called.set()
        await caller.leaves()

    async with serving(says_no_hello) as engine:
        engine.route = encrypted(engine.route)
        call = asyncio.create_task(read_all(upstream, engine))
        await has_called.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await engine.left()
        assert upstream.open_connections == 0


async def test_connecting_takes_as_long_as_it_may(upstream: Upstream) -> None:
    hasty = Timeouts(connect_s=0.1, first_byte_s=5, idle_s=5)
    async with serving(lambda caller: caller.leaves()) as engine:
        with pytest.raises(Unreachable, match="connect_timeout"):
            await upstream.call(encrypted(engine.route), QUESTION, "id", hasty)
        await engine.left()
        assert upstream.open_connections == 0


async def test_closing_a_reply_stops_the_engine(upstream: Upstream) -> None:
    async with serving(says(CHUNKED + chunk(b"one"))) as engine:
        reply = await upstream.call(engine.route, QUESTION, "id", PATIENT)
        assert await reply.read_some() == b"one"
        reply.close()
        reply.close()
        await engine.left()
        with pytest.raises(Unreachable, match="closed"):
            await reply.read_some()


async def test_closing_a_reply_wakes_whoever_reads_it(upstream: Upstream) -> None:
    async with serving(says(CHUNKED)) as engine:
        reply = await upstream.call(engine.route, QUESTION, "id", PATIENT)
        reading = asyncio.create_task(reply.read_some())
        await asyncio.sleep(0)
        reply.close()
        with pytest.raises(Unreachable, match="closed"):
            await reading


async def test_an_engine_is_not_read_faster_than_its_caller_reads(upstream: Upstream) -> None:
    written, event = 0, chunk(b"x" * 5000)

    async def gushes(caller: Caller) -> None:
        nonlocal written
        await caller.asks()
        await caller.hears(CHUNKED)
        while written < ENOUGH_BYTES:
            await caller.hears(event)
            written += 5000
        await caller.hears(chunk(b""))

    async with serving(gushes) as engine:
        reply = await upstream.call(engine.route, QUESTION, "id", PATIENT)
        await standstill(lambda: written)
        assert written < ENOUGH_BYTES
        first = await reply.read_some()
        assert len(first) <= 3 * MAX_UNREAD_BYTES
        assert len(first) + len(await reply.read()) == ENOUGH_BYTES


async def standstill(figure: Callable[[], int]) -> None:
    """Until `figure` has not changed for 100 ms."""
    last, since = figure(), 0
    while since < 10:
        await asyncio.sleep(0.01)
        last, since = figure(), since + 1 if figure() == last else 0
