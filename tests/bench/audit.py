"""How many audit entries a second get into one chain, and into many: `make audit-bench`.

Eight writers, each append a transaction of its own, on a PostgreSQL that keeps what it says. In one
chain they wait for one another, from the lock on its head to the commit. At the end all must link.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Thread
from time import perf_counter
from typing import Final
from uuid import UUID

from tests.bench.ingest import stores
from tests.servers import ENVIRONMENT

ENTRIES: Final = int(os.environ.get("ENTRIES", "8000"))
WRITERS: Final = 8
FACTS: Final = {
    "action": "api_key.create", "actor": None, "on_behalf_of": None, "target_type": "apikey",
    "target_id": "0199f0a0-0000-7000-8000-000000000000", "auth": "password+totp",
    "request_id": "0199f0a0-0000-7000-8000-000000000000", "reason": "", "personal": {},
    "data": {"name": "search, production", "hint": "sluice_sk_abcd…", "expires_at": None},
}  # fmt: skip


def write(chain: UUID, count: int) -> None:
    """`count` entries from a connection of its own."""
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        for _ in range(count):
            connection.execute(
                "SELECT audit_append(%s, %s::jsonb)", [chain, json.dumps(FACTS)], prepare=True
            )


def rate_of(chains: Sequence[UUID]) -> float:
    """Entries a second of all writers together, each at one of `chains`."""
    share = ENTRIES // WRITERS
    writers = [
        Thread(target=write, args=(chains[at % len(chains)], share)) for at in range(WRITERS)
    ]
    start = perf_counter()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return share * WRITERS / (perf_counter() - start)


def main() -> int:
    """How many it are; 1 when the chains do not link after it."""
    from django.core.management import call_command

    from tenants import services
    from tenants.audit.checks import trail_check

    call_command("migrate", verbosity=0)
    chains = [
        services.organization_create(actor=None, name=f"{at}", slug=f"customer-{at}").pk
        for at in range(WRITERS)
    ]
    print(f"one chain     {rate_of(chains[:1]):8,.0f} entries/s, {WRITERS} writers")  # noqa: T201
    print(f"{WRITERS} chains      {rate_of(chains):8,.0f} entries/s, {WRITERS} writers")  # noqa: T201
    start = perf_counter()
    looked = trail_check()
    took_s = perf_counter() - start
    print(f"verified      {looked.entries / took_s:8,.0f} entries/s, {len(looked.findings)} wrong")  # noqa: T201
    return int(not looked.is_right)


if __name__ == "__main__":
    import django

    os.environ.update(ENVIRONMENT)
    with ExitStack() as stack:
        stack.enter_context(stores())
        django.setup()
        sys.exit(main())
