"""What Prometheus sees. No label ever names a tenant."""

from __future__ import annotations

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter(
    "sluice_gateway_requests", "Answers, by path and status.", ["endpoint", "status"]
)
OUTCOMES: Final = Counter(
    "sluice_gateway_outcomes", "How requests that reached an engine ended.", ["outcome"]
)
TOKENS: Final = Counter(
    "sluice_gateway_tokens", "Tokens, as the engines counted them.", ["model", "kind"]
)
AUDIO_SECONDS: Final = Counter(
    "sluice_gateway_audio_seconds", "Audio that the engines heard.", ["model"]
)
REQUEST_SECONDS: Final = Histogram(
    "sluice_gateway_request_seconds",
    "Time to the last byte of an answer.",
    ["endpoint"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900),
)
TTFT_SECONDS: Final = Histogram(
    "sluice_gateway_time_to_first_token_seconds",
    "Time to the first token of a stream.",
    ["model"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6),
)
IN_FLIGHT: Final = Gauge(
    "sluice_gateway_in_flight", "Requests at a backend at this moment.", ["backend"]
)
UPSTREAM_FAILURES: Final = Counter(
    "sluice_gateway_upstream_failures", "Calls of a backend that failed.", ["backend", "kind"]
)
SNAPSHOT_AGE_SECONDS: Final = Gauge(
    "sluice_gateway_snapshot_age_seconds", "Time since the snapshot was loaded."
)
RECORDS_WAITING: Final = Gauge(
    "sluice_gateway_usage_records_waiting", "Usage records that have not reached Valkey yet."
)
RECORDS_LOST: Final = Counter(
    "sluice_gateway_usage_records_lost", "Usage records given up for want of memory."
)
USAGE_MISSING: Final = Counter(
    "sluice_gateway_usage_missing", "Finished answers that held no usage.", ["backend"]
)


@cache
def requests_total(endpoint: str, status: int) -> Counter:
    return REQUESTS.labels(endpoint, str(status))


@cache
def request_seconds(endpoint: str) -> Histogram:
    return REQUEST_SECONDS.labels(endpoint)
