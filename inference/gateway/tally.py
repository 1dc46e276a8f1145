"""What the hot path adds up, until it is handed to `prometheus_client`.

That one's counters take a lock each, and where processes share them a write to a mapped file. To
add here takes a fifth of that, or a fifteenth; the rest is done once a second, or at a scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import prometheus_client
from prometheus_client import Counter

_parts: Final = list["Sum | Spread"]()


class Histogram(prometheus_client.Histogram):
    """One that takes many values at once."""

    @property
    def bounds(self) -> Sequence[float]:
        """The upper bounds of the buckets; the last is infinity."""
        return self._upper_bounds

    def add(self, counts: Sequence[int], total: float) -> None:
        """`counts` new values by bucket, which add up to `total`."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(total)


class Sum:
    """What is to be added to a counter."""

    __slots__ = ("_counter", "value")

    def __init__(self, counter: Counter) -> None:
        self._counter, self.value = counter, 0.0
        _parts.append(self)

    def hand_over(self) -> None:
        if self.value:
            self._counter.inc(self.value)
            self.value = 0.0


class Spread:
    """Values that are to be added to a histogram."""

    __slots__ = ("_bounds", "_counts", "_histogram", "_total")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram, self._bounds = histogram, histogram.bounds
        self._counts, self._total = [0] * len(self._bounds), 0.0
        _parts.append(self)

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def hand_over(self) -> None:
        if any(self._counts):
            self._histogram.add(self._counts, self._total)
            self._counts, self._total = [0] * len(self._bounds), 0.0


def hand_over() -> None:
    """Bring the metrics up to date."""
    for part in _parts:
        part.hand_over()
