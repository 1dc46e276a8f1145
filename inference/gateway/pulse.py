"""Four times a second: tells the other gateways what this one knows, and hears what they do.

One round trip to Valkey, none for a request. Without Valkey each process goes on by itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, NamedTuple
from uuid import UUID

import redis
import redis.asyncio
import structlog

from inference.gateway.fleet import Fleet
from inference.gateway.neighbours import (
    GONE_S,
    SILENT_S,
    Command,
    Hash,
    Neighbours,
    SharedBreakers,
    Sightings,
)
from inference.live.seen import (
    BACKENDS,
    BREAKERS,
    GATEWAYS,
    BackendSaid,
    GatewaySaid,
    QueueSeen,
    backend_decode,
    encode,
    gateway_decode,
)
from tenants.valkey import SNAPSHOT_VERSION

PERIOD_S: Final = 0.25
TIMEOUT_S: Final = 1.0

log = structlog.get_logger()


def gateway_id() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class Heard(NamedTuple):
    """What stood in Valkey at the last beat."""

    gateways: Hash
    breakers: Hash
    backends: Hash
    version: bytes | None


class Pulse:
    """`queues` tells what waits here; `on_version` hears the version of the snapshot."""

    def __init__(
        self,
        valkey: redis.asyncio.Redis,
        fleet: Fleet,
        queues: Callable[[], Sequence[QueueSeen]],
        on_version: Callable[[int], None],
        own_id: str,
    ) -> None:
        self._valkey, self._fleet, self._queues = valkey, fleet, queues
        self._on_version = on_version
        self._id = own_id
        self._neighbours = Neighbours(self._id.encode())
        self._sightings, self._breakers = Sightings(fleet), SharedBreakers(fleet, self._id)
        self._beat, self._heard_at = 0, monotonic() - SILENT_S
        self._gateways: dict[bytes, GatewaySaid] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.backends: dict[UUID, BackendSaid] = {}
        """What the prober last said, however old."""

    def start(self) -> None:
        self._fleet.on_turn = self._wake.set
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(redis.RedisError, OSError):
            await self._valkey.hdel(GATEWAYS, self._id)

    async def _run(self) -> None:
        while True:
            try:
                await self.beat()
            except Exception:  # it must go on, or this process is blind
                log.exception("pulse.failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), PERIOD_S)
            self._wake.clear()

    async def beat(self) -> None:
        """Tell and hear. What was heard before counts until it is too old."""
        was_alone, problem = self._fleet.is_alone, ""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._hear(await self._exchange())
        except Exception as error:  # of Valkey, or of what another version wrote there
            problem = type(error).__name__
        self._settle(monotonic())
        if self._fleet.is_alone is not was_alone:
            log.info("pulse.alone" if was_alone is False else "pulse.together", error=problem)

    async def _exchange(self) -> Heard:
        told = self._breakers.to_tell()
        commands: list[Command] = [
            *map(self._breakers.command, told),
            ("HSET", GATEWAYS, self._id, self._said()),
            ("EXPIRE", GATEWAYS, int(GONE_S)),
            *(("HDEL", GATEWAYS, name) for name in self._neighbours.gone),
            ("HGETALL", GATEWAYS),
            ("HGETALL", BREAKERS),
            ("HGETALL", BACKENDS),
            ("GET", SNAPSHOT_VERSION),
        ]
        pipeline = self._valkey.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute()
        for one, was_first in zip(told, answers, strict=False):
            if was_first:
                self._breakers.was_told(one)
        return Heard(*answers[-4:])

    def _said(self) -> bytes:
        self._beat += 1
        queues = tuple(self._queues())
        return encode(GatewaySaid(self._beat, datetime.now(UTC), self._fleet.own, queues))

    def _hear(self, heard: Heard) -> None:
        self._heard_at = monotonic()
        self._gateways = {name: gateway_decode(said) for name, said in heard.gateways.items()}
        self._breakers.hear({_id(key): said for key, said in heard.breakers.items()})
        self.backends = {_id(key): backend_decode(said) for key, said in heard.backends.items()}
        self._on_version(int(heard.version or 0))

    def _settle(self, now: float) -> None:
        """Work out how the fleet looks now."""
        self._sightings.hear(self.backends, now)
        in_flight = self._neighbours.in_flight(self._gateways, now)
        self._fleet.hear(in_flight, is_alone=now - self._heard_at >= SILENT_S)
        self._fleet.tell_room()


def _id(key: bytes) -> UUID:
    return UUID(key.decode())
