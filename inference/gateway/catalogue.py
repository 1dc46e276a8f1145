"""Models as /v1/models shows them: OpenAI's members, and ours beside them."""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime
from typing import Any

from billing.models import Component
from billing.pricing import Prices
from inference.models import ModelStatus
from inference.snapshot import KeyEntry, ModelEntry, Snapshot


def model_documents(snapshot: Snapshot, key: KeyEntry) -> list[dict[str, Any]]:
    """Those that `key` may call."""
    allowed = key.scope.models
    return [
        model_document(model, snapshot, key)
        for name, model in snapshot.models.items()
        if model.is_sold_to(key) and (allowed is None or name in allowed)
    ]


def model_document(model: ModelEntry, snapshot: Snapshot, key: KeyEntry) -> dict[str, Any]:
    """What is not known is null. The replacement is told to those who may call it."""
    other = snapshot.model(model.replacement, key)
    return {
        "id": model.public_id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "name": model.name,
        "family": model.family or None,
        "aliases": model.aliases,
        "tasks": sorted(model.tasks),
        "capabilities": sorted(model.capabilities),
        "context_tokens": model.context_tokens,
        "regions": _regions(model, key),
        "prices": _prices(model.prices[key.terms.book]),
        "licence": model.licence or None,
        "release_date": model.release_date,
        "status": model.status,
        "sunset_at": model.sunset_at,
        "replacement": other.public_id if other else None,
    }


def ending_headers(model: ModelEntry) -> dict[str, str]:
    """What an answer of a deprecated model carries: since when it is (RFC 9745), and until when
    it is served (RFC 8594), as far as that is known.
    """
    if model.status != ModelStatus.DEPRECATED:
        return {}
    headers = {"deprecation": f"@{int(model.status_since.timestamp())}"}
    if model.sunset_at:
        headers["sunset"] = format_datetime(model.sunset_at.astimezone(UTC), usegmt=True)
    return headers


def _regions(model: ModelEntry, key: KeyEntry) -> list[str]:
    """Those where a request of the organization can be answered."""
    here = {route.region for route in model.routes}
    return sorted(here if key.regions is None else here & key.regions)


def _prices(prices: Prices) -> dict[str, Any]:
    """What the key pays, as exact decimal text by component, and the number of units that each is
    for.
    """
    found = [(component, prices.of(component)) for component in Component]
    return {
        "currency": prices.currency.value,
        **{
            component.value: {"price": f"{unit.price.normalize():f}", "per": unit.unit_scale}
            for component, unit in found
            if unit
        },
    }
