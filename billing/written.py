"""Amounts and numbers in words, the same on invoices, in mails, in refusals and on pages.

Digits come in threes, with thin spaces (U+2009) between them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

THIN: Final = "\u2009"
_SIGNS: Final = {"EUR": "€"}


def sign_of(currency: str) -> str:
    """What stands before an amount: `€`, or the code and a thin space."""
    return _SIGNS.get(currency, currency + THIN)


def grouped(number: int | Decimal) -> str:
    """`1 234.50`: with the decimals that it has."""
    return f"{number:,}".replace(",", THIN)


def money_written(amount: Decimal, currency: str, places: int = 2) -> str:
    """`€1 234.50`, `SEK 900.00`; below 0 with a minus before all of it."""
    digits = f"{abs(amount):,.{places}f}".replace(",", THIN)
    return f"{'−' if amount < 0 else ''}{sign_of(currency)}{digits}"


def price_written(price: Decimal, currency: str) -> str:
    """As long as it is, with at least two decimals: `€0.15`, `€300 000.00`."""
    _whole, _point, decimals = f"{price:f}".rstrip("0").partition(".")
    return money_written(price, currency, max(2, len(decimals)))
