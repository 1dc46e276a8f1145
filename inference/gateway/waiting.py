"""Requests that wait for a backend with room, fairly between organizations."""

from __future__ import annotations

from collections.abc import Callable

from inference.gateway.errors import NoCapacity
from inference.gateway.fleet import Fleet
from inference.snapshot import KeyEntry, ModelEntry, Route


class Waiting:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def place(
        self,
        model: ModelEntry,
        key: KeyEntry,
        cost: int,
        choose: Callable[[], Route | None],
        *,
        is_retry: bool = False,
    ) -> Route:
        """A route with room, on which the request counts as in flight from now on.

        `choose` says which that is now, or None while all are full. Raises SlowDown, NoCapacity,
        and what `choose` raises. `cost` is in tokens, about.
        """
        route = choose()
        if route is None:
            raise NoCapacity
        self._fleet.enter(route)
        return route
