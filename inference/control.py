"""What an operator can do to models and backends. Each act is atomic and audited."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Required, TypedDict, Unpack

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.pricing import NO_PRICES, prices_by_model
from inference import cards
from inference.models import (
    Backend,
    BackendState,
    Capability,
    Deployment,
    Model,
    ModelStatus,
    Region,
    RoutingPolicy,
    Task,
)
from tenants import audit
from tenants.models import Organization, User
from tenants.sealing import seal, unseal
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


class BackendFacts(TypedDict, total=False):
    """What can be changed of a backend that works. `weight` is from 1 to 100."""

    weight: int
    max_in_flight: int


@transaction.atomic
def backend_update(
    *, actor: User | None, backend: Backend, **facts: Unpack[BackendFacts]
) -> Backend:
    backend = Backend.objects.select_for_update().get(pk=backend.pk)
    changes = _change(backend, facts)
    backend.full_clean()
    backend.save(update_fields=list(facts))
    return _told(actor, "backend.update", backend, changes)


class ModelFacts(TypedDict, total=False):
    """What can be said of a model and changed later. Limits of None are the gateway's own."""

    name: Required[str]
    tasks: Required[Sequence[Task]]
    context_tokens: Required[int]
    owned_by: Required[str]
    family: str
    description: str
    aliases: Sequence[str]
    capabilities: Sequence[Capability]
    licence: str
    licence_url: str
    source_url: str
    release_date: date | None
    max_body_bytes: int | None
    max_images: int | None
    max_pixels: int | None


@transaction.atomic
def model_create(
    *, actor: User | None, public_id: str, card: Mapping[str, str] | None = None,
    **facts: Unpack[ModelFacts],
) -> Model:  # fmt: skip
    """Add a model, not yet enabled: it needs rates and a deployment first."""
    model = Model(public_id=public_id, card=_known_texts(card or {}), **facts)
    _check(model)
    model.save()
    audit.record(actor=actor, action="model.create", target=model, public_id=public_id)
    return model


@transaction.atomic
def model_update(*, actor: User | None, model: Model, **facts: Unpack[ModelFacts]) -> Model:
    """Say something else of `model`; what is left out stays only if it may be empty."""
    model = Model.objects.select_for_update().get(pk=model.pk)
    changes = _change(model, facts)
    _check(model)
    if model.is_enabled and "tasks" in changes:
        _priced_check(model)
    return _save(actor, "model.update", model, changes)


@transaction.atomic
def model_set_card(*, actor: User | None, model: Model, card: Mapping[str, str]) -> Model:
    """Write the texts of the card, by the names of `cards.TEXTS`; others are not kept."""
    model = Model.objects.select_for_update().get(pk=model.pk)
    changes = _change(model, {"card": _known_texts(card)})
    return _save(actor, "model.set_card", model, changes)


@transaction.atomic
def model_set_status(
    *,
    actor: User | None,
    model: Model,
    status: ModelStatus,
    sunset_at: datetime | None = None,
    replacement: Model | None = None,
) -> Model:
    """Move `model` on in its life. Only one that is ending has a sunset and a replacement."""
    model = Model.objects.select_for_update().get(pk=model.pk)
    if not status.is_ending and (sunset_at or replacement):
        raise ValidationError(_("Only a deprecated or retired model has a sunset or replacement."))
    if replacement and (replacement == model or replacement.status == ModelStatus.RETIRED):
        raise ValidationError(_("Choose another model that is not retired as the replacement."))
    if status != model.status:
        model.status_since = timezone.now()
    values = {"status": status, "sunset_at": sunset_at, "replacement": replacement}
    return _save(actor, "model.set_status", model, _change(model, values))


@transaction.atomic
def model_set_visibility(
    *, actor: User | None, model: Model, organizations: Collection[Organization] | None
) -> Model:
    """Show `model` to these organizations only; None is to everyone."""
    model = Model.objects.select_for_update().get(pk=model.pk)
    before = _visible_to(model)
    model.is_public = organizations is None
    model.save(update_fields=["is_public"])
    model.visible_to.set(organizations or ())
    return _told(actor, "model.set_visibility", model, {"visible_to": [before, _visible_to(model)]})


@transaction.atomic
def model_set_enabled(*, actor: User | None, model: Model, enabled: bool) -> Model:
    """Offer `model` to customers or withdraw it. Without a full set of rates: ValidationError."""
    if enabled:
        _priced_check(model)
    model.is_enabled = enabled
    model.save(update_fields=["is_enabled"])
    action = "model.enable" if enabled else "model.disable"
    audit.record(actor=actor, action=action, target=model, public_id=model.public_id)
    transaction.on_commit(snapshot_changed)
    return model


def _priced_check(model: Model) -> None:
    """Raises ValidationError unless the list has a rate for all that its tasks are metered by."""
    prices = prices_by_model(timezone.now()).get(model.public_id, NO_PRICES)
    if not prices.covers(model.components):
        raise ValidationError(_("Set a rate for every component first."))


class RoutingFacts(TypedDict, total=False):
    """How requests for a model are routed; None is the gateway's own."""

    has_affinity: bool
    fallback: Model | None
    connect_timeout_s: int | None
    first_byte_timeout_s: int | None
    idle_timeout_s: int | None
    total_timeout_s: int | None
    queue_timeout_s: int | None
    max_waiting: int | None


@transaction.atomic
def model_set_routing(
    *, actor: User | None, model: Model, **facts: Unpack[RoutingFacts]
) -> RoutingPolicy:
    """Raises ValidationError for a fallback that cannot do what `model` does."""
    Model.objects.select_for_update().get(pk=model.pk)
    policy = RoutingPolicy.objects.filter(model=model).first() or RoutingPolicy(model=model)
    changes = _change(policy, facts)
    _fallback_check(model, policy.fallback)
    policy.full_clean()
    policy.save()
    _told(actor, "model.set_routing", model, changes)
    return policy


def _fallback_check(model: Model, fallback: Model | None) -> None:
    if fallback is None:
        return
    if fallback == model:
        raise ValidationError({"fallback": _("Choose another model.")})
    if missing := set(model.tasks) - set(fallback.tasks):
        words = {"model": fallback, "tasks": ", ".join(sorted(missing))}
        raise ValidationError({"fallback": _("%(model)s does not do %(tasks)s.") % words})


class DeploymentFacts(TypedDict, total=False):
    """How a backend serves a model. `weight` is from 1 to 100."""

    engine_model: Required[str]
    weight: int
    revision: str
    engine_flags: str
    is_enabled: bool


@transaction.atomic
def model_deploy(
    *, actor: User | None, model: Model, backend: Backend, **facts: Unpack[DeploymentFacts]
) -> Deployment:
    deployment = Deployment(model=model, backend=backend, **facts)
    deployment.full_clean()
    deployment.save()
    audit.record(
        actor=actor,
        action="model.deploy",
        target=model,
        backend=backend.name,
        engine_model=deployment.engine_model,
    )
    transaction.on_commit(snapshot_changed)
    return deployment


@transaction.atomic
def deployment_update(
    *, actor: User | None, deployment: Deployment, **facts: Unpack[DeploymentFacts]
) -> Deployment:
    found = Deployment.objects.select_for_update(of=("self",)).select_related("model", "backend")
    deployment = found.get(pk=deployment.pk)
    changes = _change(deployment, facts)
    deployment.full_clean()
    deployment.save()
    _told(actor, "model.redeploy", deployment.model, changes, backend=deployment.backend.name)
    return deployment


@transaction.atomic
def deployment_remove(*, actor: User | None, deployment: Deployment) -> None:
    """Take `deployment` away; what runs on it is not cut off."""
    model, backend = deployment.model, deployment.backend
    deployment.delete()
    audit.record(
        actor=actor,
        action="model.undeploy",
        target=model,
        backend=backend.name,
        engine_model=deployment.engine_model,
    )
    transaction.on_commit(snapshot_changed)


type Changes = dict[str, list[Any]]
"""Before and after, by field, as JSON."""


def _change(row: models.Model, values: Mapping[str, Any]) -> Changes:
    """Set `values`, and say which of them are new."""
    before = {name: getattr(row, name) for name in values}
    for name, value in values.items():
        setattr(row, name, value)
    return {
        name: [_plain(before[name]), _plain(value)]
        for name, value in values.items()
        if before[name] != value
    }


def _plain(value: Any) -> Any:
    """`value` as JSON has it: rows and dates as their text, times in UTC to the minute."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    return str(value) if isinstance(value, date | models.Model) else value


def _save(actor: User | None, action: str, model: Model, changes: Changes) -> Model:
    model.save()
    return _told(actor, action, model, changes)


def _told[T: Model | Backend](
    actor: User | None, action: str, target: T, changes: Changes, **data: Any
) -> T:
    """Put `changes` on record and announce them; none are none."""
    if changes:
        audit.record(actor=actor, action=action, target=target, changes=changes, **data)
        transaction.on_commit(snapshot_changed)
    return target


def _check(model: Model) -> None:
    """Raises ValidationError: also for a name that another model has as its id or alias."""
    model.full_clean()
    names = [model.public_id, *model.aliases]
    if len(set(names)) < len(names):
        raise ValidationError(
            {"aliases": _("Each name can stand here once, and not the id itself.")}
        )
    others = Model.objects.exclude(pk=model.pk)
    if taken := others.filter(Q(public_id__in=names) | Q(aliases__overlap=names)).first():
        words = {"model": taken.public_id}
        raise ValidationError({"aliases": _("%(model)s has one of these names already.") % words})


def _known_texts(card: Mapping[str, str]) -> dict[str, str]:
    texts = {field.name: card.get(field.name, "").strip() for field in cards.TEXTS}
    return {name: text for name, text in texts.items() if text}


def _visible_to(model: Model) -> list[str] | None:
    if model.is_public:
        return None
    return list(model.visible_to.order_by("slug").values_list("slug", flat=True))
