from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from inference import live
from inference.live import BreakerSeen, CheckSeen, LoadSeen, QueueSeen
from inference.live.minutes import backend_minute_key
from inference.live.seen import (
    BACKENDS,
    BREAKERS,
    GATEWAYS,
    BackendSaid,
    BreakerSaid,
    GatewaySaid,
    checks_key,
    encode,
    timeline_key,
)
from inference.routing.breaker import RAMP_S
from tenants.valkey import client

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BACKEND = uuid4()


def test_minutes_come_oldest_first_and_an_unseen_one_is_zero() -> None:
    client().hset(live.minute_key(NOON), mapping={"requests": 7, "errors": 1, "ttft:3": 5})
    before, noon = live.minutes_read(2, until=NOON)
    assert (before.requests, noon.requests, noon.errors) == (0, 7, 1)
    assert noon.ttft[3] == 5


def test_of_a_backend_what_nobody_saw_is_not_zero() -> None:
    mapping: Any = {"requests": 7, "retries": 1, "waiting": 0, "kv_use": 750, "ttft:3": 5}
    client().hset(backend_minute_key(BACKEND, NOON), mapping=mapping)
    before, noon = live.backend_minutes_read(BACKEND, 2, until=NOON)
    assert (before.requests, before.in_flight, before.waiting, before.kv_use) == (0,) + (None,) * 3
    assert (noon.requests, noon.errors, noon.retries) == (7, 0, 1)
    assert (noon.in_flight, noon.waiting, noon.kv_use) == (None, 0, 0.75)
    assert live.ttft_quantile([before, noon], 0.95) == live.TTFT_BOUNDS_MS[3]


def says(name: str, age_s: float = 0, **said: object) -> None:
    at = timezone.now() - timedelta(seconds=age_s)
    client().hset(GATEWAYS, name, encode(GatewaySaid(1, at, **said)))  # type: ignore[arg-type]


def test_what_gateways_of_another_version_wrote_is_not_read() -> None:
    client().hset(GATEWAYS, "old", b"\x91\xa5other")
    assert live.in_flight_read() == {}


def test_in_flight_is_summed_over_the_gateways_alive() -> None:
    other = uuid4()
    says("a", in_flight={BACKEND: 2, other: 1})
    says("b", in_flight={BACKEND: 3})
    says("gone", age_s=60, in_flight={BACKEND: 9})
    assert live.in_flight_read() == {str(BACKEND): 5, str(other): 1}
    assert live.fleet_live()[BACKEND].in_flight == 5


def test_the_longest_queue_comes_first() -> None:
    one, other = uuid4(), uuid4()
    rows = [QueueSeen("m", one, 1, 2.0, 0, 10), QueueSeen("m", other, 4, 1.0, 2, 10)]
    says("a", queues=rows)
    says("b", queues=[QueueSeen("m", one, 5, 0.5, 1, 10)])
    assert live.queues_read() == [QueueSeen("m", one, 6, 2.0, 1, 10), rows[1]]


def test_a_check_is_shown_however_old_and_a_load_only_fresh() -> None:
    old = timezone.now() - timedelta(minutes=1)
    check = CheckSeen(ok=False, at=old, duration_ms=4, error="Could not connect.")
    said = BackendSaid(is_down=True, check=check, load=LoadSeen(at=old, running=3))
    client().hset(BACKENDS, str(BACKEND), encode(said))
    seen = live.fleet_live()[BACKEND]
    assert (seen.check, seen.load) == (check, None)


@pytest.mark.parametrize(("age_s", "is_down"), [(6, True), (60, False)])
def test_nobody_is_down_when_nobody_checks(age_s: int, is_down: bool) -> None:
    at = timezone.now() - timedelta(seconds=age_s)
    said = BackendSaid(is_down=True, check=CheckSeen(ok=False, at=at, duration_ms=4))
    client().hset(BACKENDS, str(BACKEND), encode(said))
    assert live.fleet_live()[BACKEND].is_down is is_down
    assert live.down_read() == ({BACKEND} if is_down else set())


@pytest.mark.parametrize(("age_s", "state"), [(1.0, "ramping"), (RAMP_S + 1, "closed")])
def test_a_breaker_that_closed_ramps_for_a_while(age_s: float, state: str) -> None:
    since = timezone.now() - timedelta(seconds=age_s)
    said = BreakerSaid("closed", since, None, opened=0, gateway="a")
    client().hset(BREAKERS, str(BACKEND), encode(said))
    breaker = live.fleet_live()[BACKEND].breaker
    assert breaker.state == state
    assert breaker.since == since


def test_checks_come_newest_first() -> None:
    checks = [CheckSeen(ok=True, at=NOON, duration_ms=n, models=("tiny",)) for n in range(3)]
    for check in checks:
        client().lpush(checks_key(BACKEND), encode(check))
    assert live.checks_read(BACKEND, limit=2) == [checks[2], checks[1]]


def test_the_timeline_comes_newest_first_and_ends_after_a_week() -> None:
    now = timezone.now()
    for days in (8, 2, 1):
        moment = round((now - timedelta(days=days)).timestamp() * 1000)
        fields = {"state": "open", "reason": f"{days} days ago", "gateway": "a"}
        client().xadd(timeline_key(BACKEND), fields, id=f"{moment}-0")  # type: ignore[arg-type]
    turns = live.timeline_read(BACKEND)
    assert [turn.reason for turn in turns] == ["1 days ago", "2 days ago"]
    assert abs(turns[0].at - (now - timedelta(days=1))) < timedelta(seconds=1)


def test_without_valkey_there_is_nothing_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise redis.ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(redis.Redis, "execute_command", refuse)
        patched.setattr(redis.client.Pipeline, "execute", refuse)
        assert live.fleet_live() == {}
        assert live.in_flight_read() == {}
        assert live.queues_read() == []
        assert live.checks_read(BACKEND) == []
        assert live.timeline_read(BACKEND) == []
        assert live.minutes_read(1, until=NOON) == [live.Minute(start=NOON)]
        assert live.NOT_SEEN.breaker == BreakerSeen("closed")


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
