"""Which backend takes a request: a healthy one, with the least in flight for its weight."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from uuid import UUID

from inference.gateway.errors import InvalidRequest, ModelNotFound, NoCapacity
from inference.snapshot import KeyEntry, ModelEntry, Route, Snapshot


class Router:
    """Counts what is in flight at each backend, from this process, and chooses by it."""

    def __init__(self) -> None:
        self.in_flight: Counter[UUID] = Counter()

    def choose(self, model: ModelEntry, tried: Collection[UUID] = ()) -> Route | None:
        """The best route to `model` but for the backends in `tried`.

        One whose last check failed is still better than none: the check may be seconds old.
        """
        routes = [route for route in model.routes if route.backend_id not in tried]
        routes = [route for route in routes if route.is_healthy] or routes
        return min(routes, key=self._load) if routes else None

    def enter(self, route: Route) -> None:
        self.in_flight[route.backend_id] += 1

    def leave(self, route: Route) -> None:
        self.in_flight[route.backend_id] -= 1

    def _load(self, route: Route) -> tuple[float, float]:
        """Equals take turns by chance."""
        return (self.in_flight[route.backend_id] + 1) / route.weight, random.random()  # noqa: S311


def model_named(snapshot: Snapshot, key: KeyEntry, name: str) -> ModelEntry:
    """The model that `key` calls `name`, by its id or an alias. Raises ModelNotFound."""
    if model := snapshot.model(name, key.organization_id):
        return model
    if retired := snapshot.retired_model(name, key.organization_id):
        other = snapshot.model(retired.replacement, key.organization_id)
        raise ModelNotFound.retired(name, other.public_id if other else "")
    raise ModelNotFound.named(name)


def model_for(snapshot: Snapshot, key: KeyEntry, name: str, task: str) -> ModelEntry:
    """The model of a request. Raises ModelNotFound, InvalidRequest or NoCapacity."""
    model = model_named(snapshot, key, name)
    if task not in model.tasks:
        text = f"The model `{name}` does not do {task}. `GET /v1/models` lists its tasks."
        raise InvalidRequest(text, param="model", code="model_not_supported")
    if not model.routes:
        raise NoCapacity(headers={"Retry-After": "5"})
    return model
