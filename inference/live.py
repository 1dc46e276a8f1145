"""What the gateways do right now, by the minute, for the operator's pages.

Each gateway process adds up in memory and writes once a second; nothing here is the truth of
anything billed, and all of it may be lost. Kept 48 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from django.utils import timezone

from tenants.valkey import client

KEPT_S: Final = 48 * 3600
IN_FLIGHT_KEPT_S: Final = 5
TTFT_BOUNDS_MS: Final = (
    5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 4800, 9600, 20_000,
    40_000, 80_000,
)  # fmt: skip
"""Upper bounds of the buckets of time to first token; the last bucket is open."""


def minute_key(moment: datetime) -> str:
    return f"live:{moment:%Y%m%d%H%M}"


def in_flight_key(gateway_id: str) -> str:
    """A hash of backend id -> requests in flight at one gateway process; it expires by itself."""
    return f"inflight:{gateway_id}"


def ttft_bucket(ttft_ms: float) -> int:
    """The index of the bucket of `ttft_ms`, from 0 to len(TTFT_BOUNDS_MS)."""
    return next((i for i, top in enumerate(TTFT_BOUNDS_MS) if ttft_ms <= top), len(TTFT_BOUNDS_MS))


@dataclass(frozen=True, slots=True)
class Minute:
    """Sums over one minute (UTC) and all gateways.

    `requests` counts all answers to a known key, `errors` those of them that failed on our side
    (5xx, or a stream that broke), `refused` those we refused (4xx).
    """

    start: datetime
    requests: int = 0
    errors: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    ttft: tuple[int, ...] = field(default=(0,) * (len(TTFT_BOUNDS_MS) + 1))


def minutes_read(count: int, *, until: datetime | None = None) -> list[Minute]:
    """The last `count` minutes up to `until` (now), oldest first, the running one last."""
    last = (until or timezone.now()).replace(second=0, microsecond=0)
    starts = [last - timedelta(minutes=back) for back in range(count - 1, -1, -1)]
    with client().pipeline(transaction=False) as pipe:
        for start in starts:
            pipe.hgetall(minute_key(start))
        return [_minute(start, row) for start, row in zip(starts, pipe.execute(), strict=True)]


def in_flight_read() -> dict[str, int]:
    """Requests in flight by backend id, over all gateways alive."""
    valkey, sums = client(), dict[str, int]()
    for key in valkey.scan_iter(match=in_flight_key("*")):
        for field_name, count in valkey.hgetall(key).items():
            backend = _text(field_name)
            sums[backend] = sums.get(backend, 0) + int(count)
    return sums


def ttft_quantile(minutes: Iterable[Minute], quantile: float) -> int | None:
    """The upper bound, in ms, of the bucket that holds `quantile` of the first tokens."""
    counts = [sum(column) for column in zip(*(m.ttft for m in minutes), strict=True)]
    total = sum(counts)
    if not total:
        return None
    reached = next(i for i, seen in enumerate(accumulate(counts)) if seen >= quantile * total)
    return TTFT_BOUNDS_MS[min(reached, len(TTFT_BOUNDS_MS) - 1)]


def _minute(start: datetime, row: Mapping[bytes, bytes]) -> Minute:
    def count(name: str) -> int:
        return int(row.get(name.encode(), 0))

    return Minute(
        start=start,
        requests=count("requests"),
        errors=count("errors"),
        refused=count("refused"),
        input_tokens=count("input_tokens"),
        output_tokens=count("output_tokens"),
        ttft=tuple(count(f"ttft:{i}") for i in range(len(TTFT_BOUNDS_MS) + 1)),
    )


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
