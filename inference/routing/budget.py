"""How many retries a model may have, so that they cannot melt what is left of its backends."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

PER_REQUEST: Final = 0.1
"""What a request allows: at length a tenth of them may be tried again."""
PER_SECOND: Final = 10.0
"""What time allows, for models with too few requests to save anything up."""
MOST: Final = 100.0
"""What can be saved, and what is there at first: a backend that dies takes no more along with it
before its breaker opens (five in a row) than this, even where many streams start at once."""


class RetryBudget:
    """Of one model in one process. A retry costs 1. `clock` gives seconds, and only goes forward.

    In any span at most MOST + PER_SECOND × seconds + PER_REQUEST × requests retries are made.
    """

    __slots__ = ("_at", "_clock", "_left")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._at, self._left = clock, clock(), MOST

    def deposit(self) -> None:
        """A request came."""
        self._left = min(MOST, self._left + PER_REQUEST)

    def take(self) -> bool:
        """Whether one more retry may be made; it counts."""
        now = self._clock()
        self._left = min(MOST, self._left + PER_SECOND * (now - self._at))
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
