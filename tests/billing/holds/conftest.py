from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest

from billing.holds import Ask, HoldsClient, LimitAsk, StoreAway
from billing.metering import stream_of
from tenants.valkey import async_client, client

ACME = UUID(int=0xACE0)
RIVAL = UUID(int=0xACE0 + 16)
"""Both of shard 0: nothing of one may change anything of the other."""
STREAM = stream_of(0)


def ask(
    amount: int = 0,
    *limits: LimitAsk,
    scopes: tuple[str, ...] = ("w",),
    hold: UUID | None = None,
    organization: UUID = ACME,
) -> Ask:
    return Ask(hold or uuid4(), organization, amount, scopes, limits, "gateway-1")


def entries() -> list[tuple[bytes, dict[bytes, bytes]]]:
    """What waits on the stream of the two organizations."""
    found: Any = client().xrange(STREAM)
    return list(found)


def everything() -> dict[bytes, object]:
    """All that is in Valkey, to see that nothing changed."""
    valkey: Any = client()
    return {key: valkey.dump(key) for key in valkey.keys("*")}


async def reconnected(holds: HoldsClient) -> None:
    """Wait until it has Valkey again."""
    async with asyncio.timeout(5):
        while True:
            with suppress(StoreAway):
                return await holds.beat()
            await asyncio.sleep(0.02)


@pytest.fixture
async def holds() -> AsyncIterator[HoldsClient]:
    valkey = async_client()
    holds = HoldsClient(valkey, "gateway-1")
    await holds.start()
    yield holds
    await holds.stop()
    await valkey.aclose()
