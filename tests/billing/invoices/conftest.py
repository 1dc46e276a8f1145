from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.ingest import ingest
from billing.metering import UsageRecord
from billing.models import LIST_EUR, Component, Rate
from tests.billing.records import another, put

MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, 6, tzinfo=UTC)
MAY_1 = datetime(2026, 5, 1, 6, tzinfo=UTC)

type Use = Callable[..., None]


@pytest.fixture
def use(record: UsageRecord) -> Use:
    """Book requests of Acme in March, or as `changes` say; each of one of `changes`."""

    def book(*each: dict[str, Any], **changes: Any) -> None:
        put(*(another(record, **_moments(one | changes)) for one in each or [{}]))
        while ingest():
            pass

    return book


CHANGING = "changing"
"""A model whose output costs 1.50 EUR until CHANGED, and 2 EUR from then on."""
CHANGED = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.fixture
def changing(rates: None) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for component in (Component.INPUT, Component.CACHED_INPUT, Component.OUTPUT):
        for price, span in (("1.5", (begun, CHANGED)), ("2", (CHANGED, None))):
            Rate.objects.create(
                book_id=LIST_EUR, model=CHANGING, component=component, price=Decimal(price),
                unit_scale=component.unit_scale, valid=DateTimeTZRange(*span), approved_at=begun,
            )  # fmt: skip


def _moments(changes: dict[str, Any]) -> dict[str, Any]:
    at = changes.pop("at", MARCH)
    return {"admitted_at": at, "occurred_at": at + timedelta(seconds=2)} | changes
