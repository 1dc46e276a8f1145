"""For operators: price books and the rates in them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from django.db.models import Q
from django.shortcuts import get_object_or_404
from django.utils import timezone
from msgspec import Meta, Struct

from billing import price_books
from billing.models import LIST_EUR, Component
from billing.models import PriceBook as BookRow
from billing.models import Rate as RateRow
from console.api.callers import Operator
from console.api.fleet import Id
from console.api.keys import Deleted
from console.api.operations import PlatformView, operation
from console.api.paging import Page, Paged, page_of
from console.api.platform import Slug
from console.api.projects import seconds, seconds_or_none
from console.api.reading import Moment, Name, Sent, Text
from console.api.words import ComponentName
from inference.gateway.errors import InvalidRequest
from inference.models import Model as ModelRow
from tenants.models import Organization

Price = Annotated[
    Decimal, Meta(description="Per million tokens, or per minute of audio; six decimals at most")
]
Amount = Annotated[Decimal, Meta(description="In the currency of the book")]


class VolumeTier(Struct, kw_only=True):
    """`percent` off what a month costs above `from_amount`, up to the next tier."""

    from_amount: Amount
    percent: Annotated[Decimal, Meta(description="From 0 to 100")]


class PriceBook(Struct, kw_only=True):
    """What it has no rate for costs what its parent says; the lists have none."""

    object: Literal["platform.price_book"] = "platform.price_book"
    id: str
    slug: str
    name: str
    currency: str
    parent_id: str | None
    organization_id: str | None
    is_public: bool
    volume_tiers: list[VolumeTier]
    created_at: int


class PriceBookNew(Sent, kw_only=True):
    """In the currency of its parent. One of an organization is for no other."""

    slug: Slug
    name: Name
    parent_id: UUID
    organization_id: UUID | None = None


class PriceBookChange(Sent, kw_only=True):
    name: Name
    is_public: bool


class VolumeTiersNew(Sent, kw_only=True):
    """They replace those that the book has."""

    volume_tiers: Annotated[tuple[VolumeTier, ...], Meta(max_length=20)]


class Rate(Struct, kw_only=True):
    """`price` is for `unit_scale` units; without `valid_until` it holds until another does.

    Without `approved_at` it is a proposal, which counts once somebody else approves it.
    """

    object: Literal["platform.rate"] = "platform.rate"
    id: str
    price_book_id: str
    model: str
    component: str
    price: str
    unit_scale: int
    currency: str
    valid_from: int
    valid_until: int | None
    created_at: int
    approved_at: int | None


class RatesAsked(Paged, kw_only=True):
    models: Annotated[tuple[Text, ...], Meta(max_length=100)] = ()
    price_book_id: UUID | None = None
    is_approved: bool | None = None


class RateNew(Sent, kw_only=True):
    """In the list in EUR, and from now on, unless told; the rate before it ends there."""

    model: Id
    component: ComponentName
    price: Price
    price_book_id: UUID = LIST_EUR
    valid_from: Moment | None = None
    valid_until: Moment | None = None


class RateAsked(Sent, kw_only=True):
    """A price that might be."""

    model: Id
    component: ComponentName
    price: Price
    price_book_id: UUID = LIST_EUR


class RateEffect(Struct, kw_only=True):
    organization_id: str
    units: int
    before: str
    after: str


class RatePreview(Struct, kw_only=True):
    """What last month's usage would have cost, whom it changes most first."""

    object: Literal["platform.rate_preview"] = "platform.rate_preview"
    first_day: str
    last_day: str
    currency: str
    before: str
    after: str
    organizations: list[RateEffect]


def book_shown(row: BookRow) -> PriceBook:
    return PriceBook(
        id=str(row.pk),
        slug=row.slug,
        name=row.name,
        currency=row.currency,
        parent_id=str(row.parent_id) if row.parent_id else None,
        organization_id=str(row.organization_id) if row.organization_id else None,
        is_public=row.is_public,
        volume_tiers=[
            VolumeTier(from_amount=tier.from_amount, percent=tier.percent)
            for tier in row.tiers.all()
        ],
        created_at=seconds(row.created_at),
    )


class PriceBooksView(PlatformView):
    route = "platform_price_books"

    @operation
    def get(self, caller: Operator, query: Paged) -> Page[PriceBook]:
        """List the price books: the lists, those of plans and of organizations."""
        return page_of(BookRow.objects.prefetch_related("tiers"), query, book_shown)

    @operation
    def post(self, caller: Operator, body: PriceBookNew) -> PriceBook:
        """Add a price book that differs from its parent where it has rates."""
        whose = body.organization_id
        made = price_books.price_book_create(
            actor=caller.user,
            slug=body.slug,
            name=body.name,
            parent=get_object_or_404(BookRow, pk=body.parent_id),
            organization=get_object_or_404(Organization, pk=whose) if whose else None,
        )
        return book_shown(made)


class PriceBookView(PlatformView):
    route = "platform_price_book"

    @operation
    def get(self, caller: Operator, price_book: UUID) -> PriceBook:
        """One price book."""
        return book_shown(get_object_or_404(BookRow, pk=price_book))

    @operation
    def post(self, caller: Operator, price_book: UUID, body: PriceBookChange) -> PriceBook:
        """Rename a price book, or show it to everybody or not."""
        row = get_object_or_404(BookRow, pk=price_book)
        changed = price_books.price_book_update(
            actor=caller.user, book=row, name=body.name, is_public=body.is_public
        )
        return book_shown(changed)


class VolumeTiersView(PlatformView):
    route = "platform_volume_tiers"

    @operation
    def post(self, caller: Operator, price_book: UUID, body: VolumeTiersNew) -> PriceBook:
        """Set the discounts for volume of a price book, which invoices apply."""
        row = get_object_or_404(BookRow, pk=price_book)
        tiers = [(tier.from_amount, tier.percent) for tier in body.volume_tiers]
        price_books.tiers_set(actor=caller.user, book=row, tiers=tiers)
        return book_shown(row)


def rate_shown(row: RateRow) -> Rate:
    return Rate(
        id=str(row.pk),
        price_book_id=str(row.book_id),
        model=row.model,
        component=row.component,
        price=str(row.price),
        unit_scale=row.unit_scale,
        currency=row.book.currency,
        valid_from=seconds(row.valid.lower),
        valid_until=seconds_or_none(row.valid.upper),
        created_at=seconds(row.created_at),
        approved_at=seconds_or_none(row.approved_at),
    )


class RatesView(PlatformView):
    route = "platform_rates"

    @operation
    def get(self, caller: Operator, query: RatesAsked) -> Page[Rate]:
        """List what units cost, and since when, with the proposals."""
        which = Q(model__in=query.models) if query.models else Q()
        if query.price_book_id:
            which &= Q(book=query.price_book_id)
        if query.is_approved is not None:
            which &= Q(approved_at__isnull=not query.is_approved)
        return page_of(RateRow.objects.filter(which).select_related("book"), query, rate_shown)

    @operation
    def post(self, caller: Operator, body: RateNew) -> Rate:
        """Price a component of a model; where prices need two people, propose it."""
        _model_check(body.model)
        made = price_books.rate_propose(
            actor=caller.user,
            book=_book(body.price_book_id),
            model=body.model,
            component=Component(body.component),
            price=body.price,
            valid_from=_moment(body.valid_from),
            valid_until=_moment(body.valid_until),
        )
        return rate_shown(made)


class RateView(PlatformView):
    route = "platform_rate"

    @operation
    def get(self, caller: Operator, rate: UUID) -> Rate:
        """One rate, or proposal of one."""
        return rate_shown(_rate(rate))

    @operation
    def delete(self, caller: Operator, rate: UUID) -> Deleted:
        """Withdraw a proposal. What counts already stays."""
        price_books.rate_withdraw(actor=caller.user, rate=_rate(rate))
        return Deleted(object="platform.rate.deleted", id=str(rate))


class RateApproveView(PlatformView):
    route = "platform_rate_approve"

    @operation
    def post(self, caller: Operator, rate: UUID) -> Rate:
        """Approve a price that somebody else proposed."""
        return rate_shown(price_books.rate_approve(actor=caller.user, rate=_rate(rate)))


class RatePreviewView(PlatformView):
    route = "platform_rate_preview"

    @operation
    def post(self, caller: Operator, body: RateAsked) -> RatePreview:
        """Tell what a price would have changed of last month's usage. Nothing is kept of it."""
        _model_check(body.model)
        found = price_books.rate_preview(
            book=_book(body.price_book_id),
            model=body.model,
            component=Component(body.component),
            price=body.price,
            now=timezone.now(),
        )
        return RatePreview(
            first_day=found.first.isoformat(),
            last_day=found.last.isoformat(),
            currency=found.currency,
            before=str(found.before),
            after=str(found.after),
            organizations=[
                RateEffect(
                    organization_id=str(one.organization_id),
                    units=one.units,
                    before=str(one.before),
                    after=str(one.after),
                )
                for one in found.effects
            ],
        )


def _book(book_id: UUID) -> BookRow:
    found = BookRow.objects.select_related("organization").filter(pk=book_id).first()
    if found is None:
        raise InvalidRequest("There is no such price book.", param="price_book_id")
    return found


def _model_check(model: str) -> None:
    if not ModelRow.objects.filter(public_id=model).exists():
        raise InvalidRequest("There is no such model.", param="model")


def _moment(given: int | None) -> datetime | None:
    return None if given is None else datetime.fromtimestamp(given, UTC)


def _rate(rate: UUID) -> RateRow:
    return get_object_or_404(RateRow.objects.select_related("book"), pk=rate)
