"""Records of requests on their streams, as gateways leave them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from billing.metering import FIELD, UsageRecord, encode, shard_of, stream_of
from tenants.models import new_id
from tenants.valkey import client

MODEL: Final = "tiny-llama"
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put(*records: UsageRecord, scopes: str = "") -> None:
    """As the settling of a hold that counts for `scopes` leaves them."""
    for record in records:
        fields: Any = {
            FIELD: encode(record), b"n": record.amount_nano or 0, b"s": scopes,
            b"h": record.request_id.bytes, b"o": record.organization_id.hex,
        }  # fmt: skip
        client().xadd(stream_for(record), fields)


def stream_for(record: UsageRecord) -> str:
    return stream_of(shard_of(record.organization_id))


def another(record: UsageRecord, **changes: object) -> UsageRecord:
    return msgspec.structs.replace(record, request_id=new_id(), **changes)
