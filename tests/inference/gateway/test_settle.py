"""Usage records on their way to Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis.asyncio

from billing.metering import FIELD, STREAM, UsageRecord, decode
from inference.gateway import settle
from inference.gateway.settle import UsageWriter
from tenants.valkey import async_client, client
from tests.inference.gateway.conftest import wait_until


@pytest.fixture
async def valkey() -> AsyncIterator[redis.asyncio.Redis]:
    connection = async_client()
    yield connection
    await connection.aclose()


def record(number: int) -> UsageRecord:
    now = datetime.now(UTC)
    return UsageRecord(
        request_id=UUID(int=number), organization_id=uuid4(), project_id=uuid4(),
        api_key_id=uuid4(), model="acme/tiny", backend="one", region="here",
        endpoint="chat/completions", streamed=False, outcome="completed", admitted_at=now,
        occurred_at=now, ttft_ms=None, duration_ms=1, input_tokens=2, cached_tokens=0,
        output_tokens=3,
    )  # fmt: skip


def numbers_stored() -> list[int]:
    entries: Any = client().xrange(STREAM)
    return [decode(entry[FIELD]).request_id.int for _id, entry in entries]


def errors() -> Any:
    return client().info("errorstats")


async def test_records_arrive_whole_and_in_order(valkey: redis.asyncio.Redis) -> None:
    writer = UsageWriter(valkey)
    writer.start()
    for number in range(1200):
        writer.put(record(number))
    await writer.stop()
    assert numbers_stored() == list(range(1200))


async def test_what_valkey_refuses_is_offered_again(
    valkey: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "RETRY_S", 0.01)
    client().config_resetstat()
    await valkey.set(STREAM, "no stream")
    writer = UsageWriter(valkey)
    writer.start()
    for number in range(3):
        writer.put(record(number))
    await asyncio.to_thread(wait_until, lambda: "errorstat_WRONGTYPE" in errors())
    await valkey.delete(STREAM)
    await writer.stop()
    assert numbers_stored() == [0, 1, 2]
