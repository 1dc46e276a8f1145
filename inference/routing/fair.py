"""Whose turn it is: deficit round robin over tenants, each with a queue of its own."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

QUANTUM: Final = 512
"""Tokens for each unit of share and round: about a short chat, so that shares of 1 alternate."""
MAX_COST: Final = 16_384
"""Tokens that one request counts as at most: 32 rounds, so that a turn is found soon."""
PACE_OF: Final = 64
MAX_WAIT_S: Final = 30


@dataclass(slots=True)
class _Line[T]:
    """What waits of one tenant, with its costs, and the tokens it may take before others do."""

    share: int
    deficit: int
    costs: OrderedDict[T, int]


class Turn[T](NamedTuple):
    """A tenant that waits, with its items in order."""

    tenant: Hashable
    share: int
    items: list[T]


class FairQueue[T: Hashable]:
    """Items of many tenants, in the order in which their tenants are due.

    Tenants get tokens in proportion to their shares as long as they wait, one that does not wait
    saves none up, and the items of one go in the order in which they came.
    """

    def __init__(self) -> None:
        self._lines = OrderedDict[Hashable, _Line[T]]()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Turn[T]]:
        for tenant, line in self._lines.items():
            yield Turn(tenant, line.share, list(line.costs))

    def waiting(self, tenant: Hashable) -> int:
        line = self._lines.get(tenant)
        return len(line.costs) if line else 0

    def part(self, tenant: Hashable) -> float:
        """The part of all service that `tenant` gets while all who wait go on waiting."""
        line = self._lines.get(tenant)
        return line.share / sum(one.share for one in self._lines.values()) if line else 0.0

    def put(self, tenant: Hashable, share: int, item: T, cost: int) -> None:
        """Wait behind what `tenant` has waiting. `cost` is in tokens, about."""
        self._line(tenant, share).costs[item] = max(1, min(cost, MAX_COST))
        self._count += 1

    def put_first(self, tenant: Hashable, share: int, item: T) -> None:
        """Wait before all else of `tenant`, and at no cost: it had its turn, to no avail."""
        costs = self._line(tenant, share).costs
        costs[item] = 0
        costs.move_to_end(item, last=False)
        self._count += 1

    def _line(self, tenant: Hashable, share: int) -> _Line[T]:
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = _Line(share, share * QUANTUM, OrderedDict())
        line.share = share
        return line

    def remove(self, tenant: Hashable, item: T) -> None:
        """Leave the queue; nothing happens to what is not in it any more."""
        line = self._lines.get(tenant)
        if line is None or line.costs.pop(item, None) is None:
            return
        self._count -= 1
        if not line.costs:
            del self._lines[tenant]

    def take(self, can: Callable[[T], bool]) -> T | None:
        """The item whose turn it is, among those of which `can` says that they could go now.

        None when no tenant's first one can. Tenants that cannot go gain nothing meanwhile: else
        each vain look would be a round, and the largest requests would always be due.
        """
        skipped = 0
        while skipped < len(self._lines):
            tenant, line = next(iter(self._lines.items()))
            item, cost = next(iter(line.costs.items()))
            if not can(item):
                skipped += 1
            elif line.deficit >= cost:
                line.deficit -= cost
                self.remove(tenant, item)
                return item
            else:
                line.deficit += line.share * QUANTUM
                skipped = 0
            self._lines.move_to_end(tenant)
        return None


class Pace:
    """How fast a queue drains, by the last PACE_OF that went since it began."""

    def __init__(self) -> None:
        self._went = deque[float](maxlen=PACE_OF)

    def begin(self, now: float) -> None:
        self._went.clear()
        self._went.append(now)

    def went(self, now: float) -> None:
        self._went.append(now)

    def left_s(self, waiting: float, now: float) -> int:
        """Whole seconds until so many have gone; from 1 to MAX_WAIT_S, for nobody knows better."""
        left_s = waiting * (now - self._went[0]) / len(self._went) if self._went else 0.0
        return ceil(min(max(left_s, 1.0), MAX_WAIT_S))
