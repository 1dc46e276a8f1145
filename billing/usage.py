"""What usage adds up to, and how far the sums are complete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import redis
from django.utils import timezone

from billing.metering import STREAM
from tenants.valkey import client


@dataclass(frozen=True, slots=True)
class UsageSums:
    """Sums over some requests. `cached_tokens` are part of `input_tokens`; `amount` is EUR."""

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
        waiting: Any = client().xrange(STREAM, count=1)
    except redis.RedisError:
        return None
    if not waiting:
        return timezone.now()
    milliseconds = int(waiting[0][0].partition(b"-")[0])
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
