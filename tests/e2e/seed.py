"""Numbers as they look after a month of use, so that pages are seen full."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from billing.models import Component, UsageHour
from billing.pricing import Prices, prices_by_model
from billing.services import rate_set
from inference import control
from inference.models import Backend, Model, Task
from tenants import services
from tenants.models import ApiKey
from tests.conftest import Cast

CATALOGUE = (
    ("gpt-oss-120b", "GPT-OSS 120B", "OpenAI", "Apache-2.0", 131_072, "0.15 0.075 0.60", 7000),
    ("llama-3.3-70b", "Llama 3.3 70B", "Meta", "Llama 3.3", 131_072, "0.60 0.30 0.90", 2400),
    ("mistral-small-24b", "Mistral Small", "Mistral", "Apache-2.0", 32_768, "0.10 0.05 0.30", 9000),
    ("qwen3-32b", "Qwen3 32B", "Alibaba", "Apache-2.0", 40_960, "0.20 0.10 0.60", 3100),
    ("gemma-3-27b", "Gemma 3 27B", "Google", "Gemma", 131_072, "0.12 0.06 0.35", 1900),
)
"""Id, name, maker, licence, context, prices (input, cached, output), requests an hour at noon."""


def seed(cast: Cast) -> None:
    """Five models on three backends, four keys in two projects, and 30 days of their usage."""
    models = _catalogue(cast)
    keys = _keys(cast)
    prices = prices_by_model(timezone.now())
    UsageHour.objects.bulk_create(
        _hour(model, prices[model.public_id], key, hour, per_hour * share)
        for hour in _hours(30)
        for model, per_hour in models
        for key, share in keys
    )
    ApiKey.objects.filter(id__in=[key.id for key, _share in keys]).update(
        last_used_at=timezone.now() - timedelta(seconds=8)
    )


def _catalogue(cast: Cast) -> list[tuple[Model, int]]:
    backends = _backends(cast)
    return [_model(cast, backends[at % 3], *row) for at, row in enumerate(CATALOGUE)]


def _backends(cast: Cast) -> list[Backend]:
    lulea = control.region_create(
        actor=cast.oskar, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
    )
    backends = [
        control.backend_register(
            actor=cast.oskar,
            name=f"lulea-gpu-0{number}",
            base_url=f"http://127.0.0.1:1840{number}",
            engine="vllm",
            region=lulea,
        )
        for number in (1, 2, 3)
    ]
    Backend.objects.update(healthy=True, checked_at=timezone.now(), check_ms=4)
    Backend.objects.filter(name="lulea-gpu-03").update(healthy=False, check_error="refused")
    return backends


def _model(
    cast: Cast,
    backend: Backend,
    public_id: str,
    name: str,
    owned_by: str,
    licence: str,
    context_tokens: int,
    prices: str,
    per_hour: int,
) -> tuple[Model, int]:
    model = control.model_create(
        actor=cast.oskar,
        public_id=public_id,
        name=name,
        tasks=[Task.CHAT, Task.COMPLETION],
        context_tokens=context_tokens,
        owned_by=owned_by,
        licence=licence,
    )
    for component, price in zip(Component, prices.split(), strict=False):
        rate_set(actor=cast.oskar, model=public_id, component=component, price=Decimal(price))
    control.model_deploy(actor=cast.oskar, model=model, backend=backend, engine_model=public_id)
    return control.model_set_enabled(actor=cast.oskar, model=model, enabled=True), per_hour


def _keys(cast: Cast) -> list[tuple[ApiKey, float]]:
    """Keys that work, and their share of all requests; one more is revoked, one is unused."""
    support = services.project_create(
        actor=cast.olivia, organization=cast.acme, name="Customer support"
    )
    made = [
        services.api_key_create(actor=cast.olivia, project=project, name=name).api_key
        for project, name in (
            (support, "support-chat"),
            (cast.project, "search-index batch"),
            (support, "call-summaries"),
            (cast.project, "anna laptop"),
            (support, "pilot 2025"),
        )
    ]
    services.api_key_revoke(actor=cast.olivia, api_key=made[-1])
    return list(zip([cast.key.api_key, *made[:3]], (0.45, 0.3, 0.2, 0.05), strict=True))


def _hours(days: int) -> list[datetime]:
    now = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [now - timedelta(hours=back) for back in range(days * 24)]


def _hour(model: Model, prices: Prices, key: ApiKey, hour: datetime, most: float) -> UsageHour:
    """More by day than by night, less at weekends, and the same at every run."""
    dice = random.Random(f"{model.public_id} {key.name} {hour}")  # noqa: S311 - no secret
    busy = (1 - abs(hour.hour - 13) / 14) * (0.4 if hour.weekday() > 4 else 1)
    requests = int(most * busy * dice.uniform(0.85, 1.15))
    input_tokens, output_tokens = (
        requests * dice.randint(900, 1500),
        requests * dice.randint(90, 220),
    )
    cached_tokens = input_tokens * dice.randint(25, 45) // 100
    return UsageHour(
        organization_id=key.organization_id,
        project_id=key.project_id,
        api_key=key,
        model=model.public_id,
        hour=hour,
        requests=requests,
        failed_requests=requests // 1200,
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        amount=prices.amount(
            input_tokens=input_tokens, cached_tokens=cached_tokens, output_tokens=output_tokens
        ),
        currency="EUR",
    )
