"""An upstream on the event loop that the gateway runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from inference.gateway.upstream import Upstream, pool, reply


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SWEEP_EVERY_S", 0.02)
    monkeypatch.setattr(reply, "END_TIMEOUT_S", 0.2)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """Of which nothing is left at its end, and of which the loop has nothing to complain."""
    complaints = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    upstream = Upstream()
    await upstream.start()
    yield upstream
    await upstream.stop()
    assert (upstream.open_connections, complaints) == (0, [])
