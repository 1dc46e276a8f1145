"""Rows of the rollup for tests of pages."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from billing.models import UsageHour
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
) -> UsageHour:
    """An hour of `key`; `tokens` are input, cached and output."""
    input_tokens, cached_tokens, output_tokens = tokens
    return UsageHour.objects.create(
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
        amount=Decimal(amount),
        currency="EUR",
    )
