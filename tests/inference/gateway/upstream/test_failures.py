"""Engines that answer nothing, too late, too much or no HTTP."""

from __future__ import annotations

import asyncio

import pytest

from inference.gateway.upstream import Reply, Timeouts, Unreachable, Upstream, reply
from tests.inference.gateway.upstream.engines import (
    ANSWER,
    CHUNKED,
    HEAD,
    PATIENT,
    QUESTION,
    Caller,
    Engine,
    chunk,
    hangs_up,
    route_to,
    says,
    serving,
)

HASTY = Timeouts(connect_s=0.1, first_byte_s=0.1, idle_s=0.1)
SLOW_START = Timeouts(connect_s=5, first_byte_s=None, idle_s=0.1)


async def ask(upstream: Upstream, engine: Engine, timeouts: Timeouts = PATIENT) -> Reply:
    return await upstream.call(engine.route, QUESTION, "id", timeouts)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200", "closed"),
        (HEAD, "closed"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "bad_http"),
        (b"\x00" * 100, "bad_http"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", "bad_http"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000, "head_too_large"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 500_000, "head_too_large"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000, "head_too_large"),
    ],
    ids=[
        "nothing", "half_status", "half_head", "ssh", "zeros", "gzip", "headers", "header", "100s",
    ],
)  # fmt: skip
async def test_no_head_is_a_failure_with_a_name(upstream: Upstream, said: bytes, kind: str) -> None:
    async with serving(hangs_up(said)) as engine:
        with pytest.raises(Unreachable) as caught:
            await ask(upstream, engine)
        await engine.left()
    assert (caught.value.kind, str(caught.value)) == (kind, kind)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (HEAD + b"Content-Length: 3\r\n\r\n", "closed"),
        (HEAD + b"Content-Length: 3\r\n\r\n{}", "closed"),
        (CHUNKED, "closed"),
        (CHUNKED + chunk(b"{}"), "closed"),
        (CHUNKED + chunk(b"{}") + b"0\r\n", "closed"),
        (CHUNKED + chunk(b"{}") + b"junk\r\n", "bad_http"),
        (CHUNKED + chunk(b"{}") + b"1;" + b"x" * 500_000, "bad_http"),
        (CHUNKED + chunk(b"{}") + b"0\r\n" + b"A: b\r\n" * 50_000, "bad_http"),
    ],
    ids=["none", "half", "no_chunk", "no_end", "half_end", "junk", "extension", "trailers"],
)
async def test_a_body_without_its_end_is_a_failure_with_a_name(
    upstream: Upstream, said: bytes, kind: str
) -> None:
    async with serving(hangs_up(said)) as engine:
        reply = await ask(upstream, engine)
        with pytest.raises(Unreachable) as caught:
            await reply.read()
        await engine.left()
    assert caught.value.kind == kind


async def test_what_arrived_before_an_engine_broke_off_is_read_first(upstream: Upstream) -> None:
    async with serving(hangs_up(CHUNKED + chunk(b"one"))) as engine:
        reply = await ask(upstream, engine)
        await engine.left()
        assert await reply.read_some() == b"one"
        for _ in range(2):
            with pytest.raises(Unreachable, match="closed"):
                await reply.read_some()


async def test_a_body_may_end_with_its_connection(upstream: Upstream) -> None:
    async with serving(hangs_up(HEAD + b"\r\n", b"one", b"two")) as engine:
        assert await (await ask(upstream, engine)).read() == b"onetwo"


@pytest.mark.parametrize("status", [204, 304])
async def test_some_answers_have_no_body(upstream: Upstream, status: int) -> None:
    async with serving(says(b"HTTP/1.1 %d None\r\nContent-Length: 5\r\n\r\n" % status)) as engine:
        reply = await ask(upstream, engine)
        assert (reply.status, await reply.read()) == (status, b"")


async def test_a_head_says_status_and_type(upstream: Upstream) -> None:
    answer = b"HTTP/1.1 418 Tea\r\nContent-Type: Text/HTML; charset=x\r\nContent-Length: 0\r\n\r\n"
    async with serving(says(b"HTTP/1.1 103 Early\r\n\r\n", answer)) as engine:
        reply = await ask(upstream, engine)
        assert (reply.status, reply.content_type, await reply.read()) == (418, "text/html", b"")


async def test_a_body_without_end_is_read_up_to_a_limit(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "MAX_ANSWER_BYTES", 1_000_000)

    async def endless(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(CHUNKED)
        while True:
            await caller.hears(chunk(b"x" * 50_000))

    async with serving(endless) as engine:
        answer = await ask(upstream, engine)
        with pytest.raises(Unreachable, match="too_large"):
            await answer.read()
        await engine.left()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 2"])
async def test_a_head_that_does_not_come_is_waited_for_in_vain(
    upstream: Upstream, said: bytes
) -> None:
    async with serving(says(said)) as engine:
        with pytest.raises(Unreachable, match="first_byte_timeout"):
            await ask(upstream, engine, HASTY)
        await engine.left()


@pytest.mark.parametrize("said", [b"", b"5", b"5;slow"])
async def test_a_head_without_a_first_byte_is_not_enough(upstream: Upstream, said: bytes) -> None:
    async with serving(says(CHUNKED + said)) as engine:
        reply = await ask(upstream, engine, HASTY)
        with pytest.raises(Unreachable, match="first_byte_timeout"):
            await reply.read_some()
        await engine.left()


async def test_a_first_byte_may_take_as_long_as_the_caller_waits(upstream: Upstream) -> None:
    async def late(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(CHUNKED)
        await asyncio.sleep(4 * SLOW_START.idle_s)
        await caller.hears(chunk(b"late") + chunk(b""))

    async with serving(late) as engine:
        reply = await ask(upstream, engine, SLOW_START)
        assert await reply.read() == b"late"


async def test_a_stream_that_falls_silent_is_closed(upstream: Upstream) -> None:
    async with serving(says(CHUNKED + chunk(b"one") + b"5\r\ntw")) as engine:
        reply = await ask(upstream, engine, HASTY)
        assert await reply.read_some() == b"onetw"
        with pytest.raises(Unreachable, match="idle_timeout"):
            await reply.read_some()
        await engine.left()


async def test_a_caller_that_takes_its_time_is_not_held_against_the_engine(
    upstream: Upstream,
) -> None:
    go_on = asyncio.Event()

    async def patient(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(CHUNKED + chunk(b"one"))
        await go_on.wait()
        await caller.hears(chunk(b"two") + chunk(b""))

    async with serving(patient) as engine:
        reply = await ask(upstream, engine, HASTY)
        assert await reply.read_some() == b"one"
        await asyncio.sleep(4 * HASTY.idle_s)
        go_on.set()
        assert await reply.read() == b"two"


async def test_a_server_that_is_not_there_fails_to_connect(upstream: Upstream) -> None:
    async with serving(says(ANSWER)) as engine:
        gone = engine.route
    with pytest.raises(Unreachable, match="connect_failed"):
        await upstream.call(gone, QUESTION, "id", PATIENT)
    unknown = route_to("http://no-such-host.invalid:8000")
    with pytest.raises(Unreachable, match="connect_failed"):
        await upstream.call(unknown, QUESTION, "id", PATIENT)


async def test_who_waits_at_a_lost_engine_hears_of_it(upstream: Upstream) -> None:
    is_asked = asyncio.Event()

    async def says_nothing(caller: Caller) -> None:
        await caller.asks()
        is_asked.set()
        await caller.leaves()

    async with serving(says_nothing) as engine:
        asked = asyncio.ensure_future(ask(upstream, engine))
        await is_asked.wait()
        upstream.abandon(engine.route.base_url)
        with pytest.raises(Unreachable) as caught:
            await asked
        await engine.left()
    assert caught.value.kind == "lost"


async def test_an_answer_that_has_begun_is_not_given_up(upstream: Upstream) -> None:
    goes_on = asyncio.Event()

    async def pauses(caller: Caller) -> None:
        await caller.asks()
        await caller.hears(CHUNKED, chunk(b"Hi"))
        await goes_on.wait()
        await caller.hears(chunk(b"!"), chunk(b""))

    async with serving(pauses) as engine:
        answer = await ask(upstream, engine)
        assert await answer.read_some() == b"Hi"
        upstream.abandon(engine.route.base_url)
        goes_on.set()
        assert await answer.read() == b"!"
