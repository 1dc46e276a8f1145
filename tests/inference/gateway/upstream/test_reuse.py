"""When a connection serves another call, and when a new one is made."""

from __future__ import annotations

import asyncio

import pytest

from inference.gateway.upstream import Unreachable, Upstream, pool
from tests.inference.gateway.upstream.engines import (
    ANSWER,
    CHUNKED,
    HEAD,
    PATIENT,
    QUESTION,
    Caller,
    Engine,
    answers,
    chunk,
    serving,
    soon,
)

DONE = b"data: [DONE]\n\n"


async def ask(upstream: Upstream, engine: Engine) -> bytes:
    return await (await upstream.call(engine.route, QUESTION, "id", PATIENT)).read()


async def test_a_connection_serves_call_after_call(upstream: Upstream) -> None:
    async with serving(answers(*[ANSWER] * 5)) as engine:
        for _ in range(5):
            assert await ask(upstream, engine) == b"{}"
    assert engine.callers == 1


async def test_calls_at_the_same_time_have_connections_of_their_own(upstream: Upstream) -> None:
    async with serving(answers(ANSWER, ANSWER)) as engine:
        assert await asyncio.gather(*[ask(upstream, engine) for _ in range(5)]) == [b"{}"] * 5
        assert (engine.callers, upstream.open_connections) == (5, 5)


async def test_a_connection_that_the_engine_had_closed_costs_no_request(
    upstream: Upstream,
) -> None:
    async def one_answer_a_connection(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(ANSWER)
        await caller.asks()  # the next call comes in, and is hung up on

    async with serving(one_answer_a_connection) as engine:
        for _ in range(3):
            assert await ask(upstream, engine) == b"{}"
    assert engine.callers == 3


async def test_an_engine_that_hangs_up_each_time_is_tried_once_on_a_new_connection(
    upstream: Upstream,
) -> None:
    calls = list[bytes]()

    async def one_answer_in_all(caller: Caller) -> None:
        calls.append(await caller.asks())
        if len(calls) == 1:
            await caller.hears(ANSWER)
            calls.append(await caller.asks())

    async with serving(one_answer_in_all) as engine:
        assert await ask(upstream, engine) == b"{}"
        with pytest.raises(Unreachable, match="closed"):
            await ask(upstream, engine)
    assert (len(calls), engine.callers) == (3, 2)


async def test_an_engine_that_breaks_off_within_a_head_is_not_asked_again(
    upstream: Upstream,
) -> None:
    async with serving(answers(ANSWER, b"HTTP/1.1 2")) as engine:
        assert await ask(upstream, engine) == b"{}"
        with pytest.raises(Unreachable, match="closed"):
            await ask(upstream, engine)
    assert engine.callers == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
        ANSWER.replace(b"1.1", b"1.0"),
        ANSWER + b"more",
        ANSWER + ANSWER,
        CHUNKED + chunk(b"{}") + chunk(b"") + b"0\r\n\r\n",
    ],
    ids=["close", "http_1.0", "garbage_after", "answer_after", "end_twice"],
)
async def test_a_connection_is_left_after(upstream: Upstream, answer: bytes) -> None:
    async with serving(answers(answer, ANSWER)) as engine:
        assert await ask(upstream, engine) == b"{}"
        await soon(lambda: upstream.open_connections == 0)
        assert await ask(upstream, engine) == b"{}"
        assert engine.callers == 2


async def test_what_an_engine_says_unasked_is_not_taken_for_an_answer(upstream: Upstream) -> None:
    may_speak = asyncio.Event()

    async def unasked(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(ANSWER)
        await may_speak.wait()
        await caller.hears(HEAD + b"Content-Length: 5\r\n\r\nwrong")
        await caller.leaves()

    async with serving(unasked) as engine:
        assert await ask(upstream, engine) == b"{}"
        may_speak.set()
        await soon(lambda: upstream.open_connections == 0)
        assert await ask(upstream, engine) == b"{}"
        assert engine.callers == 2


async def test_idle_connections_are_closed_before_the_engine_does(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(answers(ANSWER, ANSWER)) as engine:
        assert await ask(upstream, engine) == b"{}"
        assert upstream.open_connections == 1
        monkeypatch.setattr(pool, "KEEP_ALIVE_S", 0)
        await engine.left()
        assert upstream.open_connections == 0


async def test_a_stream_that_is_finished_leaves_its_connection_to_the_next_call(
    upstream: Upstream,
) -> None:
    may_end = asyncio.Event()

    async def late_end(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(CHUNKED + chunk(DONE))
        await may_end.wait()
        await caller.hears(chunk(b"no more to read"), b"0\r\n\r\n")
        await caller.asks()
        await caller.hears(ANSWER)

    async with serving(late_end) as engine:
        reply = await upstream.call(engine.route, QUESTION, "id", PATIENT)
        assert await reply.read_some() == DONE
        await reply.finish()
        reply.close()
        may_end.set()
        assert await reply.read_some() == b""
        assert await ask(upstream, engine) == b"{}"
        assert engine.callers == 1


async def test_a_stream_that_does_not_end_after_it_is_finished_is_closed(
    upstream: Upstream,
) -> None:
    async def endless(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(CHUNKED)
        while True:
            await caller.hears(chunk(DONE))
            await asyncio.sleep(0)

    async with serving(endless) as engine:
        reply = await upstream.call(engine.route, QUESTION, "id", PATIENT)
        assert DONE in await reply.read_some()
        await reply.finish()
        await engine.left()


async def test_closing_a_reply_that_was_read_spares_the_next_call(upstream: Upstream) -> None:
    async with serving(answers(ANSWER, ANSWER)) as engine:
        first = await upstream.call(engine.route, QUESTION, "id", PATIENT)
        assert await first.read() == b"{}"
        second = asyncio.create_task(ask(upstream, engine))
        await asyncio.sleep(0)  # the connection is in use again
        first.close()
        first.close()
        assert await second == b"{}"
        assert engine.callers == 1


async def test_stopping_ends_what_runs(upstream: Upstream) -> None:
    async with serving(answers(CHUNKED + chunk(b"one"), ANSWER)) as engine:
        reply = await upstream.call(engine.route, QUESTION, "id", PATIENT)
        assert await reply.read_some() == b"one"
        await upstream.stop()
        with pytest.raises(Unreachable, match="closed"):
            await reply.read_some()
        assert upstream.open_connections == 0
