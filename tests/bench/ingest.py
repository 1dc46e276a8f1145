"""How many usage records a second get from the streams into the books: `make ingest-bench`.

All is on: holds' accounts, hard budgets, alerts, sums, the ledger, and stores that keep what they
say. Two workers share a core, so that one computes while PostgreSQL works for the other; at the end
events, sums and books must agree.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.servers import ENVIRONMENT

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    from billing.metering import UsageRecord
    from tenants.models import ApiKey

EVENTS: Final = int(os.environ.get("EVENTS", "200000"))
ORGANIZATIONS: Final = int(os.environ.get("ORGANIZATIONS", "50"))
MODELS: Final = tuple(f"model-{number}" for number in range(8))
SPAN: Final = timedelta(minutes=10)
"""The records are of so long: at 20,000 a second much less is in one batch."""
LANES: Final = 2
GOAL: Final = 20_000


@contextmanager
def stores() -> Iterator[None]:
    """PostgreSQL and Valkey that keep what they say, for as long as the block runs."""
    from console.embedded import Postgres, Running, Valkey

    with TemporaryDirectory(prefix="sluice-ingest-") as name:
        running = []
        for server in (
            Postgres(Path(name) / "postgres", durable=True),
            Valkey(Path(name) / "valkey", durable=True),
        ):
            running.append(Running(server))
            os.environ |= server.environment
        try:
            yield
        finally:
            for one in running:
                one.stop()


def customers_make() -> list[ApiKey]:
    """Organizations with a credit limit and a hard budget, and two keys each."""
    from billing.models import Budget, Component, Mode, Terms
    from billing.services import rate_set
    from tenants import services

    start = datetime.now(UTC) - timedelta(days=1)
    for model in MODELS:
        for component in Component:
            rate_set(
                actor=None, model=model, component=component, price=Decimal(1), valid_from=start
            )
    keys = []
    for number in range(ORGANIZATIONS):
        organization = services.organization_create(
            actor=None, name=f"Customer {number}", slug=f"customer-{number}"
        )
        Terms.objects.create(
            organization=organization, mode=Mode.POSTPAID, credit_limit=Decimal(10**6)
        )
        Budget.objects.create(
            organization=organization, amount=Decimal(10**6), thresholds=[50, 80, 100]
        )
        project = services.project_create(actor=None, organization=organization, name="One")
        keys += [
            services.api_key_create(actor=None, project=project, name=name).api_key
            for name in ("one", "two")
        ]
    return keys


def records(keys: list[ApiKey]) -> Iterator[UsageRecord]:
    from billing.metering import UsageRecord
    from billing.models import Outcome
    from tenants.models import new_id

    chance, begin = random.Random(1), datetime.now(UTC) - SPAN  # noqa: S311 - no secret
    for number in range(EVENTS):
        key, tokens = chance.choice(keys), chance.randrange(20, 4000)
        output, moment = chance.randrange(1, 1000), begin + SPAN * number / EVENTS
        yield UsageRecord(
            new_id(), key.organization_id, key.project_id, key.id, chance.choice(MODELS),
            f"gpu-{number % 4}", "se-lulea", "chat/completions", number % 2 == 0,
            Outcome.COMPLETED, moment, moment, 90, 1200, tokens, tokens // 3, output,
            amount_nano=(tokens + output) * 1000,
        )  # fmt: skip


def streams_fill(keys: list[ApiKey]) -> None:
    """As `settle` leaves them."""
    from billing.metering import encode, shard_of, stream_of
    from tenants.valkey import client

    with client().pipeline(transaction=False) as pipeline:
        pipe: Any = pipeline
        for number, record in enumerate(records(keys)):
            fields = {"r": encode(record), "n": record.amount_nano, "s": "w",
                      "h": record.request_id.bytes, "o": record.organization_id.hex}  # fmt: skip
            pipe.xadd(stream_of(shard_of(record.organization_id)), fields)
            if number % 5000 == 0:
                pipe.execute()
        pipe.execute()


class Cost(NamedTuple):
    """Seconds until a lane was empty, and the CPU's in its worker and its process of PostgreSQL."""

    wall_s: float
    worker_s: float
    postgres_s: float


def lane_drain(number: int, ready: Barrier, costs: Queue[Cost]) -> None:
    """The work of one worker, a process on the first core."""
    import django

    django.setup()
    from billing.ingest import LANES, ingest

    os.sched_setaffinity(0, {0})
    clocks()
    ready.wait()
    began = clocks()
    while ingest(streams=LANES[number]):
        pass
    costs.put(Cost(*(now - before for now, before in zip(clocks(), began, strict=True))))


def clocks() -> Cost:
    """Seconds so far; PostgreSQL's are of the process at the other end of our connection."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    postgres_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return Cost(perf_counter(), process_time(), postgres_s)


def drain() -> Cost:
    """Both lanes at the same time; as long as the slower takes."""
    processes = multiprocessing.get_context("spawn")
    ready, costs = processes.Barrier(LANES), processes.Queue()
    workers = [
        processes.Process(target=lane_drain, args=(number, ready, costs)) for number in range(LANES)
    ]
    for worker in workers:
        worker.start()
    found = [costs.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    return Cost(
        max(cost.wall_s for cost in found),
        sum(cost.worker_s for cost in found),
        sum(cost.postgres_s for cost in found),
    )


def check() -> None:
    """Events, hours, days and books say the same."""
    from django.db.models import Count, Sum

    from billing.ledger import books_check, wallet_read
    from billing.models import UsageDay, UsageEvent, UsageHour
    from tenants.models import Organization

    events = UsageEvent.objects.aggregate(requests=Count("request_id"), amount=Sum("amount"))
    for sums in (UsageHour, UsageDay):
        assert sums.objects.aggregate(requests=Sum("requests"), amount=Sum("amount")) == events
    wallets = wallet_read(list(Organization.objects.values_list("id", flat=True)))
    assert sum(wallet.unbilled for wallet in wallets.values()) == events["amount"]
    assert events["requests"] == EVENTS
    assert books_check() == []


def run() -> Cost:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    keys = customers_make()
    from billing.seeding import accounts_tend

    accounts_tend()
    streams_fill(keys)
    cost = drain()
    check()
    return cost


def main() -> int:
    os.environ.update(ENVIRONMENT)
    with stores():
        cost = run()
    speed = EVENTS / cost.wall_s
    lines = [f"{EVENTS:,} events of {ORGANIZATIONS} organizations: {speed:,.0f}/s, goal {GOAL:,}/s"]
    for name, seconds in zip(("workers", "PostgreSQL"), cost[1:], strict=True):
        lines.append(f"  {name:<10} {seconds / EVENTS * 1e6:5.1f} µs of CPU an event")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if speed >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
