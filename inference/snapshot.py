"""The immutable view of keys, models, backends and prices that the gateway works from.

Built from PostgreSQL off the request path; a request reads it from memory and asks no store.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from ipaddress import ip_network
from math import inf
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from billing.halts import halted_read
from billing.limits import NO_TERMS, KeyTerms, key_terms
from billing.models import LIST_EUR
from billing.pricing import NO_PRICES, Prices, rates_of
from inference.limits import Limits, limits_of
from inference.models import Backend, BackendState, Deployment, Model, ModelStatus
from inference.policies import Policy, policy_of
from tenants.models import ApiKey, KeyKind, OrganizationState, RetiringSecret
from tenants.peers import Network, address_read
from tenants.reading import one_moment
from tenants.sealing import unseal


@dataclass(frozen=True, slots=True)
class Scope:
    """What a key may do: tasks, models by public id, from which networks; None are all."""

    tasks: frozenset[str] | None = None
    models: frozenset[str] | None = None
    networks: tuple[Network, ...] | None = None

    def takes_from(self, peer: str) -> bool:
        if self.networks is None:
            return True
        address = address_read(peer)
        return address is not None and any(address in network for network in self.networks)


EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """Whom an API key speaks for, where its requests may go (None is everywhere), their share
    when requests wait, what it may use and what it may do.

    `digest` is of the secret that came, which ends at `ends_at` (unix seconds). `stopped` is the
    state of an organization that makes no requests now.
    """

    id: UUID
    organization_id: UUID
    project_id: UUID
    regions: frozenset[str] | None = None
    share: int = 1
    terms: KeyTerms = NO_TERMS
    scope: Scope = EVERYTHING
    digest: bytes = field(default=b"", repr=False)
    ends_at: float = inf
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A deployment the gateway may send to. `base_url` has no trailing slash and no `/v1`.

    Past `max_in_flight` at the backend, of all its models, requests wait.
    """

    backend_id: UUID
    backend: str
    base_url: str
    engine: str
    engine_model: str
    region: str
    weight: int
    max_in_flight: int
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """A backend that is not disabled, whether or not it has a route."""

    id: UUID
    name: str
    base_url: str
    engine: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that is served, or (see `Snapshot.retired`) that was.

    `visible_to` names the organizations that may know of it; None is everyone. `prices` are by
    book; whoever pays by a book that is not among them cannot buy it.
    """

    public_id: str
    aliases: tuple[str, ...]
    name: str
    family: str
    owned_by: str
    created: int
    tasks: frozenset[str]
    capabilities: frozenset[str]
    context_tokens: int
    limits: Limits
    licence: str
    release_date: date | None
    status: str
    status_since: datetime
    sunset_at: datetime | None
    replacement: str
    visible_to: frozenset[UUID] | None
    prices: Mapping[UUID, Prices]
    policy: Policy
    routes: tuple[Route, ...]

    def is_visible_to(self, organization_id: UUID) -> bool:
        return self.visible_to is None or organization_id in self.visible_to

    def is_sold_to(self, key: KeyEntry) -> bool:
        """Whether its organization knows of it and has a price for it."""
        return key.terms.book in self.prices and self.is_visible_to(key.organization_id)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`installation` tells the database from others. `keys` are by digest, those of the playground
    by id; `models` by id; `names` and `retired` by id and by alias.
    """

    taken_at: datetime
    installation: UUID
    keys: Mapping[bytes, KeyEntry]
    playground_keys: Mapping[UUID, KeyEntry]
    models: Mapping[str, ModelEntry]
    names: Mapping[str, ModelEntry]
    retired: Mapping[str, ModelEntry]
    backends: Sequence[BackendEntry]

    def has_revoked(self, key: KeyEntry) -> bool:
        """Whether it is good no more; whoever was let in before it expired may go on."""
        now = self.keys.get(key.digest) or self.playground_keys.get(key.id)
        return key.ends_at > time.time() if now is None else bool(now.stopped)

    def model(self, name: str, key: KeyEntry) -> ModelEntry | None:
        """The model that the organization of `key` may call by `name`, an id or an alias."""
        model = self.names.get(name)
        return model if model and model.is_sold_to(key) else None

    def retired_model(self, name: str, organization_id: UUID) -> ModelEntry | None:
        model = self.retired.get(name)
        return model if model and model.is_visible_to(organization_id) else None


def snapshot_load(*, with_keys: bool = True) -> Snapshot:
    """Read all of it from PostgreSQL, or all but the keys. Blocking: twelve queries with them.

    All as it was at one moment: a key whose organization has other prices meets these.
    """
    with one_moment():
        return _load(timezone.now(), with_keys=with_keys)


def _load(now: datetime, *, with_keys: bool) -> Snapshot:
    models = _models(now)
    served = [model for model in models if model.status != ModelStatus.RETIRED]
    keys, playground_keys = _keys(now) if with_keys else ({}, {})
    return Snapshot(
        taken_at=now,
        installation=_installation(),
        keys=keys,
        playground_keys=playground_keys,
        models={model.public_id: model for model in served},
        names=_by_name(served),
        retired=_by_name(model for model in models if model.status == ModelStatus.RETIRED),
        backends=_backends(),
    )


def _installation() -> UUID:
    with connection.cursor() as cursor:
        cursor.execute("SELECT installation_id()")
        found: UUID = cursor.fetchone()[0]
        return found


_KEY_FIELDS: Final = (
    "id", "organization_id", "project_id", "organization__allowed_regions", "organization__share",
    "organization__state", "kind", "digest", "expires_at", "allowed_tasks", "allowed_models",
    "allowed_networks",
)  # fmt: skip


def _keys(now: datetime) -> tuple[dict[bytes, KeyEntry], dict[UUID, KeyEntry]]:
    """Those that people hold, by digest, and those of the playground, by id. Five queries."""
    rows = list(ApiKey.objects.working().order_by().values_list(*_KEY_FIELDS, named=True))
    terms = key_terms((row[:3] for row in rows), now)
    retiring = _retiring(now)
    keys, playground_keys = dict[bytes, KeyEntry](), dict[UUID, KeyEntry]()
    for row in rows:
        entry = _key_entry(row, terms[row.id])
        if row.kind == KeyKind.PLAYGROUND:
            playground_keys[row.id] = entry
            continue
        keys[entry.digest] = entry
        if old := retiring.get(row.id):
            ends_at = min(entry.ends_at, old.until.timestamp())
            keys[bytes(old.digest)] = replace(entry, digest=bytes(old.digest), ends_at=ends_at)
    return keys, playground_keys


def _key_entry(row: Any, terms: KeyTerms) -> KeyEntry:
    """Of a row of `_KEY_FIELDS`."""
    state = row.organization__state
    return KeyEntry(
        id=row.id,
        organization_id=row.organization_id,
        project_id=row.project_id,
        regions=frozenset(row.organization__allowed_regions) or None,
        share=row.organization__share,
        terms=terms,
        scope=_within(
            scope_of(row.allowed_tasks, row.allowed_models, row.allowed_networks), terms.models
        ),
        digest=bytes(row.digest),
        ends_at=row.expires_at.timestamp() if row.expires_at else inf,
        stopped="" if state == OrganizationState.ACTIVE else state,
    )


def _retiring(now: datetime) -> dict[UUID, RetiringSecret]:
    """The secrets that keys had before and that still work, by key."""
    return {one.api_key_id: one for one in RetiringSecret.objects.filter(until__gt=now)}


def scope_of(tasks: Sequence[str], models: Sequence[str], networks: Sequence[str]) -> Scope:
    """What a key may do that allows these; none of one kind are all."""
    if not (tasks or models or networks):
        return EVERYTHING
    parsed = tuple(ip_network(network) for network in networks)
    return Scope(frozenset(tasks) or None, frozenset(models) or None, parsed or None)


def _within(scope: Scope, models: frozenset[str] | None) -> Scope:
    """Of `scope`, what a plan that is for these models covers; None are all."""
    if models is None:
        return scope
    return replace(scope, models=models if scope.models is None else scope.models & models)


def _by_name(models: Iterable[ModelEntry]) -> dict[str, ModelEntry]:
    """By id and alias; an id goes before whatever alias is the same."""
    models = list(models)
    aliases = {alias: model for model in models for alias in model.aliases}
    return aliases | {model.public_id: model for model in models}


def _models(now: datetime) -> list[ModelEntry]:
    """Enabled models with a full set of rates; one without would serve unpriced work."""
    books, routes = rates_of(None, now), _routes()
    enabled = Model.objects.filter(is_enabled=True).select_related(
        "replacement", "routing_policy__fallback"
    )
    entries = (
        _entry(model, _complete(model, books), routes[model.id])
        for model in enabled.prefetch_related("visible_to")
    )
    return [entry for entry in entries if LIST_EUR in entry.prices]


def _complete(model: Model, books: Mapping[UUID, Mapping[str, Prices]]) -> dict[UUID, Prices]:
    """The prices of `model` in each book that has all of them."""
    priced = {book: prices.get(model.public_id, NO_PRICES) for book, prices in books.items()}
    needed = model.components
    return {book: prices for book, prices in priced.items() if prices.covers(needed)}


def _entry(model: Model, prices: Mapping[UUID, Prices], routes: list[Route]) -> ModelEntry:
    seen_by = None if model.is_public else frozenset(one.pk for one in model.visible_to.all())
    return ModelEntry(
        public_id=model.public_id,
        aliases=tuple(model.aliases),
        name=model.name,
        family=model.family,
        owned_by=model.owned_by,
        created=int(model.created_at.timestamp()),
        tasks=frozenset(model.tasks),
        capabilities=frozenset(model.capabilities),
        context_tokens=model.context_tokens,
        limits=limits_of(model),
        licence=model.licence,
        release_date=model.release_date,
        status=model.status,
        status_since=model.status_since,
        sunset_at=model.sunset_at,
        replacement=model.replacement.public_id if model.replacement else "",
        visible_to=seen_by,
        prices=prices,
        policy=policy_of(model),
        routes=tuple(routes),
    )


def _backends() -> list[BackendEntry]:
    enabled = Backend.objects.exclude(state=BackendState.DISABLED)
    return [
        BackendEntry(
            id=backend.id,
            name=backend.name,
            base_url=backend.base_url.rstrip("/"),
            engine=backend.engine,
            key=unseal(bytes(backend.sealed_key)),
        )
        for backend in enabled
    ]


def _routes() -> dict[UUID, list[Route]]:
    """Enabled deployments on active backends, by model; none of a model that is halted."""
    routes: defaultdict[UUID, list[Route]] = defaultdict(list)
    routed = Deployment.objects.routed().exclude(model__public_id__in=halted_read())
    for deployment in routed.select_related("backend"):
        backend = deployment.backend
        routes[deployment.model_id].append(
            Route(
                backend_id=backend.id,
                backend=backend.name,
                base_url=backend.base_url.rstrip("/"),
                engine=backend.engine,
                engine_model=deployment.engine_model,
                region=backend.region_id,
                weight=deployment.weight * backend.weight,
                max_in_flight=backend.max_in_flight,
                key=unseal(bytes(backend.sealed_key)),
            )
        )
    return routes
