"""Models as /v1/models shows them: OpenAI's members, and ours beside them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from billing.pricing import UnitPrice
from inference.snapshot import ModelEntry

_MILLION: Final = 1_000_000


def model_document(model: ModelEntry) -> dict[str, Any]:
    prices = model.prices
    return {
        "id": model.public_id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "name": model.name,
        "tasks": sorted(model.tasks),
        "context_tokens": model.context_tokens,
        "regions": sorted({route.region for route in model.routes}),
        "prices": {
            "currency": "EUR",
            "per_tokens": _MILLION,
            "input": _per_million(prices.input),
            "cached_input": _per_million(prices.cached_input),
            "output": _per_million(prices.output),
        },
    }


def _per_million(unit: UnitPrice) -> str:
    """EUR for a million tokens, as exact decimal text."""
    price = unit.price * (Decimal(_MILLION) / unit.unit_scale)
    return f"{price.normalize():f}"
