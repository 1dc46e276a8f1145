"""The rates of this process alone, for as long as Valkey is away.

Each gateway then lets through what all of them may together: more than the limit, and not without
end. What runs at the same time is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import time
from typing import Final

from billing.holds import Denied, Granted, LimitAsk, LimitState
from billing.models import LimitKind

_PERIODS: Final = {
    LimitKind.REQUESTS_MINUTE: 60,
    LimitKind.TOKENS_MINUTE: 60,
    LimitKind.REQUESTS_DAY: 86_400,
}
MOST: Final = 100_000
"""So many limits are known at a time; past them all begin anew."""


class LocalRates:
    """By limit the moment, in seconds, at which it will be whole again."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._whole_at = dict[tuple[str, str, LimitKind], float]()

    def take(self, organization: str, limits: Sequence[LimitAsk]) -> Granted | Denied:
        """Count a request against all of `limits`, or against none."""
        now = self._clock()
        after = [
            max(self._whole_at.get((organization, limit.id, limit.kind), 0), now)
            + limit.cost * _PERIODS.get(limit.kind, 0) / limit.value
            for limit in limits
        ]
        for limit, whole_at in zip(limits, after, strict=True):
            wait_s = whole_at - now - _PERIODS.get(limit.kind, 0)
            if wait_s > 1e-6:
                return Denied(limit.id, limit.kind, limit.value, limit.value, wait_s, ())
        self._note(organization, limits, after)
        return Granted(tuple(_states(limits, after, now)), is_repeat=False)

    def _note(self, organization: str, limits: Sequence[LimitAsk], after: Sequence[float]) -> None:
        if len(self._whole_at) > MOST:
            self._whole_at.clear()
        for limit, whole_at in zip(limits, after, strict=True):
            self._whole_at[organization, limit.id, limit.kind] = whole_at


def _states(limits: Sequence[LimitAsk], after: Sequence[float], now: float) -> Iterator[LimitState]:
    for limit, whole_at in zip(limits, after, strict=True):
        if period_s := _PERIODS.get(limit.kind):
            left = round((1 - (whole_at - now) / period_s) * limit.value, 6)
            yield LimitState(limit.id, limit.kind, limit.value, int(left), whole_at - now)
