"""Looks after the backends for all gateways: one process is elected, and tells what it sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from uuid import UUID

import aiohttp
import redis
import redis.asyncio
import structlog

from inference import probes
from inference.gateway.errors import NotReady
from inference.gateway.fleet import Fleet
from inference.gateway.keeper import SnapshotKeeper
from inference.gateway.neighbours import Command
from inference.gateway.pulse import Pulse
from inference.gateway.watch import Watch
from inference.live.seen import BACKENDS, BREAKERS, PROBER
from inference.snapshot import BackendEntry

PERIOD_S: Final = 1.0
"""Between two looks at the metrics of an engine."""
LOOKS_PER_CHECK: Final = 5
ELECTED_MS: Final = 2500
"""An elected process says so each PERIOD_S; when it does not another takes over."""
KEPT_S: Final = 60
"""What nobody says again is forgotten."""

_ELECT: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RESIGN: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

log = structlog.get_logger()


class Prober:
    """It watches every backend that is not disabled, whether or not a model is deployed there."""

    def __init__(
        self,
        valkey: redis.asyncio.Redis,
        fleet: Fleet,
        keeper: SnapshotKeeper,
        pulse: Pulse,
        own_id: str,
    ) -> None:
        self._valkey, self._fleet, self._keeper, self._pulse = valkey, fleet, keeper, pulse
        self._id = own_id
        self._is_elected = False
        self._watches: dict[UUID, Watch] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._looks = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._rest()
        await self._write([("EVAL", _RESIGN, 1, PROBER, self._id)])

    async def _run(self) -> None:
        async with probes.session(self._id) as asking:
            while True:
                began = monotonic()
                try:
                    await self._turn(asking)
                except Exception:  # it must go on, or nobody looks after the backends
                    log.exception("prober.failed")
                await asyncio.sleep(max(began + PERIOD_S - monotonic(), 0.0))

    async def _turn(self, asking: aiohttp.ClientSession) -> None:
        with suppress(NotReady):
            backends = self._keeper.snapshot.backends
            if await self._is_chosen():
                self._follow(backends)
                self._look(asking)
                await self._write([*self._told(), ("EXPIRE", BACKENDS, KEPT_S)])
            else:
                self._rest()

    async def _is_chosen(self) -> bool:
        elect: Command = ("EVAL", _ELECT, 1, PROBER, self._id, ELECTED_MS)
        is_elected = await self._write([elect]) == [1]
        if is_elected is not self._is_elected:
            self._is_elected = is_elected
            log.info("prober.elected" if is_elected else "prober.replaced")
        return is_elected

    def _follow(self, backends: Sequence[BackendEntry]) -> None:
        """Watch these; what was said of them before, by whomever, goes on."""
        before, said = self._watches, self._pulse.backends
        self._watches = {}
        for entry in backends:
            watch = before.get(entry.id) or Watch(entry, said.get(entry.id), self._id)
            watch.entry = entry
            self._watches[entry.id] = watch

    def _look(self, asking: aiohttp.ClientSession) -> None:
        """Begin to ask all that do not still think about the last question."""
        now = datetime.now(UTC)
        for watch in self._watches.values():
            watch.in_flight(self._fleet.in_flight(watch.entry.id), now)
            self._ask(f"scrape {watch.entry.id}", self._scrape, watch, asking)
            if self._looks % LOOKS_PER_CHECK == 0:
                self._ask(f"check {watch.entry.id}", self._check, watch, asking)
        self._looks += 1

    def _ask(
        self,
        name: str,
        ask: Callable[[Watch, aiohttp.ClientSession], Coroutine[Any, Any, None]],
        watch: Watch,
        asking: aiohttp.ClientSession,
    ) -> None:
        if name not in self._asking:
            self._asking[name] = asyncio.create_task(ask(watch, asking))
            self._asking[name].add_done_callback(lambda _: self._asking.pop(name, None))

    async def _check(self, watch: Watch, asking: aiohttp.ClientSession) -> None:
        entry = watch.entry
        watch.checked(await probes.check(asking, entry.base_url, entry.engine, entry.key))

    async def _scrape(self, watch: Watch, asking: aiohttp.ClientSession) -> None:
        entry = watch.entry
        load = await probes.scrape(asking, entry.base_url, entry.engine, entry.key)
        watch.scraped(load, datetime.now(UTC))

    def _told(self) -> list[Command]:
        """What is new, and the end of what was said of backends that are gone."""
        news = [command for watch in self._watches.values() for command in watch.news()]
        gone = self._pulse.backends.keys() - self._watches.keys()
        return news + [("HDEL", key, str(one)) for one in gone for key in (BACKENDS, BREAKERS)]

    async def _write(self, commands: Sequence[Command]) -> list[Any]:
        """Their answers; none when Valkey is away."""
        pipeline = self._valkey.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            async with asyncio.timeout(PERIOD_S):
                answers: list[Any] = await pipeline.execute()
        except (redis.RedisError, OSError):
            return []
        return answers

    def _rest(self) -> None:
        """Leave it to another."""
        for task in tuple(self._asking.values()):
            task.cancel()
        self._watches, self._looks = {}, 0
