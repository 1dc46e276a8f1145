"""What can be done to prices. Each act is atomic and audited."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from billing.models import Component, PriceBook, Rate
from billing.price_books import list_book, rate_propose
from tenants.models import User


def rate_set(
    *,
    actor: User | None,
    model: str,
    component: Component,
    price: Decimal,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    book: PriceBook | None = None,
) -> Rate:
    """`rate_propose` in the list in EUR, unless a book is told."""
    return rate_propose(
        actor=actor,
        book=book or list_book(),
        model=model,
        component=component,
        price=price,
        valid_from=valid_from,
        valid_until=valid_until,
    )
