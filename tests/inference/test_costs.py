"""What backends cost, by the hour and the month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from billing.models import BackendHour
from inference import control
from inference.costs import BackendMonth, backend_cost_set, backend_months
from inference.models import Backend, Region
from tests.conftest import Cast

MAY = date(2026, 5, 1)


@pytest.fixture
def backend(cast: Cast, region: Region) -> Backend:
    return control.backend_register(
        actor=None, name="gpu-1", base_url="http://127.0.0.1:9", engine="vllm", region=region
    )


def worked(hour: datetime, *, requests: int = 5, tokens: int = 1_000) -> None:
    BackendHour.objects.create(
        backend="gpu-1", hour=hour, requests=requests, input_tokens=tokens - 100, output_tokens=100
    )


def months(first: date, last: date, now: datetime) -> dict[date, BackendMonth]:
    return {one.month: one for one in backend_months(first, last, now)}


def test_a_cost_holds_until_the_next_and_hours_without_a_request_are_idle(backend: Backend) -> None:
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(2), since=date(2026, 4, 20))
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(3), since=date(2026, 5, 31))
    worked(datetime(2026, 5, 1, 0, tzinfo=UTC))
    worked(datetime(2026, 5, 31, 23, tzinfo=UTC))
    worked(datetime(2026, 5, 31, 22, tzinfo=UTC), requests=0, tokens=100)

    found = months(date(2026, 4, 1), MAY, datetime(2026, 7, 1, tzinfo=UTC))

    assert found[date(2026, 4, 1)].cost == 11 * 24 * 2
    may = found[MAY]
    assert [may.hours, may.cost, may.busy] == [31 * 24, 30 * 24 * 2 + 24 * 3, 5]
    assert may.idle == may.cost - 5
    assert (may.requests, may.tokens) == (10, 2_100)
    assert may.per_million == 1_000_000 * may.cost / 2_100


def test_a_month_that_runs_costs_what_has_passed(backend: Backend) -> None:
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(4), since=MAY)
    now = datetime(2026, 5, 1, 1, 30, tzinfo=UTC)
    worked(now.replace(minute=0))
    (may,) = backend_months(MAY, MAY, now)
    assert [may.hours, may.cost, may.busy] == [Decimal("1.5"), 6, 4]


def test_a_backend_without_a_cost_is_told_apart_from_one_that_costs_nothing(
    backend: Backend,
) -> None:
    now = datetime(2026, 5, 3, tzinfo=UTC)
    worked(now - timedelta(days=1))
    (unknown,) = backend_months(MAY, MAY, now)
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(0), since=MAY)
    (free,) = backend_months(MAY, MAY, now)
    assert (unknown.is_priced, unknown.per_million) == (False, None)
    assert [free.is_priced, free.per_million] == [True, 0]


def test_a_cost_of_the_same_day_is_replaced_and_none_is_below_zero(backend: Backend) -> None:
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(4), since=MAY)
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(5), since=MAY)
    with pytest.raises(ValidationError):
        backend_cost_set(actor=None, backend=backend, per_hour=Decimal(-1), since=MAY)
    assert backend.costs.get().per_hour == 5
