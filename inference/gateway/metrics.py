"""What Prometheus sees. No label ever names a tenant.

`gauges.py` sets the gauges; all else is counted as it happens.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge

from inference.engines import Usage
from inference.gateway.tally import Histogram, Spread, Sum

CLIENT_LEFT: Final = 499
_ROUTE: Final = ["model", "backend", "region"]
_BACKEND: Final = ["backend", "region"]

ANSWERS: Final = Counter(
    "sluice_gateway_answers", "Answers, by path and status.", ["endpoint", "status"]
)
ANSWER_SECONDS: Final = Histogram(
    "sluice_gateway_answer_seconds",
    "Time to the last byte of an answer.",
    ["endpoint"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900),
)
REQUESTS: Final = Counter(
    "sluice_gateway_requests",
    "Requests for a model, by how they ended; without a backend where none answered.",
    [*_ROUTE, "outcome"],
)
TOKENS: Final = Counter(
    "sluice_gateway_tokens",
    "Tokens, as the engines counted them: input, cached (a part of input), output.",
    [*_ROUTE, "kind"],
)
AUDIO_SECONDS: Final = Counter(
    "sluice_gateway_audio_seconds", "Audio that the engines heard.", _ROUTE
)
REQUEST_SECONDS: Final = Histogram(
    "sluice_gateway_request_seconds",
    "Time from the start of a request for a model to the end of its answer.",
    _ROUTE,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 900),
)
TTFT_SECONDS: Final = Histogram(
    "sluice_gateway_time_to_first_token_seconds",
    "Time to the first token of a stream, the queue included.",
    _ROUTE,
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2),
)
INTER_TOKEN_SECONDS: Final = Histogram(
    "sluice_gateway_inter_token_seconds",
    "Mean time between two tokens of a stream.",
    _ROUTE,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1),
)
QUEUE_SECONDS: Final = Histogram(
    "sluice_gateway_queue_seconds",
    "Time until a backend had room for a request.",
    ["model"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
RETRIES: Final = Counter(
    "sluice_gateway_retries",
    "Requests that another backend was asked for, by the one that failed.",
    ["model", "backend", "kind"],
)
UPSTREAM_FAILURES: Final = Counter(
    "sluice_gateway_upstream_failures", "Calls of a backend that failed.", ["backend", "kind"]
)
USAGE_MISSING: Final = Counter(
    "sluice_gateway_usage_missing", "Finished answers that held no usage.", ["backend"]
)
RECORDS_LOST: Final = Counter(
    "sluice_gateway_usage_records_lost", "Usage records that the disk did not take in time."
)

IN_FLIGHT: Final = Gauge(
    "sluice_gateway_in_flight",
    "Requests at a backend at this moment.",
    _BACKEND,
    multiprocess_mode="livesum",
)
WAITING: Final = Gauge(
    "sluice_gateway_waiting",
    "Requests that wait for a backend with room.",
    ["model"],
    multiprocess_mode="livesum",
)
RECORDS_WAITING: Final = Gauge(
    "sluice_gateway_usage_records_waiting",
    "Usage records that have not reached Valkey yet.",
    multiprocess_mode="livesum",
)
SPOOL_CLOSED: Final = Gauge(
    "sluice_gateway_spool_closed",
    "1 while new requests are refused, for the disk is slow, full or broken.",
    ["reason"],
    multiprocess_mode="livemax",
)
SPOOL_OLDEST_SECONDS: Final = Gauge(
    "sluice_gateway_spool_oldest_seconds",
    "How long the oldest usage record waits for Valkey, or is missed in PostgreSQL.",
    multiprocess_mode="livemax",
)
SNAPSHOT_LOADED: Final = Gauge(
    "sluice_gateway_snapshot_loaded_timestamp_seconds",
    "When keys, models and prices were loaded, since 1970; the oldest of all processes.",
    multiprocess_mode="livemin",
)
DRAINING: Final = Gauge(
    "sluice_gateway_draining", "1 once it was told to stop.", multiprocess_mode="livemax"
)
BACKENDS_READY: Final = Gauge(
    "sluice_gateway_backends_ready",
    "Backends of a model that may be asked.",
    ["model"],
    multiprocess_mode="livemostrecent",
)
BACKEND_UP: Final = Gauge(
    "sluice_gateway_backend_up",
    "1 while a backend answers its checks.",
    _BACKEND,
    multiprocess_mode="livemostrecent",
)
BREAKER: Final = Gauge(
    "sluice_gateway_breaker_state",
    "0: the breaker is closed, 1: half-open, 2: open.",
    _BACKEND,
    multiprocess_mode="livemostrecent",
)
SATURATION: Final = Gauge(
    "sluice_gateway_saturation",
    "How full a backend is; from 1 on it takes no more.",
    _BACKEND,
    multiprocess_mode="livemostrecent",
)
ENGINE_RUNNING: Final = Gauge(
    "sluice_gateway_engine_running",
    "Requests that an engine works on, as it says.",
    _BACKEND,
    multiprocess_mode="livemostrecent",
)
ENGINE_WAITING: Final = Gauge(
    "sluice_gateway_engine_waiting",
    "Requests that wait within an engine, as it says.",
    _BACKEND,
    multiprocess_mode="livemostrecent",
)
ENGINE_KV_USE: Final = Gauge(
    "sluice_gateway_engine_kv_use_ratio",
    "The share of an engine's cache that is in use, from 0 to 1.",
    _BACKEND,
    multiprocess_mode="livemostrecent",
)


class _Calls:
    """The requests of one model at one backend."""

    __slots__ = ("audio_s", "cached", "duration", "input", "inter_token", "output", "ttft")

    def __init__(self, *route: str) -> None:
        self.input = Sum(TOKENS.labels(*route, "input"))
        self.cached = Sum(TOKENS.labels(*route, "cached"))
        self.output = Sum(TOKENS.labels(*route, "output"))
        self.audio_s = Sum(AUDIO_SECONDS.labels(*route))
        self.duration = Spread(REQUEST_SECONDS.labels(*route))
        self.ttft = Spread(TTFT_SECONDS.labels(*route))
        self.inter_token = Spread(INTER_TOKEN_SECONDS.labels(*route))


def answered(endpoint: str, status: int, duration_s: float) -> None:
    _answers(endpoint, status).value += 1
    _answer_seconds(endpoint).add(duration_s)


def queued(model: str, waited_s: float) -> None:
    """Count a request that a backend was found for."""
    _queue_seconds(model).add(waited_s)


def retried(model: str, backend: str, kind: str) -> None:
    """Count a request that goes on elsewhere since `backend` failed it in the way `kind`."""
    RETRIES.labels(model, backend, kind).inc()


def first_token(model: str, backend: str, region: str, ttft_s: float) -> None:
    _calls(model, backend, region).ttft.add(ttft_s)


def ended(
    model: str,
    backend: str,
    region: str,
    outcome: str,
    usage: Usage,
    duration_s: float,
    ttft_s: float | None = None,
) -> None:
    """Count a request that a backend worked for; `ttft_s` is there for streams."""
    calls = _calls(model, backend, region)
    _requests(model, backend, region, outcome).value += 1
    calls.input.value += usage.input_tokens
    calls.cached.value += usage.cached_tokens
    calls.output.value += usage.output_tokens
    calls.audio_s.value += usage.audio_seconds
    calls.duration.add(duration_s)
    if ttft_s is not None and usage.output_tokens > 1:
        calls.inter_token.add((duration_s - ttft_s) / (usage.output_tokens - 1))


def unanswered(model: str, status: int) -> None:
    """Count a request that got an error of this status before an answer had begun."""
    outcome = "client_disconnect" if status == CLIENT_LEFT else "refused"
    _requests(model, "", "", "failed" if status >= 500 else outcome).value += 1


@cache
def _answers(endpoint: str, status: int) -> Sum:
    return Sum(ANSWERS.labels(endpoint, str(status)))


@cache
def _answer_seconds(endpoint: str) -> Spread:
    return Spread(ANSWER_SECONDS.labels(endpoint))


@cache
def _queue_seconds(model: str) -> Spread:
    return Spread(QUEUE_SECONDS.labels(model))


@cache
def _calls(model: str, backend: str, region: str) -> _Calls:
    return _Calls(model, backend, region)


@cache
def _requests(model: str, backend: str, region: str, outcome: str) -> Sum:
    return Sum(REQUESTS.labels(model, backend, region, outcome))
