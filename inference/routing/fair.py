"""Whose turn it is: deficit round robin over tenants, each with a queue of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

QUANTUM: Final = 512
"""Tokens for each unit of share and round: about a short chat, so that shares of 1 alternate."""
MAX_COST: Final = 16_384
"""Tokens that one request counts as at most: 32 rounds, so that a turn is found soon."""


@dataclass(slots=True, eq=False)
class Place[T]:
    """Where `item` stands in the queue, for whoever wants to leave it."""

    tenant: Hashable
    item: T
    cost: int


@dataclass(slots=True)
class _Line[T]:
    """The queue of one tenant, which may take `deficit` tokens before its turn is over."""

    share: int
    deficit: int
    places: OrderedDict[Place[T], None]

    @property
    def first(self) -> Place[T]:
        return next(iter(self.places))


class Turn[T](NamedTuple):
    """A tenant that waits, with its items in order."""

    tenant: Hashable
    share: int
    items: list[T]


class FairQueue[T]:
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
            yield Turn(tenant, line.share, [place.item for place in line.places])

    def waiting(self, tenant: Hashable) -> int:
        line = self._lines.get(tenant)
        return len(line.places) if line else 0

    def part(self, tenant: Hashable) -> float:
        """The part of all service that `tenant` gets while all who wait go on waiting."""
        line = self._lines.get(tenant)
        return line.share / sum(one.share for one in self._lines.values()) if line else 0.0

    def put(self, tenant: Hashable, share: int, item: T, cost: int) -> Place[T]:
        """Wait behind what `tenant` has waiting. `cost` is in tokens, about."""
        return self._add(share, Place(tenant, item, max(1, min(cost, MAX_COST))))

    def put_first(self, tenant: Hashable, share: int, item: T) -> Place[T]:
        """Wait before all else of `tenant`, and at no cost: it had its turn, to no avail."""
        place = self._add(share, Place(tenant, item, 0))
        self._lines[tenant].places.move_to_end(place, last=False)
        return place

    def _add(self, share: int, place: Place[T]) -> Place[T]:
        line = self._lines.get(place.tenant)
        if line is None:
            line = self._lines[place.tenant] = _Line(share, share * QUANTUM, OrderedDict())
        line.share = share
        line.places[place] = None
        self._count += 1
        return place

    def remove(self, place: Place[T]) -> None:
        """Leave the queue; nothing happens to one that is not in it any more."""
        line = self._lines.get(place.tenant)
        if line is None or place not in line.places:
            return
        del line.places[place]
        self._count -= 1
        if not line.places:
            del self._lines[place.tenant]

    def take(self, can: Callable[[T], bool]) -> T | None:
        """The item whose turn it is, among those of which `can` says that they could go now.

        None when no tenant's first one can. Tenants that cannot go gain nothing meanwhile: else
        each vain look would be a round, and the largest requests would always be due.
        """
        skipped = 0
        while skipped < len(self._lines):
            tenant, line = next(iter(self._lines.items()))
            place = line.first
            if not can(place.item):
                skipped += 1
            elif line.deficit >= place.cost:
                line.deficit -= place.cost
                self.remove(place)
                return place.item
            else:
                line.deficit += line.share * QUANTUM
                skipped = 0
            self._lines.move_to_end(tenant)
        return None
