"""What each record costs, in whole picos (10⁻¹² of its currency): exact, and to the digit
`Prices.amount`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.metering import UsageRecord
from billing.models import BILLED, LIST_EUR, Component, Currency, Rate
from billing.price_books import LISTED, Buyer, buyers_of
from billing.pricing import BOOKS, Book, books_read

COMPONENTS: Final = tuple(Component)
_PICOS_OF_NANO: Final = 1000
_FREE: Final = (0,) * len(COMPONENTS)
NOBODY: Final = MappingProxyType(dict[UUID, Buyer]())


class Unpriced(LookupError):  # noqa: N818
    """`model` was used without a price for it."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model}: {reason}")
        self.model = model


class Rated(NamedTuple):
    """A record and its cost by component, in the order of COMPONENTS, by the rates of `book`."""

    record: UsageRecord
    picos: tuple[int, ...]
    book: UUID = LIST_EUR
    currency: str = Currency.EUR.value

    @property
    def amount_nano(self) -> int:
        """What the gateway charges for it: rounded up."""
        return -(-sum(self.picos) // _PICOS_OF_NANO)


class UnitPicos(NamedTuple):
    """`picos` for every `scale` units."""

    picos: int
    scale: int

    def of(self, units: int) -> int:
        """Rounded half to even where a price is not of whole picos a unit."""
        if self.scale == 1:
            return self.picos * units
        whole, rest = divmod(self.picos * units, self.scale)
        return whole + (2 * rest > self.scale or (2 * rest == self.scale and whole % 2))


def unit_picos(price: Decimal, unit_scale: int) -> UnitPicos:
    picos = int(price.scaleb(12))
    whole, rest = divmod(picos, unit_scale)
    return UnitPicos(picos, unit_scale) if rest else UnitPicos(whole, 1)


class Tariff:
    """What units of each component cost at some moment; None where there is no rate."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        found = {rate.component: unit_picos(rate.price, rate.unit_scale) for rate in rates}
        self._units = tuple(found.get(component) for component in COMPONENTS)
        *tokens, _ = self._units
        self._whole = [unit.picos for unit in tokens if unit and unit.scale == 1]

    def picos(self, used: Sequence[int]) -> tuple[int, ...]:
        """By component. Raises LookupError for one that was used and has no rate."""
        if len(self._whole) == len(used) - 1 and not used[-1]:  # as nearly always
            fresh, cached, output = self._whole
            return fresh * used[0], cached * used[1], output * used[2], 0
        return tuple(map(self._picos, COMPONENTS, self._units, used))

    def _picos(self, component: Component, unit: UnitPicos | None, used: int) -> int:
        if not used:
            return 0
        if unit is None:
            raise LookupError(f"no rate for {used} units of {component}")
        return unit.of(used)


class Tariffs:
    """The rates of some models over a span of time, looked up by book and moment."""

    def __init__(
        self,
        rates: Iterable[Rate],
        books: Mapping[UUID, Book] = BOOKS,
        buyers: Mapping[UUID, Buyer] = NOBODY,
    ) -> None:
        self._rates = defaultdict[str, list[Rate]](list)
        for rate in rates:
            self._rates[rate.model].append(rate)
        self._turns = {model: _turns(rates) for model, rates in self._rates.items()}
        self._books, self._buyers = books, buyers
        self._known: dict[tuple[UUID, str, int], Tariff] = {}

    @classmethod
    def load(cls, records: Sequence[UsageRecord]) -> Tariffs:
        """All that `records` need, with three queries."""
        moments = [record.admitted_at for record in records]
        span = DateTimeTZRange(min(moments), max(moments), "[]")
        models = {record.model for record in records}
        rates = Rate.objects.approved().filter(model__in=models, valid__overlap=span).order_by()
        return cls(rates, books_read(), buyers_of({record.organization_id for record in records}))

    def book_of(self, record: UsageRecord) -> tuple[UUID, str]:
        """The book that `record` is rated by, and its currency: that of admission, or of now for a
        record that does not tell. Raises ValueError for one that is not the organization's.
        """
        own, currency = self._buyers.get(record.organization_id, LISTED)
        book = record.book or own
        if (found := self._books.get(book)) is None:
            raise ValueError(f"no price book {book}")
        if found.currency != currency:
            raise ValueError(f"a price in {found.currency} of an organization in {currency}")
        return book, currency

    def at(self, book: UUID, model: str, moment: datetime) -> Tariff:
        turn = bisect_right(self._turns.get(model, ()), moment)
        if (tariff := self._known.get((book, model, turn))) is None:
            tariff = self._known[book, model, turn] = Tariff(self._valid(book, model, moment))
        return tariff

    def _valid(self, book: UUID, model: str, moment: datetime) -> list[Rate]:
        """The list's first, so that a nearer book's go over it."""
        chain = self._books[book].chain
        valid = [r for r in self._rates.get(model, ()) if r.book_id in chain and moment in r.valid]
        return sorted(valid, key=lambda rate: -chain.index(rate.book_id))


def _turns(rates: Iterable[Rate]) -> list[datetime]:
    """When any of `rates` begins or ends: between two of these the prices stay."""
    ends = (end for rate in rates for end in (rate.valid.lower, rate.valid.upper))
    return sorted({end for end in ends if end is not None})


def rate(record: UsageRecord, tariffs: Tariffs) -> Rated:
    """At the rates valid when it was admitted. Pure.

    Raises Unpriced when something was used that had none, ValueError on impossible counts and for
    a price book that is not the organization's.
    """
    book, currency = tariffs.book_of(record)
    if record.outcome not in BILLED:
        return Rated(record, _FREE, book, currency)
    fresh = record.input_tokens - record.cached_tokens
    used = (fresh, record.cached_tokens, record.output_tokens, record.audio_seconds)
    if min(used) < 0:
        raise ValueError(f"impossible counts: {used}")
    tariff = tariffs.at(book, record.model, record.admitted_at)
    try:
        return Rated(record, tariff.picos(used), book, currency)
    except LookupError as error:
        raise Unpriced(record.model, f"{error} at {record.admitted_at.isoformat()}") from None


def euros(picos: int) -> Decimal:
    """An amount with 12 decimals, exactly."""
    return Decimal(f"{picos}e-12")
