"""Rates and rating. `Prices.amount` is pure and exact: no float."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal
from typing import Final, Self

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import Component, Rate

_UNIT: Final = Decimal("1e-12")
_EXACT: Final = Context(prec=60)


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """`price` EUR per `unit_scale` units; `pico` is the price in 10⁻¹² EUR."""

    price: Decimal
    unit_scale: int
    pico: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pico", int(self.price.scaleb(12)))

    def amount(self, units: int) -> Decimal:
        """EUR for `units` to 12 decimals.

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
        """EUR for one request. Cached tokens are part of `input_tokens` and priced apart.

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


def prices_by_model(moment: datetime) -> dict[str, Prices]:
    """The prices valid at `moment` of every model that has any."""
    found: defaultdict[str, dict[str, UnitPrice]] = defaultdict(dict)
    for rate in Rate.objects.valid_at(moment):
        found[rate.model][rate.component] = UnitPrice(rate.price, rate.unit_scale)
    return {model: Prices(**units) for model, units in found.items()}


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
        """The prices of `model` at `moment`. Raises LookupError without any."""
        units = {
            rate.component: UnitPrice(rate.price, rate.unit_scale)
            for rate in self._rates[model]
            if moment in rate.valid
        }
        if not units:
            raise LookupError(f"no rates for {model} at {moment.isoformat()}")
        return Prices(**units)
