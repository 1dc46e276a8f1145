"""Price books as operators read them: what each model costs, and where a price is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from billing.models import LIST_EUR, LISTS, Component, PriceBook, Rate
from billing.pricing import NO_PRICES, Prices, rates_of
from inference.models import Model


class Cell(NamedTuple):
    """The price of a component, None where there is none. `own` is the book's, not its parent's;
    `later` is the next that is set.
    """

    price: Decimal | None
    is_needed: bool
    own: Rate | None
    later: Rate | None


@dataclass(frozen=True, slots=True)
class PriceRow:
    model: Model
    cells: list[Cell]

    @property
    def is_complete(self) -> bool:
        return all(cell.price is not None for cell in self.cells if cell.is_needed)

    @property
    def has_own(self) -> bool:
        return any(cell.own for cell in self.cells)


class Gap(NamedTuple):
    """A model that is offered without a price for something that it bills."""

    book: PriceBook
    model: str
    component: Component

    @property
    def sentence(self) -> str:
        said = {"model": self.model, "what": self.component.label.lower(), "book": self.book}
        return _("%(model)s has no price for %(what)s in %(book)s.") % said


def price_rows(book: PriceBook, search: str, now: datetime) -> list[PriceRow]:
    """Every model in the order of its name. Five queries."""
    prices = rates_of([book.pk], now)[book.pk]
    rates = Rate.objects.approved().filter(book=book)
    own = {(rate.model, rate.component): rate for rate in rates.filter(valid__contains=now)}
    later = rates.filter(valid__startswith__gt=now).order_by("-valid")
    following = {(rate.model, rate.component): rate for rate in later}
    models = Model.objects.order_by("public_id")
    if search:
        models = models.filter(Q(public_id__icontains=search) | Q(name__icontains=search))
    return [
        PriceRow(model, _cells(model, prices.get(model.public_id, NO_PRICES), own, following))
        for model in models
    ]


type Found = Mapping[tuple[str, str], Rate]


def _cells(model: Model, prices: Prices, own: Found, later: Found) -> list[Cell]:
    needed = model.components
    return [
        Cell(
            unit.price if (unit := prices.of(component)) else None,
            component in needed,
            own.get((model.public_id, component)),
            later.get((model.public_id, component)),
        )
        for component in Component
    ]


def gaps(now: datetime) -> list[Gap]:
    """In the list in EUR, and of what else a list has; that a rate ends with none after it is
    refused when it is set.
    """
    lists = list(PriceBook.objects.filter(pk__in=LISTS.values()))
    prices = rates_of([book.pk for book in lists], now)
    offered = list(Model.objects.enabled().order_by("public_id"))
    return [
        Gap(book, model.public_id, component)
        for book in lists
        for model in offered
        if book.pk == LIST_EUR or model.public_id in prices[book.pk]
        for component in model.components
        if not prices[book.pk].get(model.public_id, NO_PRICES).of(component)
    ]


def proposals() -> QuerySet[Rate]:
    """What waits for a second person, the oldest first."""
    found = Rate.objects.proposed().select_related("book", "created_by")
    return found.order_by("created_at")


def books_listed() -> QuerySet[PriceBook]:
    """With how many rates each has of its own, and who buys by it."""
    counted = PriceBook.objects.select_related("parent", "organization")
    return counted.annotate(
        own_rates=Count("rates", filter=Q(rates__approved_at__isnull=False), distinct=True),
        on_plans=Count("plans", distinct=True),
        on_terms=Count("terms", distinct=True),
    ).order_by("organization__name", "slug")


def rate_state(rate: Rate, now: datetime) -> tuple[str, str]:
    """As a kind of dot and a word."""
    if rate.approved_at is None:
        return "warn", _("Proposed")
    if now in rate.valid:
        return "ok", _("Valid")
    return ("warn", _("Scheduled")) if rate.valid.lower > now else ("idle", _("Ended"))
