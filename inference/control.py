"""What an operator can do to models and backends. Each act is atomic and audited."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.pricing import NO_PRICES, prices_by_model
from inference.models import Backend, BackendState, Deployment, Model, Region, Task
from inference.sealing import seal, unseal
from tenants import audit
from tenants.models import User
from tenants.valkey import snapshot_changed


@transaction.atomic
def region_create(
    *, actor: User | None, code: str, site: str, country: str, jurisdiction: str
) -> Region:
    region = Region.objects.create(code=code, site=site, country=country, jurisdiction=jurisdiction)
    audit.record(actor=actor, action="region.create", target=region, site=site, country=country)
    return region


@transaction.atomic
def backend_register(
    *,
    actor: User | None,
    name: str,
    base_url: str,
    engine: str,
    region: Region,
    key: str = "",
    weight: int = 1,
) -> Backend:
    """Add an engine server. `key` is what the engine wants as bearer token; it is stored sealed."""
    backend = Backend.objects.create(
        name=name,
        base_url=base_url.rstrip("/"),
        engine=engine,
        region=region,
        weight=weight,
        sealed_key=seal(key),
    )
    audit.record(
        actor=actor,
        action="backend.register",
        target=backend,
        name=name,
        base_url=backend.base_url,
        region=region.code,
    )
    transaction.on_commit(snapshot_changed)
    return backend


@transaction.atomic
def backend_move(
    *, actor: User | None, backend: Backend, base_url: str, key: str | None = None
) -> Backend:
    """The engine server answers at `base_url` now, and asks for `key` unless that is None.

    What is as it was changes nothing.
    """
    backend = Backend.objects.select_for_update().get(pk=backend.pk)
    before, after = backend.base_url, base_url.rstrip("/")
    has_new_key = key is not None and key != unseal(bytes(backend.sealed_key))
    if before == after and not has_new_key:
        return backend
    backend.base_url = after
    if key is not None:
        backend.sealed_key = seal(key)
    backend.save(update_fields=["base_url", "sealed_key"])
    audit.record(
        actor=actor,
        action="backend.move",
        target=backend,
        before=before,
        after=after,
        has_new_key=has_new_key,
    )
    transaction.on_commit(snapshot_changed)
    return backend


@transaction.atomic
def backend_set_state(*, actor: User | None, backend: Backend, state: BackendState) -> Backend:
    """Active takes work; draining finishes what runs and takes none; disabled is not checked."""
    backend = Backend.objects.select_for_update().get(pk=backend.pk)
    before, backend.state = backend.state, state
    backend.save(update_fields=["state"])
    audit.record(
        actor=actor, action="backend.set_state", target=backend, before=before, after=state
    )
    transaction.on_commit(snapshot_changed)
    return backend


@transaction.atomic
def model_create(
    *,
    actor: User | None,
    public_id: str,
    name: str,
    tasks: Sequence[Task],
    context_tokens: int,
    owned_by: str,
    licence: str = "",
    description: str = "",
) -> Model:
    """Add a model, not yet enabled: it needs rates and a deployment first."""
    model = Model(
        public_id=public_id,
        name=name,
        tasks=list(tasks),
        context_tokens=context_tokens,
        owned_by=owned_by,
        licence=licence,
        description=description,
    )
    model.full_clean()
    model.save()
    audit.record(actor=actor, action="model.create", target=model, public_id=public_id)
    return model


@transaction.atomic
def model_deploy(
    *, actor: User | None, model: Model, backend: Backend, engine_model: str
) -> Deployment:
    deployment = Deployment.objects.create(model=model, backend=backend, engine_model=engine_model)
    audit.record(
        actor=actor,
        action="model.deploy",
        target=model,
        backend=backend.name,
        engine_model=engine_model,
    )
    transaction.on_commit(snapshot_changed)
    return deployment


@transaction.atomic
def model_set_enabled(*, actor: User | None, model: Model, enabled: bool) -> Model:
    """Offer `model` to customers or withdraw it. Without a full set of rates: ValidationError."""
    prices = prices_by_model(timezone.now()).get(model.public_id, NO_PRICES)
    if enabled and not prices.covers(model.components):
        raise ValidationError(_("Set a rate for every component first."))
    model.is_enabled = enabled
    model.save(update_fields=["is_enabled"])
    action = "model.enable" if enabled else "model.disable"
    audit.record(actor=actor, action=action, target=model, public_id=model.public_id)
    transaction.on_commit(snapshot_changed)
    return model
