from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from billing.metering import UsageRecord
from billing.models import Component, Outcome
from billing.services import rate_set
from tenants.models import new_id
from tests.billing.records import MODEL, NOON
from tests.conftest import Cast


@pytest.fixture
def rates(cast: Cast) -> None:
    for component, price in (("input", "0.5"), ("cached_input", "0.1"), ("output", "1.5")):
        rate_set(
            actor=cast.oskar,
            model=MODEL,
            component=Component(component),
            price=Decimal(price),
            valid_from=NOON - timedelta(days=1),
        )


@pytest.fixture
def record(cast: Cast, rates: None) -> UsageRecord:
    return UsageRecord(
        request_id=new_id(),
        organization_id=cast.acme.id,
        project_id=cast.project.id,
        api_key_id=cast.key.api_key.id,
        model=MODEL,
        backend="gpu-1",
        region="se-lulea",
        endpoint="/v1/chat/completions",
        streamed=False,
        outcome=Outcome.COMPLETED,
        admitted_at=NOON,
        occurred_at=NOON + timedelta(seconds=2),
        ttft_ms=80,
        duration_ms=2000,
        input_tokens=1000,
        cached_tokens=400,
        output_tokens=50,
    )
