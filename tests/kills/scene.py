"""One run as its case sees it: what there is to harm, and a note of what was harmed and when."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from time import monotonic, sleep
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
from django.db import connection

from billing.holds import scopes_state
from billing.models import UsageEvent
from tenants.valkey import client
from tests.kills.customers import Customer
from tests.kills.load import LONG, Load, Wish
from tests.kills.processes import Process, wait_until
from tests.kills.world import PRICES, Gateway, World

PROMPT_MOST: Final = 700
"""Tokens that a hold counts for a prompt at most: its bytes, and what a template may add."""
HOLD_MOST: Final = (PROMPT_MOST * PRICES["input"] + LONG.tokens * PRICES["output"]) / 10**6
_NANO: Final = 10**9


class Span(NamedTuple):
    start: float
    end: float


@dataclass
class Woken:
    """A gateway that was frozen for so long that others took it for dead, and woke up."""

    url: str
    span: Span


@dataclass
class Scene:
    """`trouble` is when each process was away, or not itself, by its name.

    `may_exceed` is what an organization may have spent beyond what it had, in nano. `must_serve`
    are those that had to get an answer within a span.
    """

    world: World
    load: Load
    customers: list[Customer]
    random: Random
    faults: int = 0
    trouble: defaultdict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    woken: list[Woken] = field(default_factory=list)
    may_exceed: Counter[UUID] = field(default_factory=Counter)
    must_serve: list[tuple[str, Span]] = field(default_factory=list)
    has_forgotten: bool = False

    def pause(self, least_s: float, most_s: float) -> None:
        sleep(self.random.uniform(least_s, most_s))

    def until(self, found: Callable[[], object], what: str) -> None:
        wait_until(found, what)

    def gateway(self) -> Gateway:
        return self.random.choice(self.world.gateways)

    def customer(self, kind: str) -> Customer:
        return next(one for one in self.customers if one.kind == kind)

    def ask(self, gateway: Gateway, wish: Wish, times: int = 2) -> None:
        """Of one that money does not bind, and of one that has enough."""
        for kind in ("open", "credit"):
            self.load.ask(self.customer(kind), gateway.url, wish, times)

    # What happens to processes

    @contextmanager
    def away(self, process: Process) -> Iterator[None]:
        """It is killed, and starts again when the block is over."""
        with self.harmed(process):
            process.kill()
            yield
            process.start()

    @contextmanager
    def crashed(self, gateway: Gateway) -> Iterator[None]:
        """The process that serves dies; when the block is over there is another."""
        with self.harmed(gateway):
            gateway.crash()
            yield
            gateway.await_ready()

    @contextmanager
    def workers_away(self) -> Iterator[None]:
        with ExitStack() as stack:
            for worker in self.world.workers:
                stack.enter_context(self.away(worker))
            yield

    @contextmanager
    def stopped(self, process: Process) -> Iterator[None]:
        """As `away`, but stopped in order."""
        with self.harmed(process):
            process.stop()
            yield
            process.start()

    @contextmanager
    def frozen(self, process: Process) -> Iterator[None]:
        with self.harmed(process), process.frozen():
            yield

    @contextmanager
    def harmed(self, process: Process) -> Iterator[None]:
        """A fault, for as long as the block runs."""
        self.faults += 1
        start = monotonic()
        try:
            yield
        finally:
            self.trouble[process.name].append(Span(start, monotonic()))

    def valkey_flush(self) -> None:
        """It forgets all, and is still the same run of itself: no gateway can know at once.

        What it held and what is not booked may be spent twice.
        """
        for customer in self.customers:
            known = scopes_state(customer.id).values()
            nano = max((one.held + one.unposted for one in known), default=0)
            running = sum(one.customer is customer for one in self.load.running)
            margin = 2 * running + 2  # some begin, and some end, until it has forgotten
            self.may_exceed[customer.id] += nano + int(margin * HOLD_MOST * _NANO)
        self.has_forgotten = True
        client().flushdb()

    def valkey_wipe(self) -> None:
        """With its files, while it is away."""
        self.has_forgotten = True
        shutil.rmtree(self.world.valkey_files)

    def valkey_cut(self) -> None:
        """The end of its append-only file is gone, while it is away."""
        self.has_forgotten = True
        (path,) = self.world.valkey_files.glob("*.incr.aof")
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(int(size * self.random.uniform(0.6, 0.98)))

    @contextmanager
    def booking_held(self) -> Iterator[None]:
        """A worker stands within its transaction until the block is over."""
        with psycopg.connect(self.world.postgres_url) as db:
            db.execute("LOCK TABLE billing_usageeventid IN EXCLUSIVE MODE")
            self.until(lambda: _waiting(db), "a worker books")
            yield

    def booked_again(self) -> None:
        """Soon after PostgreSQL is back: nobody still waits for a time to try again."""
        connection.close()
        before = UsageEvent.objects.count()
        self.until(lambda: UsageEvent.objects.count() > before, "usage is booked again")

    def may_spend(self, customer: Customer) -> Decimal | None:
        """What was there, and what Valkey may have forgotten."""
        if customer.most is None:
            return None
        return customer.most + Decimal(self.may_exceed[customer.id]) / _NANO

    def is_troubled(self, name: str, start: float, end: float, more_s: float = 0) -> bool:
        """Whether a process was away at any time of that, or up to `more_s` before."""
        return any(one.start < end and start < one.end + more_s for one in self.trouble[name])


def _waiting(db: psycopg.Connection) -> bool:
    query = "SELECT FROM pg_locks WHERE relation = 'billing_usageeventid'::regclass AND NOT granted"
    return db.execute(query).fetchone() is not None
