"""What a request costs, in 10⁻⁹ EUR and rounded up: at most, and in the end."""

from __future__ import annotations

from typing import Final

from billing.metering import UsageRecord
from billing.models import BILLED, Outcome
from billing.pricing import Prices, UnitPrice
from inference.engines import Usage
from inference.gateway.bounds import Bound

NANO: Final = 10**9
PICO_PER_NANO: Final = 1000


def nano_most(bound: Bound, prices: Prices, context_tokens: int) -> int:
    """What a request within `bound` costs at most."""
    dearest = max(_pico(prices.input, 10**6), _pico(prices.cached_input, 10**6))
    output, second = _pico(prices.output, 10**6), _pico(prices.audio_second, 60)
    most = max(dearest * read + output * written for read, written in bound.corners(context_tokens))
    # Of a millionth, and of a sixtieth: each is rounded up, so that the sum is, too.
    pico = -(-most // 10**6) - (-second * bound.audio_seconds // 60)
    return -(-pico // PICO_PER_NANO)


def nano_charged(prices: Prices, outcome: Outcome, usage: Usage) -> int:
    """What a request costs that ended so. Raises LookupError where a used unit has no price.

    To the last digit what `Prices.amount` says, at a fifth of the time.
    """
    if outcome not in BILLED:
        return 0
    pico = (
        _used(prices.input, usage.input_tokens - usage.cached_tokens)
        + _used(prices.cached_input, usage.cached_tokens)
        + _used(prices.output, usage.output_tokens)
        + _used(prices.audio_second, usage.audio_seconds)
    )
    return -(-pico // PICO_PER_NANO)


def record_charged(prices: Prices, record: UsageRecord) -> int:
    """What a record costs. Raises LookupError where a used unit has no price."""
    used = Usage(
        record.input_tokens, record.cached_tokens, record.output_tokens, record.audio_seconds
    )
    return nano_charged(prices, Outcome(record.outcome), used)


def _used(price: UnitPrice | None, units: int) -> int:
    """10⁻¹² EUR, rounded half to even."""
    if not units:
        return 0
    if price is None:
        raise LookupError("a used unit has no price")
    return _pico(price, units)


def _pico(price: UnitPrice | None, units: int) -> int:
    if price is None:
        return 0
    scale = price.unit_scale
    whole, rest = divmod(price.pico * units, scale)
    return whole + (2 * rest > scale or (2 * rest == scale and whole % 2))
