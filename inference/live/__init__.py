"""What the gateways do and see right now, for the operator's pages.

They write it to Valkey. Nothing here is the truth of anything billed, all of it may be lost, and
without Valkey there is nothing to read: every function then answers with what is empty.
"""

from __future__ import annotations

from inference.live.fleet import (
    NOT_SEEN,
    BackendLive,
    checks_read,
    down_read,
    fleet_live,
    in_flight_read,
    queues_read,
    timeline_read,
)
from inference.live.minutes import (
    TTFT_BOUNDS_MS,
    BackendMinute,
    Minute,
    backend_minutes_read,
    minute_key,
    minutes_read,
    ttft_bucket,
    ttft_quantile,
)
from inference.live.seen import BreakerSeen, CheckSeen, LoadSeen, QueueSeen, Transition

__all__ = [
    "NOT_SEEN",
    "TTFT_BOUNDS_MS",
    "BackendLive",
    "BackendMinute",
    "BreakerSeen",
    "CheckSeen",
    "LoadSeen",
    "Minute",
    "QueueSeen",
    "Transition",
    "backend_minutes_read",
    "checks_read",
    "down_read",
    "fleet_live",
    "in_flight_read",
    "minute_key",
    "minutes_read",
    "queues_read",
    "timeline_read",
    "ttft_bucket",
    "ttft_quantile",
]
