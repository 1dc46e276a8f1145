"""What this process knows of the backends: what is in flight there, and how they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID

from inference.routing.choice import Candidate, State
from inference.snapshot import Route


class Fleet:
    """`on_room` are called when a backend may have room that it had not."""

    def __init__(self) -> None:
        self.own: Counter[UUID] = Counter()
        self.on_room: list[Callable[[], None]] = []

    def candidates(self, routes: Iterable[Route]) -> list[Candidate]:
        return [self._candidate(route) for route in routes]

    def in_flight(self, backend_id: UUID) -> int:
        """Requests at a backend, of all gateways."""
        return self.own[backend_id]

    def enter(self, route: Route) -> None:
        self.own[route.backend_id] += 1

    def leave(self, route: Route) -> None:
        self.own[route.backend_id] -= 1
        for told in self.on_room:
            told()

    def succeeded(self, route: Route) -> None:
        """The backend answered as it should."""

    def failed(self, route: Route, kind: str) -> None:
        """The backend failed: `kind` is a word for people and metrics."""

    def _candidate(self, route: Route) -> Candidate:
        state = State.READY if route.is_healthy else State.DOWN
        in_flight = self.in_flight(route.backend_id)
        return Candidate(route, in_flight, route.weight, None, None, state)
