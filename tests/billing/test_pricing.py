from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing.models import LIST_EUR, LISTS, Component, Rate
from billing.price_books import list_book, price_book_create
from billing.pricing import Prices, UnitPrice, prices_by_model, rates_of
from billing.services import rate_set
from tests.conftest import Cast

tokens = st.integers(0, 10**10)
prices = st.decimals(0, 10**6, places=6)


@given(a=tokens, b=tokens, price=prices)
def test_an_amount_is_exact_so_parts_add_up_to_the_whole(a: int, b: int, price: Decimal) -> None:
    unit = UnitPrice(price, 1_000_000)
    assert unit.amount(a) + unit.amount(b) == unit.amount(a + b)


@given(cached=tokens, fresh=tokens, output=tokens, price=prices)
def test_cached_tokens_are_priced_apart(
    cached: int, fresh: int, output: int, price: Decimal
) -> None:
    free, unit = UnitPrice(Decimal(0), 1_000_000), UnitPrice(price, 1_000_000)
    only_cached = Prices(input=free, cached_input=unit, output=free)
    assert only_cached.amount(
        input_tokens=cached + fresh, cached_tokens=cached, output_tokens=output
    ) == unit.amount(cached)


def test_each_component_costs_its_own_price() -> None:
    fresh, cached, output = (UnitPrice(Decimal(price), 10**6) for price in ("4", "0.5", "7"))
    prices = Prices(input=fresh, cached_input=cached, output=output)
    found = prices.amount(input_tokens=10, cached_tokens=4, output_tokens=3)
    assert found == Decimal("0.000047")


@pytest.mark.parametrize("cached", [2, -1])
def test_more_cached_than_input_tokens_or_fewer_than_none_are_an_error(cached: int) -> None:
    unit = UnitPrice(Decimal(1), 1_000_000)
    with pytest.raises(ValueError, match="not within"):
        Prices(unit, unit, unit).amount(input_tokens=1, cached_tokens=cached, output_tokens=0)


def test_a_second_that_does_not_divide_is_rounded_at_twelve_decimals() -> None:
    unit = UnitPrice(Decimal("0.01"), 60)
    assert [str(unit.amount(seconds)) for seconds in (1, 2, 3)] == [
        "0.000166666667", "0.000333333333", "0.000500000000"
    ]  # fmt: skip
    assert unit.pico == 10**10


@given(seconds=st.integers(0, 10**6), price=prices)
def test_audio_is_priced_by_the_minute(seconds: int, price: Decimal) -> None:
    prices = Prices(audio_second=UnitPrice(price, 60))
    assert prices.amount(audio_seconds=60 * seconds) == price * seconds
    assert abs(prices.amount(audio_seconds=seconds) * 60 - price * seconds) <= Decimal("3e-11")


def test_what_has_no_price_cannot_be_rated() -> None:
    with pytest.raises(LookupError, match="no rate for 2 units of output"):
        Prices(input=UnitPrice(Decimal(1), 1_000_000)).amount(input_tokens=1, output_tokens=2)


def test_a_model_is_covered_once_each_component_has_a_rate(cast: Cast) -> None:
    needed = (Component.INPUT, Component.CACHED_INPUT, Component.OUTPUT)
    for component in (Component.INPUT, Component.OUTPUT):
        rate_set(actor=cast.oskar, model="m", component=component, price=Decimal(1))
    assert not prices_by_model(timezone.now())["m"].covers(needed)
    rate_set(actor=cast.oskar, model="m", component=Component.CACHED_INPUT, price=Decimal(0))
    assert prices_by_model(timezone.now())["m"].covers(needed)


def test_lists_are_read_with_one_query_and_all_books_with_two(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    own = price_book_create(actor=None, slug="own", name="Own", parent=list_book())
    rate_set(actor=cast.oskar, model="m", component=Component.INPUT, price=Decimal(1))
    now = timezone.now()
    with django_assert_num_queries(1):
        listed = rates_of([LIST_EUR], now)
    with django_assert_num_queries(2):
        every = rates_of(None, now)
    assert listed == {LIST_EUR: every[LIST_EUR]}
    assert every.keys() == {*LISTS.values(), own.pk}
    assert every[own.pk] == every[LIST_EUR]


def test_a_new_rate_ends_the_one_in_force(cast: Cast) -> None:
    start = timezone.now() - timedelta(days=2)
    old = rate_set(
        actor=cast.oskar, model="m", component=Component.INPUT, price=Decimal(1), valid_from=start
    )
    new = rate_set(actor=cast.oskar, model="m", component=Component.INPUT, price=Decimal(2))
    old.refresh_from_db()
    assert old.valid == DateTimeTZRange(start, new.valid.lower)


def test_the_past_cannot_be_priced_again(cast: Cast) -> None:
    rate_set(actor=cast.oskar, model="m", component=Component.INPUT, price=Decimal(1))
    with pytest.raises(ValidationError, match="exists already"):
        rate_set(
            actor=cast.oskar,
            model="m",
            component=Component.INPUT,
            price=Decimal(2),
            valid_from=timezone.now() - timedelta(days=1),
        )


def test_postgresql_refuses_two_rates_for_one_moment(db: None) -> None:
    valid = DateTimeTZRange(timezone.now(), None)
    rate = {"model": "m", "component": Component.INPUT, "valid": valid}
    rate |= {"book": list_book(), "approved_at": timezone.now()}
    Rate.objects.create(price=Decimal(1), **rate)
    with pytest.raises(IntegrityError, match="rate_no_overlap"), transaction.atomic():
        Rate.objects.create(price=Decimal(2), **rate)
