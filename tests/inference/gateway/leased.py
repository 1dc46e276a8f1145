"""Gateways, a Valkey that comes and goes, and PostgreSQL: step by step, on a clock of the test's.

Admission, leases and books are the real ones; Valkey is a model of its scripts, and the disk of a
gateway is a list.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID, uuid4

import msgspec
from django.db import connection
from django.utils import timezone

from billing.balances import WALLET, balances_read
from billing.holds import Ask, Denied, Granted, HoldsClient, StoreAway, Unknown
from billing.ledger import prepaid_top_up, usage_post
from billing.limits import KeyTerms
from billing.models import Component, Lease, Mode, Spender, Terms
from inference.gateway.admission import Admission, Grant, Wish
from inference.gateway.errors import InsufficientQuota, MeteringAway
from inference.gateway.figures import LiveFigures
from inference.gateway.leasing import Leasing
from inference.gateway.spool import Settled
from inference.snapshot import KeyEntry
from tenants.models import Organization, new_id
from tenants.valkey import async_client

CREDIT: Final = 10_000
"""Nano."""
TERMS: Final = KeyTerms(has_wallet=True)
_NANO: Final = Decimal(10**9)
_RECORD: Final = msgspec.Raw(b"\xc0")


class Clock:
    """`now` moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Account:
    def __init__(self, epoch: int) -> None:
        self.epoch, self.version = epoch, -1
        self.balance = self.unposted = self.held = 0


class FakeValkey:
    """What `reserve.lua`, `settle.lua` and `post.lua` do, for one wallet each."""

    def __init__(self) -> None:
        self.is_up, self.epoch = True, 1
        self.wipe()

    def come_back(self, *, is_empty: bool) -> None:
        """As another run."""
        self.is_up = True
        self.epoch += 1
        if is_empty:
            self.wipe()

    def wipe(self) -> None:
        self.accounts = dict[UUID, Account]()
        self.holds = dict[UUID, tuple[UUID, int]]()
        self.stream = dict[UUID, tuple[UUID, int]]()
        self.done = set[UUID]()

    def reserve(self, ask: Ask) -> Granted | Denied | Unknown:
        account = self.accounts.get(ask.organization_id)
        if account is None or account.epoch != self.epoch:
            return Unknown(ask.scopes)
        used = account.unposted + account.held
        if account.balance - used < ask.amount_nano:
            return Denied(WALLET, None, account.balance, used, None, ())
        account.held += ask.amount_nano
        self.holds[ask.hold] = ask.organization_id, ask.amount_nano
        return Granted((), is_repeat=False)

    def end(self, hold: UUID, organization_id: UUID, actual_nano: int | None) -> None:
        if hold in self.done:
            return
        self.done.add(hold)
        _, held = self.holds.pop(hold, (None, 0))
        if actual_nano is not None:
            self.stream[hold] = organization_id, actual_nano
        if account := self.accounts.get(organization_id):
            account.held = max(0, account.held - held)
            account.unposted += actual_nano or 0

    def seed(self, organization_id: UUID, version: int, balance: int) -> None:
        account = self.accounts.setdefault(organization_id, Account(self.epoch))
        if account.epoch == self.epoch and version < account.version:
            return
        account.epoch, account.version, account.balance = self.epoch, version, balance
        account.unposted = sum(n for one, n in self.stream.values() if one == organization_id)
        account.held = sum(n for one, n in self.holds.values() if one == organization_id)


@dataclass(eq=False)
class Request:
    """`spent_nano` is what it was promised to cost, None while it runs."""

    id: UUID
    bound_nano: int
    grant: Grant
    spent_nano: int | None = None


@dataclass(eq=False)
class Disk:
    """The spool of one process: it outlives it. `heirs` of it have nothing else to tell."""

    name: str
    settled: list[Settled] = field(default_factory=list)


class FakeGateway:
    """What a process knows; its disk it has in common with its heir."""

    def __init__(self, scene: Scene, number: int) -> None:
        self._scene = scene
        self.is_cut = False
        self.disk = Disk(f"gateway-{number}.{uuid4().hex[:12]}")
        self.adopted = list[Disk]()
        self.running = list[Request]()
        self.queue = list[Settled]()
        self._lost_at = scene.clock.now
        self.leasing = Leasing(self, scene.seed)
        self.leasing._records = self
        figures = LiveFigures(async_client())
        holds = cast("HoldsClient", self)
        self.admission = Admission(holds, self.disk.name, figures, scene.seed_now, self.leasing)

    # What the leases know of Valkey and of the spool

    @property
    def is_connected(self) -> bool:
        return self._scene.valkey.is_up and not self.is_cut

    @property
    def epoch(self) -> bytes:
        return b"%d" % self._scene.valkey.epoch if self.is_connected else b""

    @property
    def away_s(self) -> float:
        return 0.0 if self.is_connected else 60.0

    @property
    def name(self) -> str:
        return self.disk.name

    @property
    def waiting(self) -> int:
        return len(self.queue)

    @property
    def dead(self) -> Set[str]:
        return {disk.name for disk in self.adopted}

    async def reserve(self, ask: Ask) -> Granted | Denied | Unknown:
        self._ask()
        return self._scene.valkey.reserve(ask)

    async def has(self, holds: Mapping[UUID, UUID]) -> set[UUID]:
        self._ask()
        return holds.keys() & self._scene.valkey.holds.keys()

    async def missing(self) -> AsyncIterator[list[Settled]]:
        for disk in (self.disk, *self.adopted):
            yield [one for one in disk.settled if one.request_id not in self._scene.booked]

    async def redeliver(self) -> bool:
        async for missing in self.missing():
            for settled in missing:
                if not self.deliver(settled):
                    return False
        return True

    # What it does

    async def ask(self, bound_nano: int) -> Request | None:
        """None when it is refused for now; raises InsufficientQuota."""
        request_id = uuid4()
        try:
            grant = await self.admission.admit(self._wish(request_id, bound_nano), _no_count)
        except MeteringAway:
            return None
        request = Request(request_id, bound_nano, grant)
        self.running.append(request)
        return request

    def settle(self, request: Request, actual_nano: int) -> None:
        """On disk, and to Valkey if it is there."""
        self.running.remove(request)
        request.spent_nano = actual_nano
        settled = self._scene.settled_of(request)
        self.disk.settled.append(settled)
        is_there = not self.queue and self.deliver(settled)
        self.leasing.landed(settled, is_there)
        if not is_there:
            self.queue.append(settled)

    def void(self, request: Request) -> None:
        self.running.remove(request)
        request.spent_nano = 0
        self.leasing.voided(request.id)
        self._scene.voids.append(request.id)

    def deliver(self, settled: Settled) -> bool:
        if self.is_connected:
            self._scene.valkey.end(settled.request_id, settled.organization_id, settled.actual_nano)
        return self.is_connected

    def drain(self) -> None:
        self.queue = [settled for settled in self.queue if not self.deliver(settled)]

    def _wish(self, request_id: UUID, bound_nano: int) -> Wish:
        key = KeyEntry(uuid4(), self._scene.acme, uuid4(), terms=TERMS)
        return Wish(request_id, key, "m", bound_nano, 0)

    def _ask(self) -> None:
        if not self.is_connected:
            raise StoreAway


class Scene:
    """An organization that has paid CREDIT, and all of its requests."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop, self.clock, self.valkey = loop, clock, FakeValkey()
        self.booked = set[UUID]()
        self.voids = list[UUID]()
        self.left_behind = list[Disk]()
        self._born = 0
        self.requests = list[Request]()
        Spender.objects.all().delete()
        organization = Organization.objects.create(name="Acme", slug=f"acme-{uuid4().hex}")
        self.acme = organization.pk
        Terms.objects.create(organization=organization, mode=Mode.PREPAID)
        prepaid_top_up(
            actor=None, organization=organization, amount=CREDIT / _NANO, reference=uuid4().hex
        )
        self.gateways = [self._gateway(), self._gateway()]
        self.settle_down()

    def run[T](self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self._loop.run_until_complete(awaited())

    def ask(self, gateway: FakeGateway, bound_nano: int) -> Request | None:
        """None when it is refused."""
        with suppress(InsufficientQuota):
            if request := self.run(gateway.ask(bound_nano)):
                self.requests.append(request)
                assert self.exposed_nano <= CREDIT
                return request
        return None

    @property
    def exposed_nano(self) -> int:
        """What is promised, and what those that run may cost."""
        return sum(
            one.bound_nano if one.spent_nano is None else one.spent_nano for one in self.requests
        )

    def step(self, gateway: FakeGateway) -> None:
        with suppress(StoreAway):
            self.run(gateway.leasing.step())

    def crash(self, gateway: FakeGateway, used: Callable[[int], int | None]) -> None:
        """Of each request that ran, `used` says what was written of it, None for nothing."""
        for request in gateway.running:
            actual = used(request.bound_nano)
            request.spent_nano = actual or 0
            if actual is None:
                self.voids.append(request.id)
            else:
                gateway.disk.settled.append(self.settled_of(request))
        self.left_behind += [gateway.disk, *gateway.adopted]
        self.gateways[self.gateways.index(gateway)] = self._gateway()

    def adopt(self, gateway: FakeGateway) -> None:
        gateway.adopted += self.left_behind
        self.left_behind = []
        if gateway.is_connected:
            self.run(gateway.redeliver())

    async def seed(self, organizations: Collection[UUID]) -> None:
        self.seed_now(organizations)

    def seed_now(self, organizations: Collection[UUID]) -> None:
        if not self.valkey.is_up:
            raise StoreAway
        for one, (version, by_scope) in self._read(organizations).items():
            self.valkey.seed(one, version, by_scope[WALLET])

    def book(self, *, is_told: bool = True) -> None:
        """What is on the stream goes to the books; then the counters are told, or it dies."""
        if not self.valkey.is_up:
            return
        entries = {id_: nano for id_, (_, nano) in self.valkey.stream.items()}
        fresh = {id_: nano for id_, nano in entries.items() if id_ not in self.booked}
        amount = {Component.OUTPUT: sum(fresh.values()) / _NANO}
        usage_post(new_id(), {self.acme: amount}, timezone.now())
        self.booked |= fresh.keys()
        if is_told:
            for id_ in entries:
                del self.valkey.stream[id_]
            self.seed_now([self.acme])

    def flush_voids(self) -> None:
        if self.valkey.is_up:
            for id_ in self.voids:
                self.valkey.end(id_, self.acme, None)

    def settle_down(self) -> None:
        """All is well again, and everything goes its way."""
        self.valkey.is_up = True
        for gateway in self.gateways:
            gateway.is_cut = False
        self.adopt(self.gateways[0])
        for _ in range(12):
            self.clock.now += 3
            self.flush_voids()
            for gateway in self.gateways:
                gateway.drain()
                self.step(gateway)

    def check_at_rest(self) -> None:
        """Valkey has what the books have, and all of it can be spent, but not a nano more."""
        for gateway in self.gateways:
            for request in list(gateway.running):
                gateway.settle(request, request.bound_nano)
        self.settle_down()
        self.book()
        assert not Lease.objects.exists()
        assert {one.name for one in Spender.objects.all()} == {g.name for g in self.gateways}
        left = CREDIT - self.exposed_nano
        assert self._read([self.acme])[self.acme].by_scope == {WALLET: left}
        self.seed_now([self.acme])
        assert self.ask(self.gateways[0], left + 1) is None
        assert self.ask(self.gateways[1], left)

    def settled_of(self, request: Request) -> Settled:
        actual = request.spent_nano or 0
        return Settled(request.id, self.acme, actual, 0, request.grant.scopes, _RECORD)

    def _gateway(self) -> FakeGateway:
        self._born += 1
        return FakeGateway(self, self._born)

    @staticmethod
    def _read(organizations: Collection[UUID]) -> Mapping[UUID, Any]:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(_balances, organizations).result()


def _balances(organizations: Collection[UUID]) -> Mapping[UUID, Any]:
    try:
        return balances_read(organizations)
    finally:
        connection.close()


async def _no_count(left: int) -> int | None:
    return None
