"""What this process counts by the minute, written to Valkey once a second; see `inference.live`.

With it goes when and from where keys were used; see `tenants.uses`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from typing import Final
from uuid import UUID

import redis.asyncio
import structlog

from inference.engines import Usage
from inference.live import minute_key, ttft_bucket
from inference.live.minutes import BACKEND_KEPT_S, KEPT_S, backend_minute_key
from inference.snapshot import Route
from tenants.peers import network_of
from tenants.uses import USED, use_note

PERIOD_S: Final = 1.0
LIMITED: Final = "limited"
LIMITED_KEPT_S: Final = 3 * 3600
CLIENT_LEFT: Final = 499

log = structlog.get_logger()


class LiveFigures:
    """Adds up in memory. What Valkey does not take is dropped."""

    def __init__(self, valkey: redis.asyncio.Redis) -> None:
        self._valkey = valkey
        self._counts: Counter[str] = Counter()
        self._by_backend = defaultdict[UUID, Counter[str]](Counter)
        self._limited: Counter[str] = Counter()
        self._came = dict[bytes, str]()
        self._task: asyncio.Task[None] | None = None

    def answered(self, status: int, *, is_broken: bool) -> None:
        """Count an answer to a known key; `is_broken` is a stream that ended with an error."""
        self._counts["requests"] += 1
        if status >= 500 or is_broken:
            self._counts["errors"] += 1
        elif 400 <= status < CLIENT_LEFT:
            self._counts["refused"] += 1

    def came(self, digest: bytes, peer: str) -> None:
        """Note that a request with this key, by the digest of its secret, came from `peer`."""
        self._came[digest] = peer

    def limited(self, organization: UUID, limit: str) -> None:
        """Count a request that was refused for `limit`, a counter of rates or of money."""
        self._limited[f"{organization.hex}|{limit}"] += 1

    def used(self, usage: Usage) -> None:
        self._counts["input_tokens"] += usage.input_tokens
        self._counts["output_tokens"] += usage.output_tokens

    def called(self, route: Route, *, is_retry: bool) -> None:
        """Count a call of a backend; `is_retry` is one that follows a failure of another."""
        counts = self._by_backend[route.backend_id]
        counts["requests"] += 1
        if is_retry:
            counts["retries"] += 1

    def failed(self, route: Route) -> None:
        """Count a call of a backend that failed on its side."""
        self._by_backend[route.backend_id]["errors"] += 1

    def first_token(self, route: Route, ttft_ms: float) -> None:
        field = f"ttft:{ttft_bucket(ttft_ms)}"
        self._counts[field] += 1
        self._by_backend[route.backend_id][field] += 1

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(redis.RedisError, OSError):
            await self._flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self._flush()
            except (redis.RedisError, OSError) as error:
                log.warning("live.flush_failed", error=type(error).__name__)

    async def _flush(self) -> None:
        now = datetime.now(UTC)
        counts, self._counts = self._counts, Counter()
        by_backend, self._by_backend = self._by_backend, defaultdict(Counter)
        limited, self._limited = self._limited, Counter()
        came, self._came = self._came, {}
        pipeline = self._valkey.pipeline(transaction=False)
        _add(pipeline, minute_key(now), counts, KEPT_S)
        _add(pipeline, f"{LIMITED}:{now:%Y%m%d%H}", limited, LIMITED_KEPT_S)
        for backend, of_backend in by_backend.items():
            _add(pipeline, backend_minute_key(backend, now), of_backend, BACKEND_KEPT_S)
        if came:
            notes = ((digest, use_note(now, network_of(peer))) for digest, peer in came.items())
            pipeline.execute_command("HSET", USED, *chain.from_iterable(notes))
        await pipeline.execute()


def _add(
    pipeline: redis.asyncio.client.Pipeline, key: str, counts: Counter[str], kept_s: int
) -> None:
    for name, count in counts.items():
        pipeline.execute_command("HINCRBY", key, name, count)
    if counts:
        pipeline.execute_command("EXPIRE", key, kept_s)
