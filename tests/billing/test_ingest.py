from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import msgspec
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from billing.ingest import BATCH, DEAD_STREAM, GROUP, ingest
from billing.metering import FIELD, STREAMS, UsageRecord
from billing.models import Component, Outcome, UsageEvent, UsageHour
from billing.services import rate_set
from tenants.tenancy import OWNER, standing_as
from tenants.valkey import client
from tests.billing.records import MODEL, NOON, another, put, stream_for
from tests.conftest import Cast


def test_a_request_becomes_one_event_with_its_exact_price(record: UsageRecord) -> None:
    put(record)
    assert ingest() == 1
    event = UsageEvent.objects.get()
    assert event.request_id == record.request_id
    assert (event.input_tokens, event.cached_tokens, event.output_tokens) == (1000, 400, 50)
    # 600 × 0.5 + 400 × 0.1 + 50 × 1.5 EUR per million
    assert event.amount == Decimal("0.000415000000")
    assert sum(client().xlen(stream) for stream in STREAMS) == 0


def test_a_record_delivered_twice_is_booked_once(record: UsageRecord) -> None:
    put(record, record)
    ingest()
    put(record)
    ingest()
    assert UsageEvent.objects.count() == 1
    assert UsageHour.objects.get().requests == 1


def test_the_rollup_equals_its_events(record: UsageRecord, cast: Cast) -> None:
    put(
        *(
            another(record, output_tokens=n, occurred_at=NOON + timedelta(minutes=20 * n))
            for n in range(9)
        )
    )
    ingest()
    sums = dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens", "amount"))
    of_events = UsageEvent.objects.aggregate(**{name: Sum(name) for name in sums})
    of_hours = UsageHour.objects.aggregate(**{name: Sum(name) for name in sums})
    assert of_events == of_hours
    assert UsageHour.objects.count() == 3
    assert [hour.requests for hour in UsageHour.objects.order_by("hour")] == [3, 3, 3]


def test_what_was_read_and_not_finished_is_booked_by_the_next_run(record: UsageRecord) -> None:
    put(record)
    stream = stream_for(record)
    client().xgroup_create(stream, GROUP, id="0")
    client().xreadgroup(GROUP, "worker", {stream: ">"})  # a worker that died here
    assert ingest() == 1
    assert UsageEvent.objects.count() == 1


def test_a_failed_backend_is_on_record_and_costs_nothing(record: UsageRecord) -> None:
    put(another(record, outcome=Outcome.UPSTREAM_ERROR))
    ingest()
    assert UsageEvent.objects.get().amount == 0
    assert UsageHour.objects.get().failed_requests == 1


def test_a_client_that_left_pays_for_what_the_engine_counted(record: UsageRecord) -> None:
    put(another(record, outcome=Outcome.CLIENT_DISCONNECT, cached_tokens=0, output_tokens=7))
    ingest()
    assert UsageEvent.objects.get().amount == Decimal("0.000510500000")


def test_the_price_is_that_of_admission(record: UsageRecord, cast: Cast) -> None:
    rate_set(
        actor=cast.oskar,
        model=MODEL,
        component=Component.OUTPUT,
        price=Decimal(100),
        valid_from=NOON + timedelta(seconds=1),
    )
    put(record, another(record, admitted_at=NOON + timedelta(seconds=1)))
    ingest()
    amounts = UsageEvent.objects.order_by("admitted_at").values_list("amount", flat=True)
    assert list(amounts) == [Decimal("0.000415"), Decimal("0.00534")]


def test_what_cannot_be_booked_is_set_aside_and_stops_nobody_else(record: UsageRecord) -> None:
    put(record, another(record, model="unpriced"), another(record, organization_id=uuid4()))
    client().xadd(stream_for(record), {FIELD: b"no record at all"})
    client().xadd(stream_for(record), {b"other": b"no record either"})
    put(another(record, input_tokens=1, cached_tokens=2), another(record))
    ingest()
    assert UsageEvent.objects.count() == 2
    assert client().xlen(DEAD_STREAM) == 5
    assert sum(client().xlen(stream) for stream in STREAMS) == 0


@pytest.mark.parametrize("changes", [{"region": "x" * 60}, {"client_request_id": "a\0b"}])
def test_a_text_that_postgresql_refuses_stops_nobody_else(
    record: UsageRecord, changes: dict[str, str]
) -> None:
    put(another(record, **changes), record)
    ingest()
    assert UsageEvent.objects.get().request_id == record.request_id
    assert client().xlen(DEAD_STREAM) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"occurred_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"occurred_at": datetime(2026, 3, 1)},  # noqa: DTZ001 - of no zone, as none should be
        {"output_tokens": 2**63},
        {"input_tokens": 10**18},
        {"duration_ms": -1},
        {"model": "m" * 101, "outcome": Outcome.TIMEOUT},
        {"client_request_id": "nul \0"},
        {"project_id": uuid4()},
    ],
)
def test_no_record_is_too_odd_for_the_others(record: UsageRecord, odd: dict[str, object]) -> None:
    put(record, another(record, **odd), another(record))
    ingest()
    assert UsageEvent.objects.count() == 2
    assert client().xlen(DEAD_STREAM) == 1


def test_nobody_pays_for_the_key_of_another(record: UsageRecord, cast: Cast) -> None:
    put(another(record, organization_id=cast.rival.id), record)
    put(another(record, api_key_id=cast.rival_key.api_key.id))
    ingest()
    assert UsageEvent.objects.get().request_id == record.request_id
    assert client().xlen(DEAD_STREAM) == 2


def test_an_id_of_another_organization_takes_nothing_from_mine(
    record: UsageRecord, cast: Cast
) -> None:
    theirs = {
        "organization_id": cast.rival.id,
        "project_id": cast.rival_project.id,
        "api_key_id": cast.rival_key.api_key.id,
    }
    put(msgspec.structs.replace(record, **theirs), record)
    ingest()
    booked = UsageEvent.objects.filter(request_id=record.request_id)
    assert {event.organization_id for event in booked} == {cast.acme.id, cast.rival.id}


def test_more_than_a_batch_takes_more_runs(record: UsageRecord) -> None:
    put(*(another(record) for _ in range(3)))
    assert [ingest(2), ingest(2), ingest(2)] == [2, 1, 0]
    assert BATCH > 3


@pytest.mark.parametrize(
    "change", ["UPDATE billing_usageevent SET amount = 0", "DELETE FROM billing_usageevent"]
)
def test_postgresql_refuses_to_change_an_event(record: UsageRecord, change: str) -> None:
    put(record)
    ingest()
    with (
        standing_as(OWNER),
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)


def test_no_text_of_a_client_breaks_the_batch(record: UsageRecord) -> None:
    texts = ["tab\tend", "line\nend", "back\\slash", "\\N", "\r", "", "ω"]
    put(*(another(record, client_request_id=text) for text in texts))
    ingest()
    kept = UsageEvent.objects.values_list("client_request_id", flat=True)
    assert sorted(kept) == sorted(texts)
