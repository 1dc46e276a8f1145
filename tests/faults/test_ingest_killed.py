"""A worker that is killed in the middle of its work, again and again, books everything once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import settings
from django.db.models import Count, Sum

from billing.ingest import ingest
from billing.ledger import books_check, wallet_read
from billing.metering import FIELD, STREAMS, UsageRecord, encode, shard_of, stream_of
from billing.models import Component, Outcome, UsageDay, UsageEvent, UsageHour
from billing.services import rate_set
from tenants.models import new_id
from tenants.valkey import client
from tests.conftest import Cast, make_cast
from tests.servers import services_url

RECORDS: Final = 4000
BATCH: Final = 10
LIVES_S: Final = (0.1, 0.2, 0.3, 0.5)
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)

WORKER: Final = f"""
import django
django.setup()
from billing.ingest import ingest
print("at work", flush=True)
while ingest({BATCH}):
    pass
"""


def put_records(cast: Cast) -> None:
    stream = stream_of(shard_of(cast.acme.id))
    held: Any = {b"n": 0, b"s": b"", b"h": b"", b"o": cast.acme.id.hex}
    with client().pipeline(transaction=False) as pipeline:
        for number in range(RECORDS):
            pipeline.xadd(stream, held | {FIELD: encode(record(cast, number))})
        pipeline.execute()


def record(cast: Cast, number: int) -> UsageRecord:
    return UsageRecord(
        request_id=new_id(),
        organization_id=cast.acme.id,
        project_id=cast.project.id,
        api_key_id=cast.key.api_key.id,
        model="tiny",
        backend="gpu-1",
        region="se",
        endpoint="chat/completions",
        streamed=False,
        outcome=Outcome.COMPLETED,
        admitted_at=NOON,
        occurred_at=NOON + timedelta(seconds=number),
        ttft_ms=1,
        duration_ms=1,
        input_tokens=number,
        cached_tokens=0,
        output_tokens=1,
    )


def work_for(life_s: float) -> None:
    """Let a worker process book for `life_s` and kill it in the middle."""
    worker = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", WORKER],
        env=os.environ | {"DATABASE_URL": services_url()},
        cwd=Path(settings.BASE_DIR),
        stdout=subprocess.PIPE,
    )
    with worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"at work\n"
        time.sleep(life_s)
        worker.kill()


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_at_any_moment_loses_nothing_and_books_nothing_twice() -> None:
    cast = make_cast()
    for component in Component:
        rate_set(actor=None, model="tiny", component=component, price=Decimal(1), valid_from=NOON)
    put_records(cast)

    for life_s in LIVES_S:
        work_for(life_s)
    booked_by_the_killed = UsageEvent.objects.count()
    while ingest():
        pass

    assert 0 < booked_by_the_killed < RECORDS
    tokens = RECORDS * (RECORDS - 1) // 2
    events = UsageEvent.objects.aggregate(n=Count("request_id"), tokens=Sum("input_tokens"))
    hours = UsageHour.objects.aggregate(n=Sum("requests"), tokens=Sum("input_tokens"))
    days = UsageDay.objects.aggregate(n=Sum("requests"), tokens=Sum("input_tokens"))
    assert events == hours == days == {"n": RECORDS, "tokens": tokens}
    owed = wallet_read([cast.acme.id])[cast.acme.id].unbilled
    assert owed == Decimal(tokens + RECORDS) / 10**6
    assert books_check() == []
    assert sum(client().xlen(stream) for stream in STREAMS) == 0
