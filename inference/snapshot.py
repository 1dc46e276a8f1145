"""The immutable view of keys, models, backends and prices that the gateway works from.

Built from PostgreSQL off the request path; a request reads it from memory and asks no store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from billing.pricing import NO_PRICES, Prices, prices_by_model
from inference.models import BackendState, Deployment, Model
from inference.sealing import unseal
from tenants.models import ApiKey


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """Whom an API key speaks for."""

    id: UUID
    organization_id: UUID
    project_id: UUID


@dataclass(frozen=True, slots=True)
class Route:
    """A deployment the gateway may send to. `base_url` has no trailing slash and no `/v1`."""

    backend_id: UUID
    backend: str
    base_url: str
    engine: str
    engine_model: str
    region: str
    weight: int
    is_healthy: bool
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    public_id: str
    name: str
    owned_by: str
    created: int
    tasks: frozenset[str]
    context_tokens: int
    prices: Prices
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    taken_at: datetime
    keys: Mapping[bytes, KeyEntry]
    models: Mapping[str, ModelEntry]


def snapshot_load() -> Snapshot:
    """Read all of it from PostgreSQL. Blocking: four queries."""
    now = timezone.now()
    return Snapshot(taken_at=now, keys=_keys(), models=_models(now))


def _keys() -> dict[bytes, KeyEntry]:
    rows = ApiKey.objects.active().values_list("digest", "id", "organization_id", "project_id")
    return {
        bytes(digest): KeyEntry(key, organization, project)
        for digest, key, organization, project in rows.iterator(chunk_size=5000)
    }


def _models(now: datetime) -> dict[str, ModelEntry]:
    """Enabled models with a full set of rates; one without would serve unpriced work."""
    prices, routes = prices_by_model(now), _routes()
    return {
        model.public_id: ModelEntry(
            public_id=model.public_id,
            name=model.name,
            owned_by=model.owned_by,
            created=int(model.created_at.timestamp()),
            tasks=frozenset(model.tasks),
            context_tokens=model.context_tokens,
            prices=prices[model.public_id],
            routes=tuple(routes[model.id]),
        )
        for model in Model.objects.enabled()
        if prices.get(model.public_id, NO_PRICES).covers(model.components)
    }


def _routes() -> dict[UUID, list[Route]]:
    """Deployments on active backends, by model."""
    routes: defaultdict[UUID, list[Route]] = defaultdict(list)
    active = Deployment.objects.filter(backend__state=BackendState.ACTIVE)
    for deployment in active.select_related("backend"):
        backend = deployment.backend
        routes[deployment.model_id].append(
            Route(
                backend_id=backend.id,
                backend=backend.name,
                base_url=backend.base_url.rstrip("/"),
                engine=backend.engine,
                engine_model=deployment.engine_model,
                region=backend.region_id,
                weight=backend.weight,
                is_healthy=backend.healthy is not False,
                key=unseal(bytes(backend.sealed_key)),
            )
        )
    return routes
