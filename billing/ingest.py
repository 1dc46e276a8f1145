"""The one way from the usage stream into PostgreSQL.

A batch is one transaction: events enter once by (organization, request id), and the rollup and the
keys' last use are computed from the rows that really entered. A batch that is delivered twice
therefore changes nothing. What cannot be booked is set aside on a stream of its own, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
import redis
import structlog
from django.db import DataError, IntegrityError, connection, transaction

from billing.metering import FIELD, STREAM, UsageRecord, decode
from billing.models import Outcome
from billing.pricing import PriceHistory
from tenants.valkey import client

GROUP: Final = "ingest"
CONSUMER: Final = "worker"
DEAD_STREAM: Final = "usage:dead"
BATCH: Final = 2000
BILLED: Final = frozenset({Outcome.COMPLETED, Outcome.CLIENT_DISCONNECT})
"""The endings that cost; a backend that failed or timed out costs nothing."""

COLUMNS: Final = (
    "request_id", "organization_id", "project_id", "api_key_id", "model", "backend", "region",
    "endpoint", "streamed", "outcome", "admitted_at", "occurred_at", "ttft_ms", "duration_ms",
    "input_tokens", "cached_tokens", "output_tokens", "client_request_id", "audio_seconds",
    "queued_ms", "attempts", "amount", "currency",
)  # fmt: skip

_COLUMN_LIST: Final = ", ".join(COLUMNS)

_STAGE: Final = """
CREATE TEMP TABLE IF NOT EXISTS stage (LIKE billing_usageevent) ON COMMIT DELETE ROWS;
TRUNCATE stage
"""
_COPY: Final = f"COPY stage ({_COLUMN_LIST}) FROM STDIN"
_BOOK: Final = f"""
WITH entered AS (
    INSERT INTO billing_usageevent ({_COLUMN_LIST}) SELECT {_COLUMN_LIST} FROM stage
    ON CONFLICT (organization_id, request_id) DO NOTHING
    RETURNING *
), used AS (
    UPDATE tenants_apikey SET last_used_at = latest.moment
    FROM (SELECT api_key_id, max(occurred_at) AS moment FROM entered GROUP BY 1) latest
    WHERE id = latest.api_key_id AND (last_used_at IS NULL OR last_used_at < latest.moment)
)
INSERT INTO billing_usagehour AS sums (
    organization_id, project_id, api_key_id, model, hour, requests, failed_requests,
    input_tokens, cached_tokens, output_tokens, audio_seconds, amount, currency
)
SELECT organization_id, project_id, api_key_id, model, date_trunc('hour', occurred_at, 'UTC'),
    count(*), count(*) FILTER (WHERE outcome IN ('upstream_error', 'timeout')),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(audio_seconds), sum(amount),
    currency
FROM entered
GROUP BY 1, 2, 3, 4, 5, currency
ORDER BY 1, 5, 3, 4
ON CONFLICT (organization_id, hour, api_key_id, model) DO UPDATE SET
    requests = sums.requests + EXCLUDED.requests,
    failed_requests = sums.failed_requests + EXCLUDED.failed_requests,
    input_tokens = sums.input_tokens + EXCLUDED.input_tokens,
    cached_tokens = sums.cached_tokens + EXCLUDED.cached_tokens,
    output_tokens = sums.output_tokens + EXCLUDED.output_tokens,
    audio_seconds = sums.audio_seconds + EXCLUDED.audio_seconds,
    amount = sums.amount + EXCLUDED.amount
"""  # noqa: S608 - the names are constants of this module

log = structlog.get_logger()


class Entry(NamedTuple):
    """One message of the stream."""

    id: bytes
    payload: bytes


def ingest(limit: int = BATCH) -> int:
    """Book up to `limit` waiting messages and return how many were taken off the stream.

    Messages that an earlier run read and did not finish come first.
    """
    entries = _read(limit)
    if entries:
        _book_or_split(entries)
    return len(entries)


def rate(records: Iterable[UsageRecord]) -> list[Decimal]:
    """EUR for each record, at the rates valid when it was admitted. Pure, but for one query.

    Raises LookupError when a model had no rate for what was used, ValueError on impossible counts.
    """
    records = list(records)
    moments = [record.admitted_at for record in records]
    history = PriceHistory.load({r.model for r in records}, min(moments), max(moments))
    return [_amount(record, history) for record in records]


def _amount(record: UsageRecord, history: PriceHistory) -> Decimal:
    if record.outcome not in BILLED:
        return Decimal(0)
    return history.at(record.model, record.admitted_at).amount(
        input_tokens=record.input_tokens,
        cached_tokens=record.cached_tokens,
        output_tokens=record.output_tokens,
        audio_seconds=record.audio_seconds,
    )


def _book_or_split(entries: Sequence[Entry]) -> None:
    """Book the batch; one that cannot be booked is halved until the culprit stands alone."""
    try:
        _book([decode(entry.payload) for entry in entries])
    except (DataError, IntegrityError, LookupError, ValueError, msgspec.DecodeError) as error:
        if len(entries) == 1:
            _set_aside(entries[0], error)
            return
        middle = len(entries) // 2
        _book_or_split(entries[:middle])
        _book_or_split(entries[middle:])
        return
    _take_off(entries)


@transaction.atomic
def _book(records: Sequence[UsageRecord]) -> None:
    amounts = rate(records)
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        with cursor.copy(_COPY) as copy:
            for record, amount in zip(records, amounts, strict=True):
                copy.write_row((*_values(record), amount, "EUR"))
        cursor.execute(_BOOK)
    connection.check_constraints()


def _values(record: UsageRecord) -> tuple[Any, ...]:
    """All but what the gateway charged, which is last."""
    return msgspec.structs.astuple(record)[:-1]


def _read(limit: int) -> list[Entry]:
    unfinished = _read_from(b"0", limit)
    return unfinished or _read_from(b">", limit)


def _read_from(start: bytes, limit: int) -> list[Entry]:
    try:
        found: Any = client().xreadgroup(GROUP, CONSUMER, {STREAM: start}, count=limit)
    except redis.ResponseError as error:
        if not str(error).startswith("NOGROUP"):
            raise
        client().xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        return _read_from(start, limit)
    return [Entry(id_, fields[FIELD]) for _, messages in found or () for id_, fields in messages]


def _take_off(entries: Sequence[Entry]) -> None:
    ids = [entry.id for entry in entries]
    with client().pipeline(transaction=True) as pipe:
        pipe.xack(STREAM, GROUP, *ids)
        pipe.xdel(STREAM, *ids)
        pipe.execute()


def _set_aside(entry: Entry, error: Exception) -> None:
    log.error("usage.set_aside", message=entry.id.decode(), error=str(error))
    with client().pipeline(transaction=True) as pipe:
        pipe.xadd(DEAD_STREAM, {FIELD: entry.payload, b"error": str(error)})
        pipe.xack(STREAM, GROUP, entry.id)
        pipe.xdel(STREAM, entry.id)
        pipe.execute()
