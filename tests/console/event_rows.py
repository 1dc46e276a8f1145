"""Usage events for tests of pages."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from billing.models import Outcome, UsageEvent, UsageEventId
from billing.partitions import Month, partitions_make
from tenants.models import ApiKey


def ended(key: ApiKey, at: datetime, **fields: Any) -> UsageEvent:
    """A request of `key` that ended `at`; `fields` are those of the event."""
    event = event_of(key, at, **fields)
    ended_all([event])
    return event


def ended_all(events: list[UsageEvent]) -> None:
    """Many at once."""
    partitions_make({Month.of(event.occurred_at) for event in events})
    UsageEventId.objects.bulk_create(
        UsageEventId(organization_id=event.organization_id, request_id=event.request_id)
        for event in events
    )
    UsageEvent.objects.bulk_create(events)


def event_of(key: ApiKey, at: datetime, **fields: Any) -> UsageEvent:
    usual: dict[str, Any] = {
        "request_id": id_of(at),
        "client_request_id": "",
        "model": "gpt-oss-120b",
        "backend": "lulea-gpu-01",
        "region": "se-lulea",
        "endpoint": "/v1/chat/completions",
        "streamed": True,
        "outcome": Outcome.COMPLETED,
        "admitted_at": at - timedelta(seconds=2),
        "ttft_ms": 240,
        "queued_ms": 40,
        "duration_ms": 2000,
        "input_tokens": 1000,
        "cached_tokens": 400,
        "output_tokens": 177,
        "amount": Decimal("0.000210000000"),
        "currency": "EUR",
    }
    return UsageEvent(
        organization_id=key.organization_id,
        project_id=key.project_id,
        api_key_id=key.pk,
        occurred_at=at,
        **usual | fields,
    )


def id_of(at: datetime) -> UUID:
    """An id as a gateway made it for a request that ended `at`."""
    made = int((at - timedelta(seconds=2)).timestamp() * 1000)
    return UUID(int=(uuid7().int & (1 << 80) - 1) | made << 80)
