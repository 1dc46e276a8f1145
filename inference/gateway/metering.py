"""From a hold to a usage event: what stands on disk, what Valkey is told, and in which order.

A stream is on disk before the client has its first byte, and each end before the last one leaves.
From there the record goes on the stream, in the step that lets the hold go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Final
from uuid import UUID

import redis.asyncio
import structlog
from django.conf import settings

from billing.booked import unbooked
from billing.holds import HoldsClient, StoreAway, holds_abandon
from billing.metering import UsageRecord
from billing.models import LIST_EUR
from billing.seeding import accounts_seed
from inference.engines import Usage
from inference.gateway.admission import Admission, Grant
from inference.gateway.charging import record_charged
from inference.gateway.database import ask as in_database
from inference.gateway.database import in_thread
from inference.gateway.errors import MeteringAway
from inference.gateway.figures import LiveFigures
from inference.gateway.keeper import SnapshotKeeper
from inference.gateway.leasing import Leasing
from inference.gateway.metrics import RECORDS_LOST
from inference.gateway.spool import Dispatch, Limits, Settled, Spool, SpoolClosed, life_of

BEAT_S: Final = 2.0
RETRY_S: Final = 1.0
STATE_KEPT_S: Final = 30
MB: Final = 2**20

log = structlog.get_logger()


class Metering:
    """Of one process. It keeps the lease of the holds, for as long as it runs."""

    def __init__(
        self, admission: Admission, holds: HoldsClient, spool: Spool, leasing: Leasing
    ) -> None:
        self.admission, self._holds, self._spool = admission, holds, spool
        self._leasing = leasing
        self._running = set[asyncio.Task[None]]()
        self._beating: asyncio.Task[None] | None = None

    @property
    def spool(self) -> Spool:
        return self._spool

    async def start(self) -> None:
        await self._holds.start()
        await self._spool.start()
        self._beating = asyncio.create_task(self._beat())
        await self._leasing.start(self._spool)

    async def stop(self) -> None:
        """What could not be settled or voided stays on disk, for whoever lives next."""
        if self._running:
            await asyncio.wait(self._running, timeout=RETRY_S)
        for task in (self._beating, *self._running):
            if task:
                task.cancel()
        await self._leasing.stop()
        await self._spool.stop()
        await self._holds.stop()

    def dispatched(self, record: UsageRecord, grant: Grant) -> None:
        """Raises MeteringAway: then nothing may be asked."""
        try:
            self._spool.dispatched(Dispatch(record, grant.amount_nano, grant.scopes))
        except SpoolClosed:
            raise MeteringAway from None

    def synced(self) -> asyncio.Future[None]:
        """Done when what was dispatched is on disk; it may fail with SpoolClosed."""
        return self._spool.synced()

    def progressed(self, request_id: UUID, usage: Usage, ttft_ms: int | None) -> None:
        self._spool.progressed(request_id, usage, ttft_ms)

    def settled(
        self, record: UsageRecord, actual_nano: int, grant: Grant, tokens: int
    ) -> Awaitable[None]:
        """It is taken at once, and on disk when the result is there; that may be SpoolClosed."""
        written = self._spool.settled(record, actual_nano, grant.scopes, tokens)
        written.add_done_callback(partial(_count_lost, record.request_id))
        return written

    def voided(self, request_id: UUID, organization_id: UUID) -> None:
        """Nothing was used: the hold is let go, as soon as Valkey is there."""
        self._leasing.voided(request_id)
        self._spool.voided(request_id)
        work = self._void(request_id, organization_id)
        task = asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
        if not task.done():
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _void(self, request_id: UUID, organization_id: UUID) -> None:
        while True:
            try:
                await self._holds.void(request_id, organization_id)
            except StoreAway:
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _beat(self) -> None:
        while True:
            with suppress(StoreAway):
                await self._holds.beat()
            await asyncio.sleep(BEAT_S)


def metering_made(
    valkey: redis.asyncio.Redis, gateway: str, figures: LiveFigures, keeper: SnapshotKeeper
) -> Metering:
    """With the stores that the settings name."""
    name = life_of(gateway)
    holds = HoldsClient(valkey, name)
    leasing = Leasing(holds, lambda organizations: in_database(accounts_seed, organizations))

    def rate(record: UsageRecord) -> int:
        snapshot = keeper.snapshot if keeper.is_ready else None
        model = snapshot and (
            snapshot.models.get(record.model) or snapshot.retired.get(record.model)
        )
        if not model:
            raise LookupError(record.model)
        return record_charged(model.prices[record.book or LIST_EUR], record)

    spool = Spool(
        settings.SPOOL_DIR,
        gateway,
        name,
        Limits(
            keep_s=settings.SPOOL_KEEP_S,
            max_bytes=settings.SPOOL_MAX_MB * MB,
            min_free_bytes=settings.SPOOL_MIN_FREE_MB * MB,
            slow_s=settings.SPOOL_SLOW_S,
            patience_s=settings.SPOOL_PATIENCE_S,
        ),
        installation=lambda: keeper.snapshot.installation if keeper.is_ready else None,
        deliver=partial(deliver, holds),
        void=holds.void,
        abandon=lambda dead: asyncio.to_thread(holds_abandon, dead),
        rate=rate,
        unbooked=in_thread(unbooked),
        tell=lambda name, state: valkey.set(name, state, ex=STATE_KEPT_S),
        landed=leasing.landed,
    )
    admission = Admission(holds, name, figures, in_thread(accounts_seed), leasing)
    return Metering(admission, holds, spool, leasing)


def _count_lost(request_id: UUID, written: asyncio.Future[None]) -> None:
    error = None if written.cancelled() else written.exception()
    if isinstance(error, SpoolClosed):
        RECORDS_LOST.inc()
        log.error("usage.not_on_disk", request_id=str(request_id), why=error.reason)


def deliver(holds: HoldsClient, settled: Settled) -> Awaitable[bool]:
    """Book what a request cost, queue its record and let go of its hold. Raises StoreAway."""
    return holds.settle(
        settled.request_id,
        settled.organization_id,
        settled.actual_nano,
        settled.tokens,
        bytes(settled.record),
        scopes=settled.scopes,
    )
