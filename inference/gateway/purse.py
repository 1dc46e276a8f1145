"""What a gateway may let spend by itself: of each organization the rest of what it set apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol
from uuid import UUID

type Amounts = Counter[tuple[UUID, str]]
"""Nano by organization and scope."""


class Exposed(Protocol):
    """What a request may cost, or did, of which balances."""

    @property
    def organization_id(self) -> UUID: ...

    @property
    def amount_nano(self) -> int: ...

    @property
    def scopes(self) -> tuple[str, ...]: ...


class Purse:
    """By organization and scope, in nano; below zero where a request cost more than it held."""

    def __init__(self) -> None:
        self._rests = defaultdict[UUID, Counter[str]](Counter)
        self._busy = set[UUID]()

    def spend(self, one: Exposed) -> bool:
        """Take all of it, or nothing and False."""
        if self.needs(one):
            return False
        self._busy.add(one.organization_id)
        self._add(one.organization_id, one.scopes, -one.amount_nano)
        return True

    def needs(self, one: Exposed) -> dict[str, int]:
        """What is short by scope."""
        rest = self._rests[one.organization_id]
        short = {scope: one.amount_nano - rest[scope] for scope in one.scopes}
        return {scope: nano for scope, nano in short.items() if nano > 0}

    def ended(self, one: Exposed, actual_nano: int) -> None:
        """What it did not cost is there again."""
        self._add(one.organization_id, one.scopes, one.amount_nano - actual_nano)

    def fill(self, organization_id: UUID, taken: Mapping[str, int]) -> None:
        self._rests[organization_id].update(taken)

    def rest(self, organization_id: UUID, scope: str) -> int:
        return self._rests[organization_id][scope]

    def idle_take(self) -> Amounts:
        """Empty those of whom nothing was spent since the last call; what was in them."""
        busy, self._busy = self._busy, set()
        idle = [one for one in self._rests if one not in busy]
        amounts = Counter({key: nano for key, nano in self._items(idle) if nano > 0})
        for organization_id, scope in amounts:
            del self._rests[organization_id][scope]
        return amounts

    def amounts(self) -> Amounts:
        return Counter(dict(self._items(self._rests)))

    def _items(self, which: Collection[UUID]) -> Iterator[tuple[tuple[UUID, str], int]]:
        for organization_id in which:
            for scope, nano in self._rests[organization_id].items():
                yield (organization_id, scope), nano

    def _add(self, organization_id: UUID, scopes: Iterable[str], nano: int) -> None:
        rest = self._rests[organization_id]
        for scope in scopes:
            rest[scope] += nano


def exposure(requests: Iterable[Exposed]) -> Amounts:
    """In sum."""
    amounts: Amounts = Counter()
    for one in requests:
        for scope in one.scopes:
            amounts[one.organization_id, scope] += one.amount_nano
    return amounts
