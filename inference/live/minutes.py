"""Sums by the minute: of all requests for 48 hours, of each backend for 25.

Each gateway process adds up in memory and writes once a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final, Protocol
from uuid import UUID

from django.utils import timezone

from inference.live.reading import tolerant
from tenants.valkey import client

KEPT_S: Final = 48 * 3600
BACKEND_KEPT_S: Final = 25 * 3600
TTFT_BOUNDS_MS: Final = (
    5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 4800, 9600, 20_000,
    40_000, 80_000,
)  # fmt: skip
"""Upper bounds of the buckets of time to first token; the last bucket is open."""
_NO_TTFT: Final = (0,) * (len(TTFT_BOUNDS_MS) + 1)
_TTFT_NAMES: Final = tuple(f"ttft:{i}".encode() for i in range(len(_NO_TTFT)))
PER_MILLE: Final = 1000


def minute_key(moment: datetime) -> str:
    return f"live:{moment:%Y%m%d%H%M}"


def backend_minute_key(backend_id: UUID, moment: datetime) -> str:
    return f"live-backend:{backend_id}:{moment:%Y%m%d%H%M}"


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
    ttft: tuple[int, ...] = _NO_TTFT


@dataclass(frozen=True, slots=True)
class BackendMinute:
    """One minute (UTC) of one backend, over all gateways.

    `requests` counts calls of the backend, `errors` those that failed, `retries` those that had
    failed at another one before. `in_flight`, `waiting` and `kv_use` (0 to 1) are the highest seen,
    and None where nobody looked or the engine did not say; `prefix_queries` and `prefix_hits` are
    tokens looked for and found in its prefix cache.
    """

    start: datetime
    requests: int = 0
    errors: int = 0
    retries: int = 0
    in_flight: int | None = None
    waiting: int | None = None
    kv_use: float | None = None
    prefix_queries: int = 0
    prefix_hits: int = 0
    ttft: tuple[int, ...] = _NO_TTFT


class _Timed(Protocol):
    @property
    def ttft(self) -> tuple[int, ...]: ...


def minutes_read(count: int, *, until: datetime | None = None) -> list[Minute]:
    """The last `count` minutes up to `until` (now), oldest first, the running one last."""
    starts = _starts(count, until)
    rows = _rows([minute_key(start) for start in starts])
    return [_minute(start, rows.get(minute_key(start), {})) for start in starts]


def backend_minutes_read(
    backend_id: UUID, count: int, *, until: datetime | None = None
) -> list[BackendMinute]:
    """As `minutes_read`, of one backend."""
    starts = _starts(count, until)
    keys = [backend_minute_key(backend_id, start) for start in starts]
    rows = _rows(keys)
    return [
        _backend_minute(start, rows.get(key, {})) for start, key in zip(starts, keys, strict=True)
    ]


def ttft_quantile(minutes: Iterable[_Timed], quantile: float) -> int | None:
    """The upper bound, in ms, of the bucket that holds `quantile` of the first tokens."""
    counts = [sum(column) for column in zip(*(m.ttft for m in minutes), strict=True)]
    total = sum(counts)
    if not total:
        return None
    reached = next(i for i, seen in enumerate(accumulate(counts)) if seen >= quantile * total)
    return TTFT_BOUNDS_MS[min(reached, len(TTFT_BOUNDS_MS) - 1)]


def _starts(count: int, until: datetime | None) -> list[datetime]:
    last = (until or timezone.now()).replace(second=0, microsecond=0)
    return [last - timedelta(minutes=back) for back in range(count - 1, -1, -1)]


@tolerant(dict[str, Mapping[bytes, bytes]])
def _rows(keys: Sequence[str]) -> dict[str, Mapping[bytes, bytes]]:
    with client().pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hgetall(key)
        return dict(zip(keys, pipe.execute(), strict=True))


def _minute(start: datetime, row: Mapping[bytes, bytes]) -> Minute:
    return Minute(
        start=start,
        requests=_count(row, "requests"),
        errors=_count(row, "errors"),
        refused=_count(row, "refused"),
        input_tokens=_count(row, "input_tokens"),
        output_tokens=_count(row, "output_tokens"),
        ttft=_ttft(row),
    )


def _backend_minute(start: datetime, row: Mapping[bytes, bytes]) -> BackendMinute:
    kv_use = _highest(row, "kv_use")
    return BackendMinute(
        start=start,
        requests=_count(row, "requests"),
        errors=_count(row, "errors"),
        retries=_count(row, "retries"),
        in_flight=_highest(row, "in_flight"),
        waiting=_highest(row, "waiting"),
        kv_use=None if kv_use is None else kv_use / PER_MILLE,
        prefix_queries=_count(row, "prefix_queries"),
        prefix_hits=_count(row, "prefix_hits"),
        ttft=_ttft(row),
    )


def _count(row: Mapping[bytes, bytes], name: str) -> int:
    return int(row.get(name.encode(), 0))


def _highest(row: Mapping[bytes, bytes], name: str) -> int | None:
    value = row.get(name.encode())
    return None if value is None else int(value)


def _ttft(row: Mapping[bytes, bytes]) -> tuple[int, ...]:
    return tuple(int(row.get(name, 0)) for name in _TTFT_NAMES)
