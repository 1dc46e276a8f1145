"""Rows of the rollup for tests of pages."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db.models import F

from billing.models import SUMMED, UsageDay, UsageHour
from tenants.models import ApiKey


def used(
    key: ApiKey,
    hour: datetime,
    *,
    model: str = "gpt-oss-120b",
    amount: str = "0.10",
    requests: int = 1,
    failed_requests: int = 0,
    tokens: tuple[int, int, int] = (100, 40, 20),
    audio_seconds: int = 0,
    currency: str = "EUR",
) -> UsageHour:
    """An hour of `key`; `tokens` are input, cached and output."""
    input_tokens, cached_tokens, output_tokens = tokens
    made = UsageHour.objects.create(
        organization_id=key.organization_id,
        project_id=key.project_id,
        api_key=key,
        model=model,
        hour=hour.replace(minute=0, second=0, microsecond=0),
        requests=requests,
        failed_requests=failed_requests,
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        audio_seconds=audio_seconds,
        amount=Decimal(amount),
        currency=currency,
    )
    day_add(made)
    return made


def day_add(hour: UsageHour) -> None:
    """Add an hour that was made to the sum of its day."""
    added = {name: getattr(hour, name) for name in SUMMED}
    UsageDay.objects.update_or_create(
        organization_id=hour.organization_id,
        project_id=hour.project_id,
        api_key_id=hour.api_key_id,
        model=hour.model,
        day=hour.hour.date(),
        currency=hour.currency,
        defaults={name: F(name) + value for name, value in added.items()},
        create_defaults=added,
    )
