"""The connection: what rides together, and what a lost Valkey does to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import override
from uuid import uuid4

import pytest
import redis.asyncio
from django.conf import settings

from billing.holds import (
    Denied,
    Granted,
    HoldsClient,
    ScopeState,
    StoreAway,
    post,
    scopes_state,
    seed,
)
from billing.holds.books import Posted
from tenants.valkey import async_client, client
from tests.billing.holds.conftest import ACME, ask, entries, reconnected


class Proxy(asyncio.Protocol):
    """Between the client and Valkey: counts what is written, and can go silent or away."""

    def __init__(self) -> None:
        self.writes = 0
        self.is_silent = False
        self.server: asyncio.Server
        self._links: list[asyncio.Transport] = []

    @property
    def port(self) -> int:
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: _Side(self), "127.0.0.1", 0)

    def cut(self) -> None:
        for link in self._links:
            link.abort()

    def joined(self, link: asyncio.Transport) -> None:
        self._links.append(link)


class _Side(asyncio.Protocol):
    """One end of a connection through the proxy; the client's opens the other one."""

    def __init__(self, proxy: Proxy, other: asyncio.Transport | None = None) -> None:
        self._proxy, self._other = proxy, other
        self._is_client = other is None
        self._early: list[bytes] = []

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._proxy.joined(transport)
        if self._is_client:
            self._task = asyncio.ensure_future(self._join(transport))

    async def _join(self, transport: asyncio.Transport) -> None:
        host, port = settings.VALKEY_URL.rpartition("@")[2].split("/")[0].split(":")
        self._other, _ = await asyncio.get_running_loop().create_connection(
            lambda: _Side(self._proxy, transport), host, int(port)
        )
        for data in self._early:
            self._other.write(data)

    @override
    def data_received(self, data: bytes) -> None:
        self._proxy.writes += self._is_client
        if self._proxy.is_silent:
            return
        if self._other is None:
            self._early.append(data)
        else:
            self._other.write(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._other:
            self._other.abort()


@asynccontextmanager
async def through_a_proxy() -> AsyncIterator[tuple[Proxy, HoldsClient]]:
    proxy = Proxy()
    await proxy.listen()
    head, _, tail = settings.VALKEY_URL.rpartition("@")
    valkey = redis.asyncio.Redis.from_url(
        f"{head}@127.0.0.1:{proxy.port}/{tail.rpartition('/')[2]}", socket_connect_timeout=2
    )
    holds = HoldsClient(valkey, "gateway-1")
    await holds.start()
    try:
        yield proxy, holds
    finally:
        await holds.stop()
        await valkey.aclose()
        proxy.cut()
        proxy.server.close()


async def test_the_calls_of_one_turn_ride_together() -> None:
    seed(ACME, 1, {"w": 1000})
    async with through_a_proxy() as (proxy, holds):
        before = proxy.writes
        answers = await asyncio.gather(*(holds.reserve(ask(1)) for _ in range(50)))
        assert {type(answer) for answer in answers} == {Granted}
        assert proxy.writes - before == 1


async def test_a_lost_connection_fails_all_in_flight_and_is_made_again() -> None:
    async with through_a_proxy() as (proxy, holds):
        proxy.is_silent = True
        calls = [asyncio.ensure_future(holds.void(uuid4(), ACME)) for _ in range(3)]
        await asyncio.sleep(0)
        proxy.cut()
        for call in calls:
            with pytest.raises(StoreAway):
                await call
        proxy.is_silent = False
        await reconnected(holds)
        assert isinstance(await holds.reserve(ask(0, scopes=())), Granted)


async def test_a_valkey_that_says_nothing_fails_them_within_a_second_or_so() -> None:
    async with through_a_proxy() as (proxy, holds):
        proxy.is_silent = True
        began = time.monotonic()
        with pytest.raises(StoreAway):
            await holds.void(uuid4(), ACME)
        assert time.monotonic() - began < 20


async def test_without_valkey_every_call_says_so_at_once() -> None:
    valkey = redis.asyncio.Redis.from_url("redis://127.0.0.1:9/0")
    holds = HoldsClient(valkey, "gateway-1")
    await holds.start()
    with pytest.raises(StoreAway):
        await holds.reserve(ask(1))
    with pytest.raises(StoreAway):
        await holds.beat()
    assert not holds.is_leased
    await holds.stop()
    await valkey.aclose()


async def test_a_call_that_is_cancelled_leaves_the_others_their_answers(
    holds: HoldsClient,
) -> None:
    seed(ACME, 1, {"w": 1000})
    first, second = ask(700), ask(200)
    calls = [asyncio.ensure_future(holds.reserve(one)) for one in (first, second)]
    await asyncio.sleep(0)
    calls[0].cancel()
    assert isinstance(await calls[1], Granted)
    await holds.void(first.hold, ACME)
    assert scopes_state(ACME)["w"].held == 200


async def test_scripts_that_valkey_forgot_are_sent_again(holds: HoldsClient) -> None:
    client().script_flush()
    wanted = ask(0, scopes=())
    assert isinstance(await holds.reserve(wanted), Granted)
    assert await holds.settle(wanted.hold, ACME, 0, 0, b"record")


async def test_an_error_of_valkey_is_not_an_answer(holds: HoldsClient) -> None:
    client().set("{0}:holds", "not a hash")
    with pytest.raises(StoreAway, match="WRONGTYPE"):
        await holds.reserve(ask(0, scopes=()))


async def test_500_at_once_spend_a_budget_to_its_last_affordable_request() -> None:
    """From four connections. Each costs less than it holds, and those denied try again."""
    budget, bound, actual = 20_000, 100, 60
    seed(ACME, 1, {"w": budget})
    valkey = async_client()
    gateways = [HoldsClient(valkey, f"gateway-{number}") for number in range(4)]
    for gateway in gateways:
        await gateway.start()

    async def request(number: int) -> bool:
        gateway, wanted = gateways[number % 4], ask(bound)
        async with asyncio.timeout(10):
            while isinstance(await gateway.reserve(wanted), Denied):
                state = scopes_state(ACME)["w"]
                if state.held == 0 and budget - state.unposted < bound:
                    return False
        await asyncio.sleep(0)
        return await gateway.settle(wanted.hold, ACME, actual, 0, b"record")

    served = sum(await asyncio.gather(*map(request, range(500))))
    spent = served * actual
    assert spent <= budget
    assert budget - spent < bound
    assert scopes_state(ACME)["w"] == ScopeState(budget, unposted=spent, held=0)
    post(ACME, 2, {"w": budget - spent}, [Posted(one, actual, ("w",)) for one, _ in entries()])
    assert scopes_state(ACME)["w"] == ScopeState(budget - spent, unposted=0, held=0)
    for gateway in gateways:
        await gateway.stop()
    await valkey.aclose()
