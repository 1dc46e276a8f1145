from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from inference import live
from tenants.valkey import client

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_minutes_come_oldest_first_and_an_unseen_one_is_zero() -> None:
    client().hset(live.minute_key(NOON), mapping={"requests": 7, "errors": 1, "ttft:3": 5})
    before, noon = live.minutes_read(2, until=NOON)
    assert (before.requests, noon.requests, noon.errors) == (0, 7, 1)
    assert noon.ttft[3] == 5


def test_in_flight_is_summed_over_the_gateways() -> None:
    client().hset(live.in_flight_key("a"), mapping={"backend-1": 2, "backend-2": 1})
    client().hset(live.in_flight_key("b"), mapping={"backend-1": 3})
    assert live.in_flight_read() == {"backend-1": 5, "backend-2": 1}


@given(st.lists(st.floats(0.1, 79_000), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_within_one_bucket_of_the_truth(times: list[float], quantile: float) -> None:
    counts = [0] * (len(live.TTFT_BOUNDS_MS) + 1)
    for time in times:
        counts[live.ttft_bucket(time)] += 1
    minute = live.Minute(start=NOON, ttft=tuple(counts))
    rank = next(i for i in range(1, len(times) + 1) if i >= quantile * len(times))
    truth = sorted(times)[rank - 1]
    assert live.ttft_quantile([minute], quantile) == live.TTFT_BOUNDS_MS[live.ttft_bucket(truth)]


def test_nothing_seen_has_no_quantile() -> None:
    assert live.ttft_quantile([live.Minute(start=NOON)], 0.5) is None
