"""A spool of its own for each test, and a world outside that notes what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import msgspec
import pytest

from billing.metering import UsageRecord
from inference.gateway.spool import Dispatch, Limits, Settled, Spool, life_of
from inference.gateway.spool.archive import Id

PAUSE_S: Final = 0.005
ACME: Final = UUID(int=7)
OURS: Final = UUID(int=1)
"""The database that records go to."""
LIMITS: Final = Limits(keep_s=3600, max_bytes=1 << 30, min_free_bytes=0, slow_s=5, patience_s=10)


class Away(Exception):  # noqa: N818
    """A store does not answer."""


class World:
    """`is_away` stands for Valkey, `booked` for PostgreSQL; None is PostgreSQL away. It is
    `installation` once that is known.
    """

    def __init__(self, installation: UUID | None = OURS) -> None:
        self.installation = installation
        self.delivered: list[Settled] = []
        self.voided: list[UUID] = []
        self.abandoned: list[str] = []
        self.told: dict[str, bytes] = {}
        self.booked: set[UUID] | None = set()
        self.is_away = False
        self.poison: set[UUID] = set()

    @property
    def requests(self) -> list[UUID]:
        """Delivered, in order."""
        return [settled.request_id for settled in self.delivered]

    async def deliver(self, settled: Settled) -> None:
        self._ask()
        if settled.request_id in self.poison:
            raise ValueError("unknown")
        self.delivered.append(settled)

    async def void(self, request_id: UUID, organization_id: UUID) -> None:
        self._ask()
        self.voided.append(request_id)

    async def abandon(self, name: str) -> None:
        self._ask()
        self.abandoned.append(name)

    async def tell(self, name: str, state: bytes) -> None:
        self._ask()
        self.told[name] = state

    def unbooked(self, ids: Sequence[Id]) -> set[Id]:
        if self.booked is None:
            raise Away
        return {(organization, request) for organization, request in ids} - {
            (organization, request) for organization, request in ids if request in self.booked
        }

    @staticmethod
    def rate(record: UsageRecord) -> int:
        return record.input_tokens + 10 * record.output_tokens

    def _ask(self) -> None:
        if self.is_away:
            raise Away


@pytest.fixture
def world() -> World:
    return World()


def spool_in(root: Path, world: World, limits: Limits = LIMITS) -> Spool:
    return Spool(
        root, "gw:1", life_of("gw:1"), limits, installation=lambda: world.installation,
        deliver=world.deliver, void=world.void, abandon=world.abandon, rate=world.rate,
        unbooked=world.unbooked, tell=world.tell,
    )  # fmt: skip


@asynccontextmanager
async def spooling(root: Path, world: World, limits: Limits = LIMITS) -> AsyncIterator[Spool]:
    spool = spool_in(root, world, limits)
    await spool.start()
    try:
        yield spool
    finally:
        await spool.stop()


def record(request_id: UUID | None = None, **fields: object) -> UsageRecord:
    now = datetime.now(UTC)
    usual = UsageRecord(
        request_id=request_id or uuid4(), organization_id=ACME, project_id=UUID(int=8),
        api_key_id=UUID(int=9), model="acme/tiny", backend="one", region="here",
        endpoint="chat/completions", streamed=True, outcome="completed", admitted_at=now,
        occurred_at=now, ttft_ms=None, duration_ms=1, input_tokens=2, cached_tokens=0,
        output_tokens=3, amount_nano=32,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **fields)


def dispatch(request_id: UUID) -> Dispatch:
    template = record(request_id, outcome="gateway_crash", input_tokens=0, output_tokens=0)
    return Dispatch(template, bound_nano=1000, scopes=("w",))


async def until(found: Callable[[], object], timeout_s: float = 30) -> None:
    """Return when `found` is true; AssertionError past `timeout_s`."""
    for _ in range(round(timeout_s / PAUSE_S)):
        if found():
            return
        await asyncio.sleep(PAUSE_S)
    raise AssertionError(f"still not so after {timeout_s} s")
