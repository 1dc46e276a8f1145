"""Discounts for volume: lines of an invoice that let off a part of what the others add up to.

Each tier is of the part of the sum that lies between its amount and the next tier's, so nobody pays
less in all by using more. What is held and charged per request knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from billing.models import VolumeTier
from billing.price_books import book_of
from billing.pricing import books_read
from tenants.models import Organization

_EXACT: Final = Decimal("1e-12")


class Line(Protocol):
    """A line with its `exact` amount."""

    @property
    def exact(self) -> Decimal: ...


class Tier(NamedTuple):
    from_amount: Decimal
    percent: Decimal


class Discount(NamedTuple):
    """`percent` off `of`, the part of the sum above `from_amount`; `exact` is below zero."""

    from_amount: Decimal
    percent: Decimal
    of: Decimal
    exact: Decimal


def discount_lines(organization: Organization, lines: Iterable[Line]) -> list[Discount]:
    """What is let off these lines by the tiers that count for an organization now."""
    return discounts(tiers_of(organization), (line.exact for line in lines))


def discounts(tiers: Sequence[Tier], amounts: Iterable[Decimal]) -> list[Discount]:
    """Of `tiers`, in the order of their amounts, those that the sum reaches. Pure, exact."""
    total = sum(amounts, Decimal(0))
    found = list[Discount]()
    for place, tier in enumerate(tiers, 1):
        end = min([total, *(following.from_amount for following in tiers[place : place + 1])])
        part = end - tier.from_amount
        if part > 0 and tier.percent:
            off = (part * tier.percent / 100).quantize(_EXACT)
            found.append(Discount(*tier, part, -off))
    return found


def tiers_of(organization: Organization) -> list[Tier]:
    """Those of its book, or of the nearest above that has any."""
    chain = books_read()[book_of(organization.pk)].chain
    rows = VolumeTier.objects.filter(book__in=chain).order_by("from_amount")
    by_book = dict[UUID, list[Tier]]()
    for row in rows:
        by_book.setdefault(row.book_id, []).append(Tier(row.from_amount, row.percent))
    return next((by_book[book] for book in chain if book in by_book), [])
