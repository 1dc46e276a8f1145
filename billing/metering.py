"""From the gateway to the usage event: the record on the stream, and its ingest.

The gateway appends one `UsageRecord` per request to the stream of its shard; `ingest` moves batches
into PostgreSQL in one transaction: events once by (organization, request id), rated and rolled up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

FIELD: Final = b"r"
SHARDS: Final = 16
"""All keys of one organization in Valkey share a hash tag, that of its shard."""


def shard_of(organization_id: UUID) -> int:
    """Which of SHARDS holds an organization's counters and its stream."""
    return organization_id.int % SHARDS


def stream_of(shard: int) -> str:
    return f"usage:{{{shard}}}"


STREAMS: Final = tuple(map(stream_of, range(SHARDS)))

ENGINE_TOKENS_KEPT_S: Final = 3 * 24 * 3600


def engine_tokens_key(hour: datetime) -> str:
    """A hash of what engines counted in an hour (UTC), by backend, from whoever watches them.

    Its fields are `input:<backend>`, `output:<backend>` and, of one that began anew, `reset:…`.
    """
    return f"usage:engines:{hour:%Y%m%d%H}"


type Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class UsageRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the gateway knows of one request when it ends. The counts are the engine's own.

    `queued_ms` are of `ttft_ms`, `attempts` the backends that were asked. `amount_nano` is what the
    gateway charged, in 10⁻⁹ of the organization's currency and rounded up; None where it did not
    charge. `book` is the price book of its admission; None is the organization's own of now.
    """

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
    admitted_at: Moment
    occurred_at: Moment
    ttft_ms: int | None
    duration_ms: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    client_request_id: str = ""
    audio_seconds: int = 0
    queued_ms: int = 0
    attempts: int = 1
    amount_nano: int | None = None
    book: UUID | None = None


encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(UsageRecord).decode
