from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from billing.metering import engine_tokens_key
from inference import live
from inference.engines import EngineLoad
from inference.gateway.watch import Watch
from inference.live import CheckSeen
from inference.live.seen import CHECKS_KEPT, BackendSaid
from inference.snapshot import BackendEntry
from tenants.valkey import client

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD = CheckSeen(ok=True, at=NOON, duration_ms=3, models=("tiny",))
BAD = CheckSeen(ok=False, at=NOON, duration_ms=9, error="Could not connect.")
ENTRY = BackendEntry(uuid4(), "one", "http://127.0.0.1:9", "vllm", "")


def watch(said: BackendSaid | None = None) -> Watch:
    return Watch(ENTRY, said, "gateway-1")


def write(*watches: Watch) -> None:
    for one in watches:
        for command in one.news():
            client().execute_command(*command)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("check", "is_down"), [(GOOD, False), (BAD, True)])
def test_the_first_check_of_a_backend_decides(check: CheckSeen, is_down: bool) -> None:
    one = watch()
    one.checked(check)
    assert one.is_down is is_down


@pytest.mark.parametrize(
    ("checks", "is_down"),
    [
        ([GOOD, BAD], False),
        ([GOOD, BAD, BAD], True),
        ([GOOD, BAD, GOOD, BAD], False),
        ([GOOD, BAD, BAD, GOOD], True),
        ([GOOD, BAD, BAD, GOOD, BAD, GOOD], True),
        ([GOOD, BAD, BAD, GOOD, GOOD], False),
    ],
)
def test_it_takes_two_checks_in_a_row_to_turn(checks: list[CheckSeen], is_down: bool) -> None:
    one = watch()
    for check in checks:
        one.checked(check)
    assert one.is_down is is_down


def test_another_prober_goes_on_where_one_ended() -> None:
    one = watch(BackendSaid(is_down=True, check=BAD))
    one.checked(GOOD)
    assert one.is_down
    one.checked(GOOD)
    assert not one.is_down


def test_checks_and_turns_are_written_once() -> None:
    one = watch()
    for check in (GOOD, BAD, BAD, GOOD, GOOD):
        one.checked(check)
    write(one, one)
    assert [check.ok for check in live.checks_read(ENTRY.id)] == [True, True, False, False, True]
    turns = [(turn.state, turn.reason) for turn in live.timeline_read(ENTRY.id)]
    assert turns == [("up", "it answers again"), ("down", "Could not connect.")]


def test_the_last_checks_are_kept() -> None:
    one = watch()
    for _ in range(CHECKS_KEPT + 5):
        one.checked(GOOD)
    write(one)
    assert len(live.checks_read(ENTRY.id, limit=100)) == CHECKS_KEPT


def loads(one: Watch, *loads: EngineLoad | None, minute: int = 0) -> None:
    for load in loads:
        one.scraped(load, NOON + timedelta(minutes=minute))


def test_a_minute_keeps_the_highest_and_adds_up_what_counters_grew() -> None:
    one = watch()
    loads(
        one,
        EngineLoad(5, 2, 0.5, 1000, 100),
        None,
        EngineLoad(5, 7, 0.25, 1500, 200),
        EngineLoad(0, 0, 0.0, 30, 10),
    )
    one.in_flight(4, NOON)
    one.in_flight(3, NOON)
    loads(one, EngineLoad(1, 1, None, 40, 10), minute=1)
    write(one)
    noon, after = live.backend_minutes_read(ENTRY.id, 2, until=NOON + timedelta(minutes=1))
    assert (noon.in_flight, noon.waiting, noon.kv_use) == (4, 7, 0.5)
    assert (noon.prefix_queries, noon.prefix_hits) == (530, 110), "an engine began anew"
    assert (after.in_flight, after.waiting, after.kv_use, after.prefix_queries) == (
        None, 1, None, 10,
    )  # fmt: skip


def test_tokens_that_the_engine_counts_are_added_up_by_the_hour() -> None:
    one = watch()
    for prompts, generated in ((1000, 50), (1600, 80), (1600, 90), (30, 5)):
        loads(one, EngineLoad(1, 0, 0.5, None, None, prompts, generated))
    loads(one, EngineLoad(1, 0, 0.5, None, None, 40, None), minute=60)
    write(one)
    name = ENTRY.name
    assert client().hgetall(engine_tokens_key(NOON)) == {
        f"input:{name}".encode(): b"630",
        f"output:{name}".encode(): b"45",
        f"reset:{name}".encode(): b"1",
    }
    later = client().hgetall(engine_tokens_key(NOON + timedelta(hours=1)))
    assert later == {f"input:{name}".encode(): b"10"}


def test_an_engine_that_says_nothing_leaves_no_figures() -> None:
    one = watch()
    loads(one, None, EngineLoad(None, None, None, None, None))
    write(one)
    (minute,) = live.backend_minutes_read(ENTRY.id, 1, until=NOON)
    assert (minute.waiting, minute.kv_use) == (None, None)
