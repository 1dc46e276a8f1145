"""What usage must cost and be invoiced with, from plain prices and nothing of the product."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

SCALES: Final = {
    "input": 1_000_000, "cached_input": 1_000_000, "output": 1_000_000, "audio_second": 60,
}  # fmt: skip
BILLED: Final = frozenset({"completed", "client_disconnect", "gateway_crash"})

type Units = Mapping[str, int]
"""Of each component."""


@dataclass(slots=True)
class Bill:
    """What an invoice must have: `units` by month of use, model and component."""

    cost: Decimal = Decimal(0)
    events: int = 0
    units: Counter[tuple[date, str, str]] = field(default_factory=Counter)


class Oracle:
    """Organizations are told by number, books by name."""

    def __init__(self) -> None:
        self.events = 0
        self.bills = defaultdict[tuple[int, date], Bill](Bill)
        self.posted = defaultdict[tuple[int, date], Decimal](Decimal)
        """By the month in which it was booked."""
        self.earned = defaultdict[tuple[str, str], Decimal](Decimal)
        """By currency and component."""
        self.vat_rates: dict[tuple[int, date], Decimal] = {}
        """In percent, of the invoice of a month."""
        self.kronor: dict[date, Decimal] = {}
        """For one euro, as published on some days."""
        self.tiers: dict[int, list[tuple[Decimal, Decimal]]] = {}
        self._parents: dict[str, str] = {}
        self._prices = defaultdict[tuple[str, str, str], list[tuple[datetime, Decimal]]](list)
        self._open_from: dict[int, date] = {}

    def book(self, name: str, parent: str) -> None:
        self._parents[name] = parent

    def price(self, book: str, model: str, component: str, price: Decimal, at: datetime) -> None:
        self._prices[book, model, component].append((at, price))

    def price_of(self, book: str, model: str, component: str, at: datetime) -> Decimal:
        """That of the nearest book that has one."""
        known = self._prices.get((book, model, component), ())
        begun = [(since, price) for since, price in known if since <= at]
        if begun:
            return max(begun)[1]
        return self.price_of(self._parents[book], model, component, at)

    def cost(self, book: str, model: str, component: str, units: int, at: datetime) -> Decimal:
        """To 12 decimals, rounded half to even."""
        price = Fraction(self.price_of(book, model, component, at))
        return Decimal(round(price * units * 10**12 / SCALES[component])).scaleb(-12)

    def use(
        self, who: int, book: str, currency: str, model: str, units: Units, outcome: str,
        admitted_at: datetime, occurred_at: datetime, booked_at: datetime,
    ) -> Decimal:  # fmt: skip
        """A request that is booked at a time; what it costs."""
        self.events += 1
        own = occurred_at.date().replace(day=1)
        bill = self.bills[who, max(own, self._open_from.get(who, own))]
        bill.events += 1
        if outcome not in BILLED:
            return Decimal(0)
        costs = {
            component: self.cost(book, model, component, count, admitted_at)
            for component, count in units.items() if count
        }  # fmt: skip
        total = sum(costs.values(), Decimal(0))
        for component, cost in costs.items():
            bill.units[own, model, component] += units[component]
            self.earned[currency, component] += cost
        bill.cost += total
        self.posted[who, booked_at.date().replace(day=1)] += total
        return total

    def close(self, until: date) -> None:
        """Months before `until` are closed for whoever used something that costs."""
        for (who, month), bill in self.bills.items():
            if month < until and bill.cost:
                ended = (month + timedelta(days=31)).replace(day=1)
                self._open_from[who] = max(ended, self._open_from.get(who, ended))

    def invoiced(self, until: date) -> set[tuple[int, date]]:
        """Of which months there must be an invoice."""
        return {key for key, bill in self.bills.items() if key[1] < until and bill.cost}

    def discount(self, who: int, cost: Decimal) -> Decimal:
        """What is let off, of a month that is paid with money alone."""
        tiers = self.tiers.get(who, [])
        off = Fraction(0)
        for place, (start, percent) in enumerate(tiers):
            end = min([cost, *(following[0] for following in tiers[place + 1 : place + 2])])
            off += max(Fraction(0), Fraction(end) - Fraction(start)) * Fraction(percent) / 100
        return Decimal(round(off * 10**12)).scaleb(-12)
