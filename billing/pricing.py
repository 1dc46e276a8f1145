"""Prices, and the books that they come from. `Prices.amount` is pure and exact: no float."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal
from typing import Final, NamedTuple, Self
from uuid import UUID

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import LIST_EUR, LISTS, Component, Currency, PriceBook, Rate

_UNIT: Final = Decimal("1e-12")
_EXACT: Final = Context(prec=60)


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """`price` per `unit_scale` units; `pico` is the price in 10⁻¹²."""

    price: Decimal
    unit_scale: int
    pico: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pico", int(self.price.scaleb(12)))

    def amount(self, units: int) -> Decimal:
        """The price of `units` to 12 decimals.

        Exact for tokens: a price has at most 6 decimals and the scale is 10⁶. Seconds of a price
        per minute are rounded half to even.
        """
        total = _EXACT.multiply(self.price, Decimal(units))
        return _EXACT.divide(total, Decimal(self.unit_scale)).quantize(_UNIT, context=_EXACT)


@dataclass(frozen=True, slots=True)
class Prices:
    """The unit prices of one model, by component; None where there is no rate."""

    input: UnitPrice | None = None
    cached_input: UnitPrice | None = None
    output: UnitPrice | None = None
    audio_second: UnitPrice | None = None
    currency: Currency = Currency.EUR

    def of(self, component: Component) -> UnitPrice | None:
        price: UnitPrice | None = getattr(self, component.value)
        return price

    def covers(self, components: Iterable[Component]) -> bool:
        """Whether each of `components` has a price."""
        return all(self.of(component) for component in components)

    def amount(
        self,
        *,
        input_tokens: int = 0,
        cached_tokens: int = 0,
        output_tokens: int = 0,
        audio_seconds: int = 0,
    ) -> Decimal:
        """What one request costs. Cached tokens are part of `input_tokens` and priced apart.

        Raises ValueError when `cached_tokens` is negative or exceeds `input_tokens`, LookupError
        when something was used that has no price.
        """
        if not 0 <= cached_tokens <= input_tokens:
            raise ValueError(
                f"cached_tokens {cached_tokens} not within {input_tokens} input tokens"
            )
        used = (
            (Component.INPUT, input_tokens - cached_tokens),
            (Component.CACHED_INPUT, cached_tokens),
            (Component.OUTPUT, output_tokens),
            (Component.AUDIO_SECOND, audio_seconds),
        )
        return sum((self._amount(component, units) for component, units in used), Decimal(0))

    def _amount(self, component: Component, units: int) -> Decimal:
        if not units:
            return Decimal(0)
        price = self.of(component)
        if price is None:
            raise LookupError(f"no rate for {units} units of {component.value}")
        return price.amount(units)


NO_PRICES: Final = Prices()


class Book(NamedTuple):
    """`chain` is the book itself, its parent and so on, to the list; the first that has a rate for
    a component says what that costs.
    """

    chain: tuple[UUID, ...]
    currency: Currency


BOOKS: Final = {book: Book((book,), currency) for currency, book in LISTS.items()}
"""The lists, which there always are."""


def books_read() -> dict[UUID, Book]:
    """Every book. One query."""
    rows = PriceBook.objects.order_by().values_list("id", "parent", "currency")
    kept = [(pk, parent, Currency(currency)) for pk, parent, currency in rows]
    parents = {pk: parent for pk, parent, _currency in kept}
    return BOOKS | {pk: Book(_chain(pk, parents), currency) for pk, _parent, currency in kept}


def _chain(book: UUID, parents: Mapping[UUID, UUID | None]) -> tuple[UUID, ...]:
    chain = [book]
    while parent := parents.get(chain[-1]):
        chain.append(parent)
    return tuple(chain)


def rates_of(book_ids: Collection[UUID] | None, moment: datetime) -> dict[UUID, dict[str, Prices]]:
    """What every model costs in each of these books (None is all) at `moment`. Two queries, of the
    lists alone one.

    Models without any rate are left out. Books share what they have from the same parent.
    """
    books = books_read() if book_ids is None else _books(book_ids)
    wanted = books.keys() if book_ids is None else book_ids
    above = {book for one in wanted for book in books[one].chain}
    own = defaultdict[UUID, defaultdict[str, dict[str, UnitPrice]]](lambda: defaultdict(dict))
    for rate in Rate.objects.valid_at(moment).filter(book__in=above).order_by():
        own[rate.book_id][rate.model][rate.component] = UnitPrice(rate.price, rate.unit_scale)
    found = dict[UUID, dict[str, Prices]]()
    for one in wanted:
        prices = dict[str, Prices]()
        for book in reversed(books[one].chain):
            if book not in found:
                found[book] = _over(prices, own[book], books[book].currency)
            prices = found[book]
    return {one: found[one] for one in wanted}


def _books(book_ids: Collection[UUID]) -> Mapping[UUID, Book]:
    """Those, and others; the lists are known without asking."""
    return BOOKS if BOOKS.keys() >= set(book_ids) else books_read()


def _over(
    above: dict[str, Prices], own: Mapping[str, Mapping[str, UnitPrice]], currency: Currency
) -> dict[str, Prices]:
    none = Prices(currency=currency)
    return above | {model: _with(above.get(model, none), units) for model, units in own.items()}


def _with(prices: Prices, units: Mapping[str, UnitPrice]) -> Prices:
    """With these in place of its own."""
    found = {name.value: units.get(name, prices.of(name)) for name in Component}
    return Prices(**found, currency=prices.currency)


def prices_by_model(moment: datetime, book: UUID = LIST_EUR) -> dict[str, Prices]:
    """The prices valid at `moment` of every model that has any, in a book."""
    return rates_of([book], moment)[book]


class PriceHistory:
    """The prices of some models in a book over a span of time, with one query for all moments."""

    def __init__(self, rates: Iterable[Rate], book: Book = BOOKS[LIST_EUR]) -> None:
        self._rates, self._book = defaultdict[str, list[Rate]](list), book
        for rate in sorted(rates, key=lambda rate: book.chain.index(rate.book_id), reverse=True):
            self._rates[rate.model].append(rate)

    @classmethod
    def load(
        cls,
        models: Collection[str],
        since: datetime,
        until: datetime,
        book_id: UUID | None = None,
    ) -> Self:
        """In the list, unless a book is told."""
        wanted = book_id or LIST_EUR
        book = _books([wanted])[wanted]
        span = DateTimeTZRange(since, until, "[]")
        rates = Rate.objects.approved().filter(book__in=book.chain)
        return cls(rates.filter(model__in=models, valid__overlap=span), book)

    def at(self, model: str, moment: datetime) -> Prices:
        """The prices of `model` at `moment`. Raises LookupError without any."""
        units = {
            rate.component: UnitPrice(rate.price, rate.unit_scale)
            for rate in self._rates[model]
            if moment in rate.valid
        }
        if not units:
            raise LookupError(f"no rates for {model} at {moment.isoformat()}")
        return Prices(currency=self._book.currency, **units)
