"""From the gateway to the usage event: the record on the stream, and its ingest.

The gateway appends one `UsageRecord` per request to a Valkey stream; `ingest` moves batches into
PostgreSQL in one transaction: events once by (organization, request id), rated and rolled up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

STREAM: Final = "usage"
FIELD: Final = b"r"


class UsageRecord(msgspec.Struct, frozen=True, array_like=True):
    """What the gateway knows of one request when it ends. The counts are the engine's own."""

    request_id: UUID
    organization_id: UUID
    project_id: UUID
    api_key_id: UUID
    model: str
    backend: str
    region: str
    endpoint: str
    streamed: bool
    outcome: str
    admitted_at: datetime
    occurred_at: datetime
    ttft_ms: int | None
    duration_ms: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    client_request_id: str = ""
    audio_seconds: int = 0


encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(UsageRecord).decode
