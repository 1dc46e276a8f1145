"""The metering page says what is not booked, and lets an operator mend it."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
import redis
from django.test import Client
from django.utils import timezone
from uuid_utils.compat import uuid7

from billing import health
from billing.health import GATEWAYS, SpoolSeen
from billing.ingest import DEAD_STREAM, ingest
from billing.leases import leases_write
from billing.metering import FIELD, UsageRecord, encode, shard_of, stream_of
from billing.models import (
    Component,
    Drift,
    DriftKind,
    ModelHalt,
    Outcome,
    Rate,
    Terms,
    UsageEvent,
)
from inference.models import Model
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.operator.conftest import text_of

URL = "/operator/metering/"


def test_a_platform_that_books_all_says_so(operator: Client) -> None:
    page = text_of(operator.get(URL))

    assert "Every request that ended is booked or on its way." in page
    assert "No model is halted." in page
    assert "Not compared yet." in page


def test_what_waits_and_what_was_set_aside_is_told_here_and_on_the_overview(
    operator: Client,
) -> None:
    valkey().xadd(stream_of(3), {FIELD: b"x"}, id="1000-1")
    valkey().xadd(DEAD_STREAM, {FIELD: b"x", b"error": b"no"})

    for page in (text_of(operator.get(URL)), text_of(operator.get("/operator/"))):
        assert "1 usage record is set aside." in page
        assert "is a worker running?" in page
    assert "1 record waits" in text_of(operator.get(URL))


def test_credit_that_gateways_set_apart_is_news(operator: Client, cast: Cast) -> None:
    Terms.objects.create(organization=cast.rival, currency="SEK")
    leases = {(cast.acme.pk, "w"): 2_500_000_000, (cast.rival.pk, "w"): 30_000_000_000}
    leases_write("gw-a.1", leases)
    page = text_of(operator.get(URL))
    assert "1 gateway counts without Valkey." in page
    assert "€2.500 000 leased" in page
    assert "SEK 30.000 000 leased" in page


@pytest.mark.parametrize(
    ("reason", "state", "means"),
    [
        ("full", "Disk full", "SPOOL_MIN_FREE_MB"), ("slow", "Disk slow", "SPOOL_SLOW_S"),
        ("broken", "Disk broken", "spool.failed"),
    ],
)  # fmt: skip
def test_why_a_gateway_takes_nothing_new_is_told(
    operator: Client, reason: str, state: str, means: str
) -> None:
    seen = SpoolSeen(2, 99, 1, 0.5, timezone.now(), closed_by=reason)
    valkey().hset(GATEWAYS, "gw-a", "")
    valkey().set("spool:gw-a", msgspec.json.encode(seen))
    page = text_of(operator.get(URL))
    assert "Gateway gw-a refuses requests." in page
    assert state in page
    assert means in page


def test_a_halted_model_is_released_once_it_is_priced(operator: Client, model: Model) -> None:
    priced = ModelHalt.objects.create(model=model.public_id, reason="no rate for output")
    unpriced = ModelHalt.objects.create(model="gone", reason="no rates")
    page = text_of(operator.get(URL))
    assert "acme/tiny is halted" in page
    assert "Complete" in page
    assert "Missing" in page

    released = operator.post(f"{URL}halts/{priced.pk}/release/", follow=True)
    refused = operator.post(f"{URL}halts/{unpriced.pk}/release/", follow=True)
    again = operator.post(f"{URL}halts/{priced.pk}/release/", follow=True)

    assert "acme/tiny is served again." in text_of(released)
    assert "gone lacks a rate" in text_of(refused)
    assert "released already" in text_of(again)
    priced.refresh_from_db()
    unpriced.refresh_from_db()
    assert priced.released_at
    assert priced.released_by
    assert unpriced.released_at is None


def test_what_was_used_before_its_first_rate_is_priced_released_and_booked(
    operator: Client, cast: Cast, model: Model
) -> None:
    valkey().xadd(stream_of(shard_of(cast.acme.pk)), {FIELD: encode(record_of(cast, "acme/tiny"))})
    Rate.objects.filter(component=Component.OUTPUT).delete()
    ingest()
    (halt,) = ModelHalt.objects.all()
    rate = {"component": "output", "price": "2", "valid_from": "2020-01-01T00:00"}

    operator.post("/operator/models/acme/tiny/rates/", rate)
    page = text_of(operator.post(f"{URL}halts/{halt.pk}/release/", follow=True))

    assert "acme/tiny is served again. Booked: 1." in page
    assert UsageEvent.objects.get().output_tokens == 20


def test_what_was_set_aside_is_tried_again_at_will(operator: Client) -> None:
    assert "0 records were booked." in text_of(operator.post(f"{URL}retry/", follow=True))


def test_a_difference_is_listed_with_both_numbers(operator: Client) -> None:
    Drift.objects.create(
        kind=DriftKind.HOUR,
        about="acme input_tokens",
        at=timezone.now(),
        expected=Decimal(12_000),
        found=Decimal("11999.5"),
    )
    page = text_of(operator.get(URL))

    assert "Numbers that should be equal are not." in page
    assert "12 000" in page
    assert "11 999.5" in page


def test_without_valkey_the_page_says_what_is_not_known(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(health, "waiting_read", away)
    page = text_of(operator.get(URL))

    assert "Valkey does not answer." in page
    assert "booked or on its way" not in page


def test_the_live_parts_come_alone(operator: Client) -> None:
    page = operator.get(URL, headers={"HX-Request": "true"}).text
    assert 'id="figures"' in page
    assert "<html" not in page


def record_of(cast: Cast, model: str) -> UsageRecord:
    """A request that ended just now."""
    now = timezone.now()
    key = cast.key.api_key
    return UsageRecord(
        request_id=uuid7(),
        organization_id=key.organization_id,
        project_id=key.project_id,
        api_key_id=key.pk,
        model=model,
        backend="lulea-gpu-01",
        region="se-lulea",
        endpoint="/v1/chat/completions",
        streamed=False,
        outcome=Outcome.COMPLETED,
        admitted_at=now,
        occurred_at=now,
        ttft_ms=None,
        duration_ms=900,
        input_tokens=10,
        cached_tokens=0,
        output_tokens=20,
    )


def test_a_customer_finds_no_metering(customer: Client) -> None:
    assert customer.get(URL).status_code == 404
    assert customer.post(f"{URL}retry/").status_code == 404
