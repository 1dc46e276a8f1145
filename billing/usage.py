"""What usage adds up to, and how far the sums are complete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import redis
from django.utils import timezone

from billing.metering import STREAMS
from tenants.valkey import client


@dataclass(frozen=True, slots=True)
class UsageSums:
    """Sums over some requests. `cached_tokens` are part of `input_tokens`."""

    requests: int = 0
    failed_requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: int = 0
    amount: Decimal = Decimal(0)

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: UsageSums) -> UsageSums:
        return UsageSums(
            self.requests + other.requests,
            self.failed_requests + other.failed_requests,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.audio_seconds + other.audio_seconds,
            self.amount + other.amount,
        )


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The sums of one group in the hour or day that starts at `moment` (UTC)."""

    moment: datetime
    group: str
    sums: UsageSums


def complete_until() -> datetime | None:
    """Up to when every request that ended is booked: all of them, or the oldest that waits.

    None when Valkey does not say.
    """
    try:
        with client().pipeline(transaction=False) as pipe:
            for stream in STREAMS:
                pipe.xrange(stream, count=1)
            answers: list[Any] = pipe.execute()
    except redis.RedisError:
        return None
    oldest = [int(entries[0][0].partition(b"-")[0]) for entries in answers if entries]
    return datetime.fromtimestamp(min(oldest) / 1000, UTC) if oldest else timezone.now()
