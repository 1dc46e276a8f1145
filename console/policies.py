"""A model's routing policy as operators read it, and what a fallback changes for customers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.pricing import NO_PRICES, Prices
from console.templatetags.ui import number, price, size
from inference.limits import limits_of
from inference.models import (
    BackendState,
    Capability,
    Model,
    ModelStatus,
    Region,
    RoutingPolicy,
)
from inference.policies import SETTINGS
from tenants.models import Organization

LABELS: Final = {
    "connect_timeout_s": _("To connect"),
    "first_byte_timeout_s": _("To the first byte"),
    "idle_timeout_s": _("Between pieces"),
    "total_timeout_s": _("In all"),
    "queue_timeout_s": _("In the queue"),
    "max_waiting": _("Most that wait"),
}
MEANINGS: Final = {
    "connect_timeout_s": _("then another backend is asked"),
    "first_byte_timeout_s": _("of a stream, then another backend"),
    "idle_timeout_s": _("then the answer ends with an error"),
    "total_timeout_s": _("then the answer ends with an error"),
    "queue_timeout_s": _("then 503 no_capacity"),
    "max_waiting": _("of an organization, then 429 slow_down"),
}


class Setting(NamedTuple):
    """A number of a policy. `unit` is s for seconds, or empty."""

    label: str
    value: float
    unit: str
    meaning: str


def gateway_settings() -> list[Setting]:
    """What holds for a model without numbers of its own."""
    return [_setting(field, gateway_default(field)) for field in SETTINGS]


def own_settings(policy: RoutingPolicy) -> list[Setting]:
    """The numbers that were chosen for this model."""
    chosen = ((field, getattr(policy, field)) for field in SETTINGS)
    return [_setting(field, value) for field, value in chosen if value is not None]


def gateway_default(field: str) -> float:
    """What holds where `field` of a policy is None."""
    value: float = getattr(settings, SETTINGS[field])
    return value


def unit_of(field: str) -> str:
    return "s" if field.endswith("_s") else ""


def _setting(field: str, value: float) -> Setting:
    return Setting(str(LABELS[field]), value, unit_of(field), str(MEANINGS[field]))


def policy_read(model: Model) -> RoutingPolicy:
    """The policy of `model`, and an empty one where nothing was chosen. Select it."""
    own: RoutingPolicy | None = getattr(model, "routing_policy", None)
    return own or RoutingPolicy(model=model)


def differences(model: Model, fallback: Model, prices: Mapping[str, Prices]) -> list[str]:
    """What customers of `model` get otherwise when `fallback` answers, worst first.

    Reads the deployments, their backends and regions, and `visible_to` of both, so prefetch them.
    """
    rates = prices.get(fallback.public_id, NO_PRICES)
    if not is_offered(fallback) or not rates.covers(fallback.components):
        return [gettext("It is not offered, so it answers nothing.")]
    own = prices.get(model.public_id, NO_PRICES)
    return [*_less(model, fallback), *_elsewhere(model, fallback), *_priced(model, rates, own)]


def is_offered(model: Model) -> bool:
    return model.is_enabled and model.status != ModelStatus.RETIRED


def _less(model: Model, fallback: Model) -> Iterator[str]:
    if fallback.context_tokens < model.context_tokens:
        words = {"new": number(fallback.context_tokens), "old": number(model.context_tokens)}
        yield gettext("Its context is %(new)s tokens, not %(old)s.") % words
    if missing := [name for name in model.capabilities if name not in fallback.capabilities]:
        labels = ", ".join(str(Capability(name).label) for name in missing)
        yield gettext("It lacks: %(capabilities)s.") % {"capabilities": labels}
    new, old = limits_of(fallback).body_bytes, limits_of(model).body_bytes
    if new < old:
        words = {"new": size(new), "old": size(old)}
        yield gettext("Requests over %(new)s get the error; here %(old)s may come.") % words


def _elsewhere(model: Model, fallback: Model) -> Iterator[str]:
    if missing := sorted(regions_of(model) - regions_of(fallback)):
        yield gettext("It has no backend in %(regions)s.") % {"regions": ", ".join(missing)}
    seen_by = {one.pk for one in fallback.visible_to.all()}
    hidden = model.is_public or any(one.pk not in seen_by for one in model.visible_to.all())
    if not fallback.is_public and hidden:
        yield gettext("Organizations that may not call it get the error.")


def _priced(model: Model, rates: Prices, own: Prices) -> Iterator[str]:
    """`rates` are those of the fallback, `own` those of `model`."""
    for component in model.components:
        new, old = rates.of(component), own.of(component)
        if new and old and new.price != old.price:
            words = {"what": component.label, "new": price(new.price), "old": price(old.price)}
            yield gettext("%(what)s costs %(new)s, not %(old)s.") % words


def regions_of(model: Model) -> set[str]:
    """The sites where a backend takes work for it."""
    return {
        deployment.backend.region.site
        for deployment in model.deployments.all()
        if deployment.is_enabled and deployment.backend.state == BackendState.ACTIVE
    }


def allowed_regions(organization: Organization) -> list[str]:
    """The only places where its requests may go, as people read them; none are all."""
    codes = organization.allowed_regions
    found = {one.code: f"{one.site}, {one.country}" for one in Region.objects.filter(pk__in=codes)}
    return [found.get(code, code) for code in codes]
