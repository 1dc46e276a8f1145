"""Keeps the snapshot fresh: at once when a change is announced, and by age.

A change counts up a version in Valkey and announces it. The announcement may be lost; the pulse
reads the version, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import redis
import redis.asyncio
import structlog
from django.conf import settings
from django.db import close_old_connections, connection

from inference.gateway.errors import NotReady
from inference.snapshot import Snapshot, snapshot_load
from tenants.valkey import SNAPSHOT_CHANNEL

GATHER_S: Final = 0.02
FIRST_LOAD_S: Final = 5.0
RETRY_S: Final = 1.0
POLL_S: Final = 2.0

log = structlog.get_logger()


class SnapshotKeeper:
    """Holds the last snapshot that could be loaded, whatever happens to the stores since.

    `on_load` hears of each.
    """

    def __init__(
        self, valkey: redis.asyncio.Redis, on_load: Callable[[Snapshot], None] = lambda _: None
    ) -> None:
        self._valkey, self._on_load = valkey, on_load
        self._snapshot: Snapshot | None = None
        self._version = 0
        self.loaded_at = 0.0
        self._changed, self._is_loaded = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_ready(self) -> bool:
        return self._snapshot is not None

    @property
    def snapshot(self) -> Snapshot:
        """The view to work from. Raises NotReady before the first load."""
        if self._snapshot is None:
            raise NotReady
        return self._snapshot

    def start(self) -> None:
        self._changed.set()
        self._tasks = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._refresh()),
        ]

    async def first_load(self) -> None:
        """Wait for a snapshot, FIRST_LOAD_S at most: without the stores it starts all the same."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_loaded.wait(), FIRST_LOAD_S)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hear(self, version: int) -> None:
        """Reload when that is not the version last heard of, whoever told it first."""
        if version != self._version:
            self._version = version
            self._changed.set()

    async def _refresh(self) -> None:
        """Load on each change, changes that come together once; and at the latest by age."""
        while True:
            wait_s = settings.SNAPSHOT_MAX_AGE_S if self.is_ready else RETRY_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)
                await asyncio.sleep(GATHER_S)
            self._changed.clear()
            await self._load()

    async def _load(self) -> None:
        try:
            self._snapshot = await asyncio.to_thread(_load_in_thread)
            self.loaded_at = monotonic()
            self._is_loaded.set()
            self._on_load(self._snapshot)
        except Exception as error:
            log.warning("snapshot.load_failed", error=type(error).__name__)

    async def _listen(self) -> None:
        """Wait for announcements. One that is lost is made up for by the pulse."""
        while True:
            try:
                async with self._valkey.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(SNAPSHOT_CHANNEL)
                    await self._listen_to(channel)
            except (redis.RedisError, OSError) as error:
                log.warning("snapshot.listen_failed", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _listen_to(self, channel: redis.asyncio.client.PubSub) -> None:
        while True:
            if message := await channel.get_message(timeout=POLL_S):
                self.hear(int(message["data"]))


def _load_in_thread() -> Snapshot:
    close_old_connections()
    try:
        return snapshot_load()
    finally:
        connection.close()
