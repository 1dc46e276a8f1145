"""Models as /v1/models shows them: OpenAI's members, and ours beside them."""

from __future__ import annotations

from typing import Any

from billing.models import Component
from billing.pricing import Prices
from inference.snapshot import ModelEntry


def model_document(model: ModelEntry) -> dict[str, Any]:
    return {
        "id": model.public_id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "name": model.name,
        "tasks": sorted(model.tasks),
        "context_tokens": model.context_tokens,
        "regions": sorted({route.region for route in model.routes}),
        "prices": {"currency": "EUR", **_prices(model.prices)},
    }


def _prices(prices: Prices) -> dict[str, Any]:
    """EUR as exact decimal text by component, and the number of units that each is for."""
    found = [(component, prices.of(component)) for component in Component]
    return {
        component.value: {"price": f"{unit.price.normalize():f}", "per": unit.unit_scale}
        for component, unit in found
        if unit
    }
