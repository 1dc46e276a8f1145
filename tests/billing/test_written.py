"""Amounts read the same wherever they stand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing.written import grouped, money_written, price_written


@pytest.mark.parametrize(
    ("price", "currency", "words"),
    [
        ("0.150000", "EUR", "€0.15"), ("1.000000", "SEK", "SEK 1.00"), ("0.0061", "EUR", "€0.0061"),
        ("12.3", "EUR", "€12.30"), ("300000", "EUR", "€300 000.00"), ("10", "EUR", "€10.00"),
    ],
)  # fmt: skip
def test_a_price_has_two_decimals_or_as_many_as_it_needs(
    price: str, currency: str, words: str
) -> None:
    assert price_written(Decimal(price), currency) == words.replace(" ", "\u2009")


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("1234567.5", "EUR", "€1 234 567.50"), ("-300000", "EUR", "−€300 000.00"),
        ("0", "SEK", "SEK 0.00"), ("-0.5", "SEK", "−SEK 0.50"),
    ],
)  # fmt: skip
def test_an_amount_comes_in_threes_and_its_minus_before_all(
    amount: str, currency: str, words: str
) -> None:
    assert money_written(Decimal(amount), currency) == words.replace(" ", "\u2009")


def test_a_number_keeps_the_decimals_that_it_has() -> None:
    assert grouped(1_234_567) == "1\u2009234\u2009567"
    assert grouped(Decimal("1234.50")) == "1\u2009234.50"
