"""The whole corpus against one gateway: every request refused, nothing broken by any."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import psutil
import pytest

from inference.gateway.endpoints import ENDPOINTS
from tests.inference.gateway.conftest import LIMITS, Running, World, gateway_running, records
from tests.inference.gateway.hostile import send
from tests.inference.gateway.hostile.corpus import corpus
from tests.inference.gateway.hostile.forms import FORMS
from tests.inference.gateway.hostile.good import BODIES
from tests.inference.gateway.hostile.send import Target

pytestmark = pytest.mark.django_db
PATIENT: Final = {"GATEWAY_BODY_TIMEOUT_S": "6"}
"""A body of 5,000 chunks takes a busy machine seconds."""


@pytest.fixture(scope="module")
def hardened(world: World) -> Iterator[Running]:
    """A gateway of its own, whose memory nothing else grows."""
    with gateway_running("--headers-timeout-ms=9000", **LIMITS | PATIENT) as running:
        yield running


@pytest.fixture
def target(hardened: Running, world: World) -> Target:
    where = urlsplit(hardened.url)
    engine = urlsplit(world.engine.url).netloc
    secrets = (b"tiny-llama", b"engine-key", engine.encode(), b"alive", b"Traceback", b"django")
    assert where.hostname
    assert where.port
    return Target(where.hostname, where.port, world.cast.key.secret, secrets)


def resident_bytes(running: Running) -> int:
    """The memory of the gateway, its worker included."""
    parent = psutil.Process(running.process.pid)
    return sum(p.memory_info().rss for p in (parent, *parent.children(recursive=True)))


def test_every_endpoint_has_its_hostile_requests() -> None:
    assert ENDPOINTS.keys() <= BODIES.keys() | set(FORMS)


def test_hostile_requests_are_refused_and_break_nothing(
    target: Target, hardened: Running, world: World
) -> None:
    cases = corpus()
    assert len(cases) >= 4_000
    before = world.engine.state()["requests"]
    sizes = []
    for _ in range(3):
        found = asyncio.run(send.faults(target, cases))
        assert not found, "\n".join(found)
        sizes.append(resident_bytes(hardened))
    assert world.engine.state()["requests"] == before
    assert records() == []
    assert sizes[2] < sizes[0] * 1.08
