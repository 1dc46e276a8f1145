"""Rates and rating. `Prices.amount` is pure and exact: no rounding, no float."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from typing import Final, Self

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import Component, Rate

_UNIT: Final = Decimal("1e-12")
_EXACT: Final = Context(prec=60)


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """`price` EUR per `unit_scale` units."""

    price: Decimal
    unit_scale: int

    def amount(self, units: int) -> Decimal:
        """EUR for `units`, exact to 12 decimals: a price has at most 6 and the scale is 10⁶."""
        total = _EXACT.multiply(self.price, Decimal(units))
        return _EXACT.divide(total, Decimal(self.unit_scale)).quantize(_UNIT, context=_EXACT)


@dataclass(frozen=True, slots=True)
class Prices:
    """The full set of unit prices of one model."""

    input: UnitPrice
    cached_input: UnitPrice
    output: UnitPrice

    def amount(self, *, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal:
        """EUR for one request. Cached tokens are part of `input_tokens` and priced apart.

        Raises ValueError when `cached_tokens` is negative or exceeds `input_tokens`.
        """
        if not 0 <= cached_tokens <= input_tokens:
            raise ValueError(
                f"cached_tokens {cached_tokens} not within {input_tokens} input tokens"
            )
        return (
            self.input.amount(input_tokens - cached_tokens)
            + self.cached_input.amount(cached_tokens)
            + self.output.amount(output_tokens)
        )


def prices_by_model(moment: datetime) -> dict[str, Prices]:
    """The prices valid at `moment` of every model that has a full set."""
    found: defaultdict[str, dict[str, UnitPrice]] = defaultdict(dict)
    for rate in Rate.objects.valid_at(moment):
        found[rate.model][rate.component] = UnitPrice(rate.price, rate.unit_scale)
    return {
        model: Prices(**units) for model, units in found.items() if units.keys() == set(Component)
    }


class PriceHistory:
    """The prices of some models over a span of time, to rate a batch of requests with one query."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self._rates: defaultdict[str, list[Rate]] = defaultdict(list)
        for rate in rates:
            self._rates[rate.model].append(rate)

    @classmethod
    def load(cls, models: Collection[str], since: datetime, until: datetime) -> Self:
        span = DateTimeTZRange(since, until, "[]")
        return cls(Rate.objects.filter(model__in=models, valid__overlap=span))

    def at(self, model: str, moment: datetime) -> Prices:
        """The prices of `model` at `moment`. Raises LookupError without a full set."""
        units = {
            rate.component: UnitPrice(rate.price, rate.unit_scale)
            for rate in self._rates[model]
            if moment in rate.valid
        }
        if units.keys() != set(Component):
            raise LookupError(f"no full set of rates for {model} at {moment.isoformat()}")
        return Prices(**units)
