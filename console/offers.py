"""Models as customers see them: what they can do, what they cost and where they run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from billing.models import Component
from billing.price_books import book_of
from billing.pricing import NO_PRICES, Prices, prices_by_model
from inference.live import down_read
from inference.models import (
    BackendState,
    Capability,
    Deployment,
    Model,
    ModelQuerySet,
    ModelStatus,
    Task,
)
from tenants.models import Organization


class Price(NamedTuple):
    """Of one component, in the currency of its book. `per` says for how much of it."""

    component: Component
    amount: Decimal
    per: str


@dataclass(frozen=True)
class Offer:
    """A model with its prices, and which backends are `down`. What backends are called stays
    inside; customers see regions.
    """

    model: Model
    rates: Prices
    down: Collection[UUID]

    @property
    def status(self) -> ModelStatus:
        return ModelStatus(self.model.status)

    @property
    def tasks(self) -> list[str]:
        return [str(Task(task).label) for task in self.model.tasks]

    @property
    def capabilities(self) -> list[str]:
        return [str(Capability(name).label) for name in self.model.capabilities]

    @property
    def context_tokens(self) -> int | None:
        """None for what is not billed by tokens: its context is nothing to plan with."""
        counts_tokens = self.model.components != [Component.AUDIO_SECOND]
        return self.model.context_tokens if counts_tokens else None

    @property
    def prices(self) -> list[Price]:
        return prices_of(self.model, self.rates)

    @cached_property
    def regions(self) -> list[str]:
        return sorted(
            {f"{d.backend.region.site}, {d.backend.region.country}" for d in self._routed}
        )

    @cached_property
    def is_available(self) -> bool:
        """Whether a backend could answer now."""
        return any(d.backend_id not in self.down for d in self._routed)

    @property
    def kind(self) -> str:
        """The colour of its state."""
        if self.status is ModelStatus.RETIRED:
            return "idle"
        if not self.is_available:
            return "bad"
        return "warn" if self.status is ModelStatus.DEPRECATED else "ok"

    @property
    def word(self) -> str:
        if self.status is ModelStatus.RETIRED or self.is_available:
            return _("Available") if self.status is ModelStatus.ACTIVE else str(self.status.label)
        return _("Unavailable")

    @property
    def _routed(self) -> list[Deployment]:
        return [
            deployment
            for deployment in self.model.deployments.all()
            if deployment.is_enabled and deployment.backend.state == BackendState.ACTIVE
        ]


@dataclass(frozen=True)
class OfferGroup:
    """Offers that are billed by the same components, so that one table fits them."""

    components: list[Component]
    offers: list[Offer]

    @property
    def title(self) -> str:
        tasks = {task for offer in self.offers for task in offer.model.tasks}
        return ", ".join(str(task.label) for task in Task if task in tasks)


def prices_of(model: Model, rates: Prices) -> list[Price]:
    """What `model` is billed by, as far as it has a price."""
    units = [(component, rates.of(component)) for component in model.components]
    return [Price(component, unit.price, per(component)) for component, unit in units if unit]


def per(component: Component) -> str:
    return _("per minute") if component is Component.AUDIO_SECOND else _("per 1 M tokens")


def known_to(organization: Organization) -> ModelQuerySet:
    """What `organization` may know of: all that is or was offered to it, with the deployments that
    its requests may go to.
    """
    deployments = Deployment.objects.select_related("backend__region")
    if organization.allowed_regions:
        deployments = deployments.filter(backend__region__in=organization.allowed_regions)
    found = Model.objects.for_organization(organization).filter(is_enabled=True)
    return found.select_related("replacement").prefetch_related(
        Prefetch("deployments", deployments)
    )


def offers_of(models: Iterable[Model], now: datetime, organization: Organization) -> list[Offer]:
    """Those of `models` that have all their prices in its book: without, one is not served."""
    prices, down = prices_by_model(now, book_of(organization.pk)), down_read()
    offers = [Offer(model, prices.get(model.public_id, NO_PRICES), down) for model in models]
    return [offer for offer in offers if offer.rates.covers(offer.model.components)]


def grouped(offers: Iterable[Offer]) -> list[OfferGroup]:
    """Tables of `offers`, those that are billed by most first."""
    groups: dict[tuple[Component, ...], list[Offer]] = {}
    for offer in offers:
        groups.setdefault(tuple(offer.model.components), []).append(offer)
    order = sorted(groups, key=lambda parts: (Component.OUTPUT not in parts, -len(parts), parts))
    return [OfferGroup(list(parts), groups[parts]) for parts in order]
