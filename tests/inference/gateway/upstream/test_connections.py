from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from inference.gateway.endpoint import Question
from inference.gateway.upstream import Unreachable, Upstream
from inference.snapshot import Route

QUESTION = Question("/v1/chat/completions", b"{}")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

type Engine = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(engine: Engine) -> AsyncIterator[Route]:
    server = await asyncio.start_server(engine, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Route(
            backend_id=uuid4(),
            backend="raw",
            base_url=f"http://127.0.0.1:{port}",
            engine="vllm",
            engine_model="m",
            region="r",
            weight=1,
            is_healthy=True,
            max_in_flight=256,
            key="",
        )


@asynccontextmanager
async def upstream_running() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


async def read_request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)


async def test_a_connection_that_the_engine_had_closed_costs_no_request() -> None:
    calls = list[int]()

    async def one_answer_a_connection(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await read_request(reader)
        calls.append(1)
        writer.write(ANSWER)
        await read_request(reader)  # the next call comes in, and is hung up on
        writer.close()

    async with serving(one_answer_a_connection) as route, upstream_running() as upstream:
        for _ in range(3):
            reply = await upstream.call(route, QUESTION, "id")
            assert (reply.status, await reply.read()) == (200, b"{}")
    assert len(calls) == 3


async def test_an_engine_that_hangs_up_each_time_is_tried_once_on_a_new_connection() -> None:
    calls = list[int]()

    async def one_answer_in_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        calls.append(1)
        if len(calls) == 1:
            writer.write(ANSWER)
            await read_request(reader)
            calls.append(1)
        writer.close()

    async with serving(one_answer_in_all) as route, upstream_running() as upstream:
        reply = await upstream.call(route, QUESTION, "id")
        assert await reply.read() == b"{}"
        with pytest.raises(Unreachable, match="closed"):
            await upstream.call(route, QUESTION, "id")
    assert len(calls) == 3
