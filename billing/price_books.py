"""Price books: who has which, and what can be done to them. Each act is atomic and audited.

A rate that has begun stays as it was: a change is a new rate, from now or later on. Where prices
need two people (`PRICE_APPROVAL`), what one of them sets is a proposal until another approves it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import F, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import (
    LIST_EUR,
    LISTS,
    Component,
    Currency,
    PriceBook,
    Rate,
    Terms,
    UsageDay,
    VolumeTier,
)
from billing.pricing import (
    NO_PRICES,
    Prices,
    UnitPrice,
    books_read,
    prices_by_model,
    rates_of,
)
from tenants import audit
from tenants.models import Organization, User
from tenants.valkey import snapshot_changed

__all__ = [
    "LISTED",
    "Buyer",
    "Effect",
    "Preview",
    "book_chosen",
    "book_of",
    "buyers_of",
    "currency_of",
    "list_book",
    "price_book_create",
    "price_book_update",
    "prices_public",
    "rate_approve",
    "rate_preview",
    "rate_propose",
    "rate_withdraw",
    "rates_of",
    "tiers_set",
]

CLOCKS: Final = timedelta(minutes=1)
"""So far apart may be the clocks of whoever sets a price and of PostgreSQL."""
MOST: Final = Decimal(10**14)
BOOK_FIELDS: Final = ("currency", "book", "plan__book", "plan__book__currency")
"""Of terms: what `book_chosen` reads."""


def book_chosen(
    currency: str, own: UUID | None, of_plan: UUID | None, plan_currency: str | None
) -> UUID:
    """Its own book, else its plan's, else the list of its currency."""
    if own:
        return own
    if of_plan and plan_currency == currency:
        return of_plan
    return LISTS[Currency(currency)]


class Buyer(NamedTuple):
    """By which book an organization pays now, and in what currency."""

    book: UUID
    currency: str


LISTED: Final = Buyer(LIST_EUR, Currency.EUR.value)
"""Whoever has no terms."""


def buyers_of(organization_ids: Collection[UUID]) -> dict[UUID, Buyer]:
    """Of those that have terms; whoever has none is LISTED. One query."""
    rows = Terms.objects.filter(pk__in=organization_ids).values_list("pk", *BOOK_FIELDS)
    return {pk: Buyer(book_chosen(*fields), fields[0]) for pk, *fields in rows}


def book_of(organization_id: UUID) -> UUID:
    """By which book it pays now."""
    return buyers_of([organization_id]).get(organization_id, LISTED).book


def currency_of(organization_id: UUID) -> str:
    """The one currency of all its money."""
    return buyers_of([organization_id]).get(organization_id, LISTED).currency


def prices_public(moment: datetime) -> dict[Currency, dict[str, Prices]]:
    """What everybody may know: the lists that are shown, by currency and model."""
    shown = PriceBook.objects.filter(pk__in=LISTS.values(), is_public=True)
    books = {Currency(book.currency): book.pk for book in shown}
    found = rates_of(books.values(), moment)
    return {currency: found[book] for currency, book in books.items()}


class Effect(NamedTuple):
    """What `units` of one component cost an organization `before` a change, and `after` it."""

    organization_id: UUID
    units: int
    before: Decimal
    after: Decimal


class Preview(NamedTuple):
    """Of the days from `first` to `last`; the organizations that it changes most come first."""

    first: date
    last: date
    currency: Currency
    effects: list[Effect]

    @property
    def before(self) -> Decimal:
        return sum((effect.before for effect in self.effects), Decimal(0))

    @property
    def after(self) -> Decimal:
        return sum((effect.after for effect in self.effects), Decimal(0))


def rate_preview(
    *, book: PriceBook, model: str, component: Component, price: Decimal, now: datetime
) -> Preview:
    """What a price would have changed of last month's usage, at the prices and books of now.

    Of a component that has no price yet, `before` is nothing. ValidationError for what is no price.
    """
    _price_check(price)
    last = now.astimezone(UTC).date().replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)
    used = _units(model, component, first, last)
    paying = _paying_by(book.pk, used, model, component, now)
    nothing = UnitPrice(Decimal(0), component.unit_scale)
    is_now = prices_by_model(now, book.pk).get(model, NO_PRICES).of(component) or nothing
    to_be = UnitPrice(price, component.unit_scale)
    effects = [
        Effect(one, used[one], is_now.amount(used[one]), to_be.amount(used[one])) for one in paying
    ]
    effects.sort(key=lambda effect: (-abs(effect.after - effect.before), effect.organization_id))
    return Preview(first, last, Currency(book.currency), effects)


def _units(model: str, component: Component, first: date, last: date) -> dict[UUID, int]:
    """How much of a component each organization used, as far as it did."""
    fields = {
        Component.INPUT: F("input_tokens") - F("cached_tokens"),
        Component.CACHED_INPUT: F("cached_tokens"),
        Component.OUTPUT: F("output_tokens"),
        Component.AUDIO_SECOND: F("audio_seconds"),
    }
    days = UsageDay.objects.within(first, last).filter(model=model).order_by()
    sums = days.values_list("organization").annotate(units=Sum(fields[component]))
    return {organization: int(units) for organization, units in sums if units}


def _paying_by(
    book: UUID, organizations: Collection[UUID], model: str, component: Component, now: datetime
) -> list[UUID]:
    """Those whom a rate in `book` would reach: no nearer book of theirs has one."""
    rated = Rate.objects.valid_at(now).filter(model=model, component=component)
    deciding = {book, *rated.values_list("book", flat=True)}
    buyers, books = buyers_of(organizations), books_read()
    chains = {one: books[buyers.get(one, LISTED).book].chain for one in organizations}
    return [
        one
        for one, chain in chains.items()
        if next((nearer for nearer in chain if nearer in deciding), None) == book
    ]


def list_book(currency: Currency = Currency.EUR) -> PriceBook:
    """Made where it is not there yet."""
    names = {Currency.EUR: ("list", "List"), Currency.SEK: ("list-sek", "List, SEK")}
    slug, name = names[currency]
    facts = {"slug": slug, "name": name, "currency": currency, "is_public": True}
    return PriceBook.objects.get_or_create(pk=LISTS[currency], defaults=facts)[0]


@transaction.atomic
def price_book_create(
    *,
    actor: User | None,
    slug: str,
    name: str,
    parent: PriceBook,
    organization: Organization | None = None,
) -> PriceBook:
    """A book that differs from `parent` where it has rates, in the same currency."""
    book = PriceBook(
        slug=slug, name=name, currency=parent.currency, parent=parent, organization=organization
    )
    book.full_clean()
    book.save()
    audit.record(
        actor=actor,
        action="price_book.create",
        target=book,
        organization=organization,
        slug=slug,
        parent=parent.slug,
        currency=book.currency,
    )
    transaction.on_commit(snapshot_changed)
    return book


@transaction.atomic
def price_book_update(
    *, actor: User | None, book: PriceBook, name: str, is_public: bool
) -> PriceBook:
    """Another name, or shown to everybody or not."""
    book = PriceBook.objects.select_for_update().get(pk=book.pk)
    book.name, book.is_public = name, is_public
    book.full_clean()
    book.save(update_fields=["name", "is_public"])
    audit.record(
        actor=actor,
        action="price_book.update",
        target=book,
        organization=book.organization,
        name=name,
        is_public=is_public,
    )
    return book


@transaction.atomic
def tiers_set(
    *, actor: User | None, book: PriceBook, tiers: Iterable[tuple[Decimal, Decimal]]
) -> list[VolumeTier]:
    """These discounts, each from an amount on and in percent, in place of those of the book."""
    tiers = list(tiers)
    if not all(amount.is_finite() for tier in tiers for amount in tier):
        raise ValidationError(_("Write two numbers: the amount from which on, and the percent."))
    rows = [VolumeTier(book=book, from_amount=start, percent=off) for start, off in sorted(tiers)]
    if len({row.from_amount for row in rows}) < len(rows):
        raise ValidationError(_("Two discounts begin at the same amount: leave one of them out."))
    for row in rows:
        try:
            row.full_clean()
        except ValidationError as error:  # of fields of many rows: whoever asks has others
            raise ValidationError(error.messages) from error
    book.tiers.all().delete()
    VolumeTier.objects.bulk_create(rows)
    audit.record(
        actor=actor,
        action="price_book.tiers",
        target=book,
        organization=book.organization,
        slug=book.slug,
        tiers=[f"{row.from_amount}: {row.percent} %" for row in rows],
    )
    return rows


@transaction.atomic
def rate_propose(
    *,
    actor: User | None,
    book: PriceBook,
    model: str,
    component: Component,
    price: Decimal,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> Rate:
    """Price `component` of `model` in `book` from `valid_from` (now) on.

    The price is for a million tokens, or a minute of audio: `Component.unit_scale`. It counts at
    once, and ends the rate before it, unless a person sets it where prices need two: then it waits
    with no `approved_at`. ValidationError where it would change what was or is to be.
    """
    _price_check(price)
    rate = Rate(
        book=book,
        model=model,
        component=component,
        price=price,
        unit_scale=component.unit_scale,
        valid=_span(valid_from or timezone.now(), valid_until),
        created_by=actor,
    )
    if actor is None or not settings.PRICE_APPROVAL:
        return _put_in_force(rate, actor, "rate.set")
    _beside(rate)
    rate.save()
    _told(actor, "rate.propose", rate)
    return rate


def _price_check(price: Decimal) -> None:
    if not (price.is_finite() and 0 <= price < MOST and price == round(price, 6)):
        raise ValidationError({"price": _("Enter 0 or more, with six decimals at most.")})


@transaction.atomic
def rate_approve(*, actor: User, rate: Rate) -> Rate:
    """Let a proposal count from its own time on, or from now where that is over and has a price."""
    rate = _proposal(rate)
    if rate.created_by_id == actor.pk:
        raise ValidationError(_("You proposed this price: somebody else has to approve it."))
    if _would_change_the_past(rate):
        rate.valid = _span(timezone.now(), rate.valid.upper)
    rate.approved_by = actor
    return _put_in_force(rate, actor, "rate.approve")


@transaction.atomic
def rate_withdraw(*, actor: User, rate: Rate) -> None:
    """Take a proposal back; what was approved stays."""
    rate = _proposal(rate)
    _told(actor, "rate.withdraw", rate)
    rate.delete()


def _proposal(rate: Rate) -> Rate:
    """Locked. ValidationError for one that counts already."""
    rate = Rate.objects.select_for_update(of=("self",)).select_related("book").get(pk=rate.pk)
    if rate.approved_at:
        raise ValidationError(_("This price was approved already."))
    return rate


def _span(start: datetime, end: datetime | None) -> DateTimeTZRange:
    if end and end <= start:
        raise ValidationError(
            {"valid_until": _("It would be over before it begins: choose a later end.")}
        )
    return DateTimeTZRange(start, end)


def _put_in_force(rate: Rate, actor: User | None, action: str) -> Rate:
    for current in _beside(rate):
        current.valid = DateTimeTZRange(current.valid.lower, rate.valid.lower)
        current.save(update_fields=["valid"])
    rate.approved_at = timezone.now()
    rate.save()
    _told(actor, action, rate)
    transaction.on_commit(snapshot_changed)
    return rate


def _beside(rate: Rate) -> list[Rate]:
    """The rates that hold where `rate` begins: there is one at most, and it is to end there.

    Locks the book. What begins within the last minute, and would change what was used in it, begins
    now. ValidationError where one begins later, or what was used before would change.
    """
    PriceBook.objects.select_for_update().get(pk=rate.book_id)
    same = Rate.objects.approved().filter(
        book=rate.book_id, model=rate.model, component=rate.component
    )
    is_too_late = _would_change_the_past(rate)
    if is_too_late and rate.valid.lower >= timezone.now() - CLOCKS:
        rate.valid, is_too_late = _span(timezone.now(), rate.valid.upper), False
    start, end = rate.valid.lower, rate.valid.upper
    later = same.filter(valid__startswith__gte=start)
    if later.exists() if end is None else later.filter(valid__startswith__lt=end).exists():
        raise ValidationError(
            _("A rate that starts at or after this time exists already: choose a later time.")
        )
    if end and rate.book.parent_id is None and not later.filter(valid__startswith=end).exists():
        raise ValidationError(
            {
                "valid_until": _(
                    "The list would have no price after that: set the one that follows first."
                )
            }
        )
    if is_too_late:
        raise ValidationError(_("What was used keeps its price: choose a time that is to come."))
    return list(same.filter(valid__contains=start))


def _would_change_the_past(rate: Rate) -> bool:
    """Whether its book, or one above, had a price for the same before now."""
    start, now = rate.valid.lower, timezone.now()
    if start >= now:
        return False
    over = DateTimeTZRange(start, min(rate.valid.upper or now, now))
    above = Rate.objects.approved().filter(book__in=books_read()[rate.book_id].chain)
    return above.filter(model=rate.model, component=rate.component, valid__overlap=over).exists()


def _told(actor: User | None, action: str, rate: Rate) -> None:
    until = rate.valid.upper
    audit.record(
        actor=actor,
        action=action,
        target=rate,
        organization=rate.book.organization,
        book=rate.book.slug,
        model=rate.model,
        component=rate.component,
        price=str(rate.price),
        valid_from=rate.valid.lower.isoformat(),
        valid_until=until and until.isoformat(),
    )
