from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from billing.halts import halted_read, model_release
from billing.ingest import DEAD_STREAM, dead_retry, ingest
from billing.metering import STREAMS, UsageRecord
from billing.models import Component, ModelHalt, UsageEvent, UsageHour
from billing.services import rate_set
from tenants.models import AuditEntry
from tenants.valkey import client
from tests.billing.records import NOON, another, put
from tests.conftest import Cast


def price_audio(cast: Cast, model: str) -> None:
    rate_set(
        actor=cast.oskar, model=model, component=Component.AUDIO_SECOND, price=Decimal(6),
        valid_from=NOON,
    )  # fmt: skip


def test_a_model_that_was_used_without_a_price_is_halted(record: UsageRecord) -> None:
    put(another(record, audio_seconds=30), record, another(record, audio_seconds=30))
    ingest()
    halt = ModelHalt.objects.get()
    assert halted_read() == {record.model}
    assert "no rate for 30 units of audio_second" in halt.reason
    assert UsageEvent.objects.count() == 1, "the others are booked"
    assert client().xlen(DEAD_STREAM) == 2
    assert sum(client().xlen(stream) for stream in STREAMS) == 0


def test_what_waits_for_a_price_is_booked_once_after_the_release(
    record: UsageRecord, cast: Cast
) -> None:
    late = another(record, audio_seconds=30)
    put(late, late)
    ingest()
    price_audio(cast, record.model)
    assert dead_retry() == 0, "it is halted still"
    model_release(actor=cast.oskar, halt=ModelHalt.objects.get())
    assert dead_retry() == 2
    assert UsageEvent.objects.get().amount == Decimal("3.000415")
    assert UsageHour.objects.get().requests == 1
    assert client().xlen(DEAD_STREAM) == 0
    assert halted_read() == frozenset()


def test_a_model_released_without_a_price_is_halted_again(record: UsageRecord, cast: Cast) -> None:
    put(another(record, audio_seconds=30))
    ingest()
    model_release(actor=cast.oskar, halt=ModelHalt.objects.get())
    assert dead_retry() == 0
    assert halted_read() == {record.model}
    assert client().xlen(DEAD_STREAM) == 1


def test_a_release_is_on_record_and_done_once(record: UsageRecord, cast: Cast) -> None:
    put(another(record, model="unpriced"))
    ingest()
    halt = ModelHalt.objects.get()
    model_release(actor=cast.oskar, halt=halt)
    entry = AuditEntry.objects.get(action="model.release")
    assert (entry.actor, entry.data) == (cast.oskar, {"model": "unpriced"})
    with pytest.raises(ValidationError, match="released already"):
        model_release(actor=cast.oskar, halt=halt)


def test_what_is_broken_stays_aside(record: UsageRecord) -> None:
    put(another(record, input_tokens=1, cached_tokens=2))
    ingest()
    assert dead_retry() == 0
    assert client().xlen(DEAD_STREAM) == 1
    assert halted_read() == frozenset()
