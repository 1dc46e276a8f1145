from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final
from uuid import UUID

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from hypothesis import given
from hypothesis import strategies as st

from billing.ingest.rating import Tariffs, Unpriced, euros, rate
from billing.metering import UsageRecord
from billing.models import LIST_EUR, Component, Currency, Outcome, Rate
from billing.price_books import Buyer
from billing.pricing import Book, PriceHistory

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURS: Final = st.integers(-3, 3).map(lambda hours: NOON + timedelta(hours=hours))
COUNTS: Final = st.integers(0, 10**7)


def record(
    at: datetime, fresh: int, cached: int, output: int, audio: int = 0, *, book: UUID | None = None
) -> UsageRecord:
    nobody = UUID(int=0)
    return UsageRecord(
        nobody, nobody, nobody, nobody, "m", "gpu-1", "se", "chat/completions", False,
        Outcome.COMPLETED, at, at, None, 1, fresh + cached, cached, output, audio_seconds=audio,
        book=book,
    )  # fmt: skip


def rates_of(prices: dict[Component, list[Decimal]], book: UUID = LIST_EUR) -> list[Rate]:
    """Each component's price changes at noon."""
    spans = (DateTimeTZRange(None, NOON), DateTimeTZRange(NOON, None))
    return [
        Rate(
            book_id=book,
            model="m",
            component=component,
            price=price,
            unit_scale=component.unit_scale,
            valid=span,
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


@pytest.mark.parametrize(
    "counts", [(-1, 1, 0, 0), (0, -1, 0, 0), (0, 0, -1, 0), (0, 0, 0, -1)], ids=str
)
def test_less_than_nothing_is_not_rated(counts: tuple[int, int, int, int]) -> None:
    tariffs = Tariffs(rates_of({component: [Decimal(1)] * 2 for component in Component}))
    with pytest.raises(ValueError, match="impossible counts"):
        rate(record(NOON, *counts), tariffs)


@given(first=st.tuples(COUNTS, COUNTS, COUNTS), second=st.tuples(COUNTS, COUNTS, COUNTS))
def test_parts_of_a_request_cost_what_the_whole_costs(
    first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    tariffs = Tariffs(rates_of({one: [Decimal("0.123457")] * 2 for one in Component}))
    whole = (a + b for a, b in zip(first, second, strict=True))
    parts = [sum(rate(record(NOON, *used), tariffs).picos) for used in (first, second)]
    assert sum(rate(record(NOON, *whole), tariffs).picos) == sum(parts) >= max(parts) >= 0
    assert sum(rate(record(NOON, 0, 0, 0), tariffs).picos) == 0


def test_what_was_used_without_a_rate_is_refused_and_what_was_not_used_needs_none() -> None:
    tariffs = Tariffs(rates_of({Component.INPUT: [Decimal(1)] * 2}))
    assert rate(record(NOON, 5, 0, 0), tariffs).amount_nano == 5000
    with pytest.raises(Unpriced, match="no rate for 1 units of output"):
        rate(record(NOON, 5, 0, 1), tariffs)


PLAN, OWN, CROWNS = UUID(int=1), UUID(int=2), UUID(int=3)
BOOKS: Final = {
    LIST_EUR: Book((LIST_EUR,), Currency.EUR),
    PLAN: Book((PLAN, LIST_EUR), Currency.EUR),
    OWN: Book((OWN, PLAN, LIST_EUR), Currency.EUR),
    CROWNS: Book((CROWNS,), Currency.SEK),
}
pairs = st.lists(st.decimals(0, 1000, places=6), min_size=2, max_size=2)
complete = st.fixed_dictionaries(dict.fromkeys(Component, pairs))
differing = st.dictionaries(st.sampled_from(Component), pairs)
used = st.builds(record, HOURS, *[COUNTS] * 4, book=st.sampled_from([PLAN, OWN, None]))


@given(
    in_list=complete, in_plan=differing, in_own=differing,
    records=st.lists(used, min_size=1, max_size=6), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_rating_knows_no_order_and_no_batches_and_twice_the_prices_are_twice_the_amounts(
    in_list: dict[Component, list[Decimal]], in_plan: dict[Component, list[Decimal]],
    in_own: dict[Component, list[Decimal]], records: list[UsageRecord], order: Random,
) -> None:  # fmt: skip
    def amounts(factor: int, records: list[UsageRecord]) -> list[tuple[int, ...]]:
        rates = [
            row
            for book, prices in ((LIST_EUR, in_list), (PLAN, in_plan), (OWN, in_own))
            for row in rates_of(
                {name: [price * factor for price in pair] for name, pair in prices.items()}, book
            )
        ]
        order.shuffle(rates)
        tariffs = Tariffs(rates, BOOKS)
        return [rate(one, tariffs).picos for one in records]

    together = amounts(1, records)
    assert amounts(1, records[::-1])[::-1] == together
    assert [amounts(1, [one])[0] for one in records] == together
    doubled = [sum(picos) for picos in amounts(2, records)]
    for once, twice in zip(together, doubled, strict=True):
        assert abs(2 * sum(once) - twice) <= 2, "but for the rounding of a second of audio"


def test_the_book_of_admission_rates_whatever_the_organizations_is_now() -> None:
    rates = rates_of({Component.OUTPUT: [Decimal(2)] * 2}, PLAN)
    rates += rates_of({Component.OUTPUT: [Decimal(4)] * 2})
    tariffs = Tariffs(rates, BOOKS, {UUID(int=0): Buyer(OWN, "EUR")})
    found = [rate(record(NOON, 0, 0, 1, book=book), tariffs) for book in (LIST_EUR, PLAN, None)]
    assert [(one.book, sum(one.picos)) for one in found] == [
        (LIST_EUR, 4_000_000), (PLAN, 2_000_000), (OWN, 2_000_000)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("book", "why"), [(CROWNS, "in SEK of an"), (UUID(int=9), "no price book")]
)
def test_a_book_that_is_not_the_organizations_is_refused(book: UUID, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rate(record(NOON, 0, 0, 0, book=book), Tariffs([], BOOKS))
