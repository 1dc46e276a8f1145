"""The currency that the amounts on a page are in: its organization's, elsewhere EUR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from tenants.models import Organization

DEFAULT: Final = "EUR"
_SIGNS: Final = {"EUR": "€"}
_shown: ContextVar[str] = ContextVar("currency", default=DEFAULT)


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


def sign_of(currency: str) -> str:
    """What stands before an amount: `€`, or the code and a thin space."""
    return _SIGNS.get(currency, f"{currency}\u2009")


def currency_of(organization: Organization) -> str:
    """Asks nothing of the database where the terms were read with the organization."""
    terms = getattr(organization, "terms", None)
    return str(getattr(terms, "currency", DEFAULT))
