"""Which model a request names, and which backend takes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from inference.gateway.errors import (
    InvalidRequest,
    KeyMayNot,
    ModelNotFound,
    NoCapacity,
    RegionUnavailable,
)
from inference.gateway.fleet import Fleet
from inference.routing.choice import Decision, choose
from inference.snapshot import KeyEntry, ModelEntry, Route, Snapshot

RETRY_LATER: Final = {"Retry-After": "5"}


class Router:
    """Chooses a backend for a request by what the fleet knows of each."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def choose(
        self,
        model: ModelEntry,
        key: KeyEntry,
        affinity: int | None = None,
        tried: Collection[UUID] = (),
        *,
        goes_first: bool = False,
    ) -> Decision:
        """The backend for a request, but for those in `tried`. Raises as `routes_for` does.

        One that `goes_first` in the queues of engines does not mind how full those are.
        """
        candidates = self._fleet.candidates(routes_for(model, key, tried))
        if goes_first:
            candidates = [one._replace(waiting=None, kv_use=None) for one in candidates]
        return choose(candidates, affinity)


def routes_for(model: ModelEntry, key: KeyEntry, tried: Collection[UUID] = ()) -> Sequence[Route]:
    """Where a request may go at all, but for `tried`; there is at least one.

    Raises RegionUnavailable when none stands where the organization's requests may go, and
    NoCapacity when there is none, or no other than those tried.
    """
    routes: Sequence[Route] = model.routes
    if tried:
        routes = [route for route in routes if route.backend_id not in tried]
    if not routes:
        raise NoCapacity(headers=RETRY_LATER)
    if key.regions is not None:
        routes = [route for route in routes if route.region in key.regions]
        if not routes:
            raise RegionUnavailable(headers=RETRY_LATER)
    return routes


def model_named(snapshot: Snapshot, key: KeyEntry, name: str) -> ModelEntry:
    """The model that `key` calls `name`, by its id or an alias. Raises ModelNotFound."""
    if model := snapshot.model(name, key):
        return model
    if retired := snapshot.retired_model(name, key.organization_id):
        other = snapshot.model(retired.replacement, key)
        raise ModelNotFound.retired(name, other.public_id if other else "")
    raise ModelNotFound.named(name)


def model_for(snapshot: Snapshot, key: KeyEntry, name: str, task: str) -> ModelEntry:
    """The model of a request. Raises ModelNotFound, InvalidRequest or KeyMayNot."""
    model = model_named(snapshot, key, name)
    if task not in model.tasks:
        text = f"The model `{name}` does not do {task}. `GET /v1/models` lists its tasks."
        raise InvalidRequest(text, param="model", code="model_not_supported")
    scope = key.scope
    if scope.tasks is not None and task not in scope.tasks:
        raise KeyMayNot.do(task)
    if scope.models is not None and model.public_id not in scope.models:
        is_bought = key.terms.models is None or model.public_id in key.terms.models
        raise (KeyMayNot.call if is_bought else KeyMayNot.buy)(model.public_id)
    return model
