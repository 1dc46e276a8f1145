"""The currencies of amounts: nothing converts, so sums of several organizations are one of each.

A page is in one: its organization's, elsewhere EUR unless it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Final, NamedTuple

from billing.models import Terms
from tenants.models import Organization

DEFAULT: Final = "EUR"
_shown: ContextVar[str] = ContextVar("currency", default=DEFAULT)


class Money(NamedTuple):
    amount: Decimal
    currency: str


@contextmanager
def amounts_in(currency: str) -> Iterator[None]:
    """Within it, amounts that name no currency of their own are in `currency`."""
    token = _shown.set(currency)
    try:
        yield
    finally:
        _shown.reset(token)


def shown_currency() -> str:
    return _shown.get()


def currency_of(organization: Organization) -> str:
    """Asks nothing of the database where the terms were read with the organization."""
    terms = getattr(organization, "terms", None)
    return str(getattr(terms, "currency", DEFAULT))


def currencies_used() -> list[str]:
    """Those that organizations have, EUR first. One query."""
    found = Terms.objects.exclude(currency=DEFAULT).order_by()
    return in_order({DEFAULT, *found.values_list("currency", flat=True).distinct()})


def in_order(currencies: Iterable[str]) -> list[str]:
    """EUR first, then by their codes."""
    return sorted(currencies, key=lambda one: (one != DEFAULT, one))
