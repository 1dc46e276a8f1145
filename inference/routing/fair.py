"""Whose turn it is: deficit round robin over tenants, each with a queue of its own."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from math import ceil, inf
from typing import Final, NamedTuple

QUANTUM: Final = 16
"""Tokens for each unit of share and round: less than any request has, else many small ones of one
tenant would go in a row.
"""
MAX_COST: Final = 16_384
"""Tokens that one request counts as at most: what is asked for is seldom all used."""
PACE_OF: Final = 64
MAX_WAIT_S: Final = 30


@dataclass(slots=True)
class _Line[T]:
    """What waits of one tenant, with its costs.

    It had `saved` tokens in round `since`, gets as many more in each round as its share allows,
    and can pay for its first item in round `due`.
    """

    share: int
    since: int
    costs: OrderedDict[T, int]
    saved: int = 0
    due: int = 0

    @property
    def first(self) -> T:
        return next(iter(self.costs))

    def aim(self) -> None:
        """Find the round in which it can pay for its first item."""
        missing = self.costs[self.first] - self.saved
        self.due = self.since + max(0, ceil(missing / (self.share * QUANTUM)))

    def pay(self, now: int) -> T:
        """Take out the first item, in round `now`; the rounds since it was due are lost."""
        item, cost = self.costs.popitem(last=False)
        self.saved += (self.due - self.since) * self.share * QUANTUM - cost
        self.since = now
        return item


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
        self._count = self._round = 0

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
        self._add(tenant, share, item, max(1, min(cost, MAX_COST)))

    def put_first(self, tenant: Hashable, share: int, item: T) -> None:
        """Wait before all else of `tenant`, and at no cost: it had its turn, to no avail."""
        self._add(tenant, share, item, 0)
        line = self._lines[tenant]
        line.costs.move_to_end(item, last=False)
        line.aim()

    def _add(self, tenant: Hashable, share: int, item: T, cost: int) -> None:
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = _Line(share, self._round, OrderedDict())
        line.share = share
        line.costs[item] = cost
        self._count += 1
        if len(line.costs) == 1:
            line.aim()

    def remove(self, tenant: Hashable, item: T) -> None:
        """Leave the queue; nothing happens to what is not in it any more."""
        line = self._lines.get(tenant)
        if line is not None and line.costs.pop(item, None) is not None:
            self._took_from(tenant, line)

    def take(self, can: Callable[[T], bool]) -> T | None:
        """The item whose turn it is, among those of which `can` says that they could go now.

        None when no tenant's first one can. Rounds pass only as items go: were vain looks rounds,
        the largest requests would always be due.
        """
        found = self._next(can)
        if found is None:
            return None
        tenant, line = found
        self._round = max(self._round, line.due)
        item = line.pay(self._round)
        self._took_from(tenant, line)
        if line.costs and line.due > self._round:
            self._lines.move_to_end(tenant)  # its turn is over
        return item

    def _next(self, can: Callable[[T], bool]) -> tuple[Hashable, _Line[T]] | None:
        """The first that is due in this round, else in the soonest of those to come."""
        found, soonest = None, inf
        for tenant, line in self._lines.items():
            if line.due < soonest and can(line.first):
                found, soonest = (tenant, line), line.due
                if soonest <= self._round:
                    break
        return found

    def _took_from(self, tenant: Hashable, line: _Line[T]) -> None:
        self._count -= 1
        if line.costs:
            line.aim()
        else:
            del self._lines[tenant]


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
