"""Two organizations at one engine that runs few requests at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil
from time import monotonic
from typing import Final

import aiohttp
import pytest
from pytest_django.plugin import DjangoDbBlocker

from inference.models import Backend, Model
from tests import fake_vllm
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    Running,
    World,
    backend_add,
    chat,
    gateway_running,
    model_add,
)

pytestmark = pytest.mark.django_db

SLOTS: Final = 8
SERVICES_MS: Final = range(80, 160, 7)
"""They differ, for else all slots would come free at the same moments."""
BURST: Final = 200
BURST_EVERY_S: Final = 0.001
EVERY_S: Final = 0.1
STEADY: Final = 24
NARROW: Final = "narrow"
"""Its backend takes as many requests as its engine runs."""
WIDE: Final = "wide"
"""Its backend takes all there are; they wait in its engine."""


@dataclass(frozen=True)
class Shared:
    """An engine behind a gateway, and the keys of two organizations."""

    engine: FakeVllm
    gateway: Running
    bursting: str
    steady: str

    async def took_s(
        self, session: aiohttp.ClientSession, key: str, model: str, service_ms: int
    ) -> float:
        """How long a short chat takes that takes the engine `service_ms`."""
        began, headers = monotonic(), {"Authorization": f"Bearer {key}"}
        url = f"{self.gateway.url}/v1/chat/completions"
        body = chat(f"!slow-first {service_ms}", max_tokens=2) | {"model": model}
        async with session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        return monotonic() - began

    async def ask(
        self, session: aiohttp.ClientSession, key: str, model: str, count: int, every_s: float
    ) -> list[float]:
        """How long each of `count` chats took, asked whether or not those before are answered."""
        asked = list[asyncio.Task[float]]()
        for service_ms in islice(cycle(SERVICES_MS), count):
            took_s = self.took_s(session, key, model, service_ms)
            asked.append(asyncio.create_task(took_s))
            await asyncio.sleep(every_s)
        return list(await asyncio.gather(*asked))


@pytest.fixture(scope="module")
def shared(world: World, django_db_blocker: DjangoDbBlocker) -> Iterator[Shared]:
    cast = world.cast
    with (
        django_db_blocker.unblock(),
        fake_vllm.running(api_keys=("engine-key",), slots=SLOTS) as engine,
    ):
        for name, most in ((NARROW, SLOTS), (WIDE, 10 * BURST)):
            backend = backend_add(world.backend.region, name, engine.url)
            Backend.objects.filter(pk=backend.pk).update(max_in_flight=most)
            model_add(name, backend)
        with gateway_running(GATEWAY_MAX_WAITING=str(BURST)) as gateway:
            yield Shared(engine, gateway, cast.rival_key.secret, cast.key.secret)
        Model.objects.filter(public_id__in=(NARROW, WIDE)).delete()
        Backend.objects.filter(name__in=(NARROW, WIDE)).delete()


@dataclass(frozen=True)
class Seen:
    """The p95 in ms: of the steady one by itself and beside the burst, and of the burst."""

    alone: int
    beside: int
    burst: int


async def seen(shared: Shared, model: str) -> Seen:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        alone = await shared.ask(session, shared.steady, model, len(SERVICES_MS), EVERY_S)
        burst = shared.ask(session, shared.bursting, model, BURST, BURST_EVERY_S)
        bursting = asyncio.create_task(burst)
        beside = await shared.ask(session, shared.steady, model, STEADY, EVERY_S)
        return Seen(p95_ms(alone), p95_ms(beside), p95_ms(await bursting))


def p95_ms(times: list[float]) -> int:
    return round(1000 * sorted(times)[ceil(0.95 * len(times)) - 1])


@pytest.mark.parametrize("model", [NARROW, WIDE])
async def test_a_burst_of_one_organization_hardly_delays_another(
    shared: Shared, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """First come, first served, the steady one would wait for as long as the burst does.

    A busy machine may delay anyone, but not three times.
    """
    for _ in range(3):
        shared.engine.reset()
        took = await seen(shared, model)
        with capsys.disabled():
            sys.stdout.write(f"\n{model}, p95 in ms: {took}\n")
        if took.beside < 2 * took.alone:
            break

    assert took.beside < 2 * took.alone
    assert took.burst > 5 * took.beside, "the burst did not saturate the engine"
    waited = shared.engine.state()["most_waiting"]
    assert waited == 0 if model == NARROW else waited > BURST / 2
