from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from hypothesis import given
from hypothesis import strategies as st

from billing.ingest.rating import Tariffs, Unpriced, euros, rate
from billing.metering import UsageRecord
from billing.models import Component, Outcome, Rate
from billing.pricing import PriceHistory

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURS: Final = st.integers(-3, 3).map(lambda hours: NOON + timedelta(hours=hours))
COUNTS: Final = st.integers(0, 10**7)


def record(at: datetime, fresh: int, cached: int, output: int, audio: int = 0) -> UsageRecord:
    nobody = UUID(int=0)
    return UsageRecord(
        nobody, nobody, nobody, nobody, "m", "gpu-1", "se", "chat/completions", False,
        Outcome.COMPLETED, at, at, None, 1, fresh + cached, cached, output, audio_seconds=audio,
    )  # fmt: skip


def rates_of(prices: dict[Component, list[Decimal]]) -> list[Rate]:
    """Each component's price changes at noon."""
    spans = (DateTimeTZRange(None, NOON), DateTimeTZRange(NOON, None))
    return [
        Rate(
            model="m", component=component, price=price, unit_scale=component.unit_scale, valid=span
        )
        for component, pair in prices.items()
        for price, span in zip(pair, spans, strict=True)
    ]


@given(
    prices=st.fixed_dictionaries({
        component: st.lists(st.decimals(0, 1000, places=6), min_size=2, max_size=2)
        for component in Component
    }),
    at=HOURS, fresh=COUNTS, cached=COUNTS, output=COUNTS, audio=COUNTS,
)  # fmt: skip
def test_an_amount_is_the_one_of_the_price_list_to_the_digit(
    prices: dict[Component, list[Decimal]],
    at: datetime, fresh: int, cached: int, output: int, audio: int,
) -> None:  # fmt: skip
    rates = rates_of(prices)
    used = record(at, fresh, cached, output, audio)
    expected = PriceHistory(rates).at("m", at).amount(
        input_tokens=fresh + cached, cached_tokens=cached, output_tokens=output,
        audio_seconds=audio,
    )  # fmt: skip
    rated = rate(used, Tariffs(rates))
    assert euros(sum(rated.picos)) == expected
    assert rated.amount_nano - 1 < expected * 10**9 <= rated.amount_nano


@given(first=st.tuples(COUNTS, COUNTS, COUNTS), second=st.tuples(COUNTS, COUNTS, COUNTS))
def test_parts_of_a_request_cost_what_the_whole_costs(
    first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    tariffs = Tariffs(rates_of({one: [Decimal("0.123457")] * 2 for one in Component}))
    whole = (a + b for a, b in zip(first, second, strict=True))
    parts = [sum(rate(record(NOON, *used), tariffs).picos) for used in (first, second)]
    assert sum(rate(record(NOON, *whole), tariffs).picos) == sum(parts)
    assert sum(rate(record(NOON, 0, 0, 0), tariffs).picos) == 0


def test_what_was_used_without_a_rate_is_refused_and_what_was_not_used_needs_none() -> None:
    tariffs = Tariffs(rates_of({Component.INPUT: [Decimal(1)] * 2}))
    assert rate(record(NOON, 5, 0, 0), tariffs).amount_nano == 5000
    with pytest.raises(Unpriced, match="no rate for 1 units of output"):
        rate(record(NOON, 5, 0, 1), tariffs)
