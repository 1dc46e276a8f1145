"""The live figures of this process, written to Valkey once a second; see `inference.live`."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import redis.asyncio
import structlog

from inference.engines import Usage
from inference.gateway.fleet import Fleet
from inference.live import IN_FLIGHT_KEPT_S, KEPT_S, in_flight_key, minute_key, ttft_bucket

PERIOD_S: Final = 1.0
CLIENT_LEFT: Final = 499

log = structlog.get_logger()


def gateway_id() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class LiveFigures:
    """Adds up in memory. What Valkey does not take is dropped."""

    def __init__(self, valkey: redis.asyncio.Redis, fleet: Fleet) -> None:
        self._valkey, self._fleet = valkey, fleet
        self._counts: Counter[str] = Counter()
        self._in_flight_key = in_flight_key(gateway_id())
        self._task: asyncio.Task[None] | None = None

    def answered(self, status: int, *, is_broken: bool) -> None:
        """Count an answer to a known key; `is_broken` is a stream that ended with an error."""
        self._counts["requests"] += 1
        if status >= 500 or is_broken:
            self._counts["errors"] += 1
        elif 400 <= status < CLIENT_LEFT:
            self._counts["refused"] += 1

    def used(self, usage: Usage) -> None:
        self._counts["input_tokens"] += usage.input_tokens
        self._counts["output_tokens"] += usage.output_tokens

    def first_token(self, ttft_ms: float) -> None:
        self._counts[f"ttft:{ttft_bucket(ttft_ms)}"] += 1

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(redis.RedisError, OSError):
            await self._flush()
            await self._valkey.delete(self._in_flight_key)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self._flush()
            except (redis.RedisError, OSError) as error:
                log.warning("live.flush_failed", error=type(error).__name__)

    async def _flush(self) -> None:
        counts, self._counts = self._counts, Counter()
        in_flight = {str(backend): n for backend, n in self._fleet.own.items() if n}
        key = minute_key(datetime.now(UTC))
        commands = [
            *(("HINCRBY", key, name, count) for name, count in counts.items()),
            ("EXPIRE", key, KEPT_S),
            ("DEL", self._in_flight_key),
            *(("HSET", self._in_flight_key, name, count) for name, count in in_flight.items()),
            ("EXPIRE", self._in_flight_key, IN_FLIGHT_KEPT_S),
        ]
        pipeline = self._valkey.pipeline(transaction=True)
        for command in commands:
            pipeline.execute_command(*command)
        await pipeline.execute()
