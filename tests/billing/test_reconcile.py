from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from billing.ingest import ingest
from billing.metering import UsageRecord, engine_tokens_key
from billing.models import BackendHour, Drift, DriftKind, UsageDay, UsageHour
from billing.reconcile import RECONCILED, reconcile
from tenants.valkey import client
from tests.billing.records import NOON, another, put

NEXT_DAY = NOON + timedelta(days=1, minutes=5)


@pytest.fixture
def booked(record: UsageRecord) -> UsageRecord:
    put(record, another(record), another(record, occurred_at=NOON + timedelta(hours=1)))
    ingest()
    return record


def engines_say(hours_ago: int, **counts: int) -> None:
    key = engine_tokens_key(NEXT_DAY - timedelta(hours=hours_ago))
    client().hset(key, mapping={f"{name}:gpu-1": count for name, count in counts.items()})


def test_sums_that_equal_their_events_are_no_drift(booked: UsageRecord) -> None:
    assert reconcile(NEXT_DAY) == 0
    assert client().get(RECONCILED) == NEXT_DAY.isoformat().encode()


@pytest.mark.parametrize(
    ("changed", "about", "expected", "found"),
    [
        ({"amount": Decimal(1)}, "amount", Decimal("0.00083"), Decimal(1)),
        ({"requests": 7}, "requests", Decimal(2), Decimal(7)),
        ({"output_tokens": 1}, "output_tokens", Decimal(100), Decimal(1)),
    ],
)
def test_an_hour_that_is_not_the_sum_of_its_events_is_found_until_it_is(
    booked: UsageRecord, changed: dict[str, Decimal], about: str, expected: Decimal, found: Decimal
) -> None:
    hours = UsageHour.objects.filter(hour=NOON)
    before = hours.values_list(*changed).get()
    hours.update(**changed)
    assert reconcile(NEXT_DAY) == reconcile(NEXT_DAY) == 1
    drift = Drift.objects.get()
    assert (drift.kind, drift.at) == (DriftKind.HOUR, NOON)
    assert drift.about == f"{booked.organization_id} {booked.model} {about}"
    assert (drift.expected, drift.found) == (expected, found)
    hours.update(**dict(zip(changed, before, strict=True)))
    assert reconcile(NEXT_DAY) == 0
    assert not Drift.objects.exists()


def test_a_sum_that_is_missing_and_one_without_events_are_found(booked: UsageRecord) -> None:
    UsageHour.objects.filter(hour=NOON).update(hour=NOON - timedelta(days=1))
    assert reconcile(NEXT_DAY) == 2
    found = {drift.at: (drift.expected, drift.found) for drift in Drift.objects.all()}
    assert found == {
        NOON: (Decimal("0.00083"), Decimal(0)),
        NOON - timedelta(days=1): (Decimal(0), Decimal("0.00083")),
    }


def test_a_day_that_is_not_the_sum_of_its_hours_is_found(booked: UsageRecord) -> None:
    UsageDay.objects.update(requests=4)
    assert sum(reconcile(NEXT_DAY + timedelta(hours=n)) for n in range(24)) == 1
    drift = Drift.objects.get()
    assert (str(drift.kind), int(drift.expected), int(drift.found)) == ("day", 3, 4)


def test_the_engines_counts_stand_beside_ours(booked: UsageRecord) -> None:
    engines_say(0, input=70, output=7, reset=1)
    reconcile(NEXT_DAY)
    hour = BackendHour.objects.get(hour=NEXT_DAY.replace(minute=0))
    assert (hour.engine_input_tokens, hour.engine_output_tokens) == (70, 7)
    assert hour.engine_reset
    assert (hour.input_tokens, hour.requests) == (0, 0)


def test_events_of_tokens_that_their_engine_never_made_are_found(record: UsageRecord) -> None:
    put(another(record, occurred_at=NEXT_DAY - timedelta(hours=2), output_tokens=60_000))
    ingest()
    engines_say(2, input=record.input_tokens, output=20_000)
    assert reconcile(NEXT_DAY) == 1
    drift = Drift.objects.get()
    assert (drift.kind, drift.about) == (DriftKind.BACKEND, f"{record.backend} output")
    assert [drift.expected, drift.found] == [Decimal(20_000), Decimal(60_000)]
    engines_say(2, output=60_000)
    assert reconcile(NEXT_DAY) == 0
    assert not Drift.objects.exists()


@pytest.mark.parametrize(
    ("ours", "theirs", "is_found"),
    [
        ((100_000, 100_000), (100_000, 100_000), set()),
        ((100_000, 100_000), (105_000, 92_000), set()),
        ((100_000, 100_000), (900_000, 100_000), set()),  # several answers to one prompt
        ((100_000, 100_000), (100_000, 180_000), {"gpu-1 output"}),
        ((100_000, 100_000), (20_000, 20_000), {"gpu-1 output", "gpu-1 input"}),
    ],
)
def test_tokens_that_the_engine_counted_otherwise_are_found(
    db: None, ours: tuple[int, int], theirs: tuple[int, int], is_found: set[str]
) -> None:
    hour = NEXT_DAY.replace(minute=0) - timedelta(hours=5)
    BackendHour.objects.create(
        backend="gpu-1", hour=hour, requests=9, input_tokens=ours[0], output_tokens=ours[1],
        engine_input_tokens=theirs[0], engine_output_tokens=theirs[1],
    )  # fmt: skip
    BackendHour.objects.create(backend="gpu-2", hour=hour, output_tokens=10**9)  # nobody looked
    reconcile(NEXT_DAY)
    assert set(Drift.objects.values_list("about", flat=True)) == is_found
