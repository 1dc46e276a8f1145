"""Whole picos cost what decimals cost, whatever a price is for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.ingest.rating import UnitPicos, euros, unit_picos
from billing.pricing import UnitPrice


@example(price=Decimal("2e-12"), scale=4, units=1)
@example(price=Decimal("2e-12"), scale=4, units=3)
@example(price=Decimal("2e-12"), scale=4, units=5)
@given(st.decimals(0, 1000, places=12), st.integers(1, 100), st.integers(0, 10**6))
def test_picos_are_the_decimals_of_the_price_list(price: Decimal, scale: int, units: int) -> None:
    assert euros(unit_picos(price, scale).of(units)) == UnitPrice(price, scale).amount(units)


@pytest.mark.parametrize(
    ("price", "scale", "kept"), [("0.5", 10**6, UnitPicos(500_000, 1)), ("0.01", 60, None)]
)
def test_a_price_of_whole_picos_a_unit_is_kept_so(
    price: str, scale: int, kept: UnitPicos | None
) -> None:
    assert unit_picos(Decimal(price), scale) == (kept or UnitPicos(10**10, 60))


def test_picos_are_euros_of_twelve_decimals() -> None:
    assert [str(euros(picos)) for picos in (0, 1, 1_500_000_000_000)] == [
        "0E-12", "1E-12", "1.500000000000"
    ]  # fmt: skip
