"""Of three backends one is drained, one killed and one stalled, and customers notice none of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pytest

from inference import control
from inference.live import timeline_read
from inference.models import Backend, BackendState
from tests import fake_vllm
from tests.conftest import Cast, make_cast
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    Running,
    backend_add,
    chat,
    gateway_running,
    model_add,
    records,
    wait_until,
)
from tests.inference.gateway.storm import Storm, storm_blowing

pytestmark = pytest.mark.django_db(transaction=True)

NAMES: Final = ("drained", "killed", "stalled")
MODEL: Final = "acme/storm"
CLIENTS: Final = 16
TOKENS: Final = 12
TIMEOUTS: Final = {"GATEWAY_FIRST_BYTE_TIMEOUT_S": "2", "GATEWAY_IDLE_TIMEOUT_S": "2"}


@dataclass(frozen=True)
class Trio:
    gateway: Running
    cast: Cast
    engines: dict[str, FakeVllm]
    rows: dict[str, Backend]


@pytest.fixture
def trio(transactional_db: None) -> Iterator[Trio]:
    with ExitStack() as stack:
        cast = make_cast()
        region = control.region_create(
            actor=None, code="se", site="Luleå", country="SE", jurisdiction="EU"
        )
        engines = {
            name: stack.enter_context(fake_vllm.running(api_keys=("engine-key",))) for name in NAMES
        }
        rows = {name: backend_add(region, name, engine.url) for name, engine in engines.items()}
        model_add(MODEL, *rows.values())
        gateway = stack.enter_context(gateway_running(**TIMEOUTS))
        yield Trio(gateway, cast, engines, rows)


def story_of(backend: Backend) -> list[str]:
    """The states of its timeline, oldest first."""
    return [str(entry.state) for entry in reversed(timeline_read(backend.pk))]


def test_backends_come_and_go_and_no_client_gets_an_error(trio: Trio) -> None:
    body = chat("Hi !delay 15", max_tokens=TOKENS) | {"model": MODEL}
    key = trio.cast.key.secret
    with ExitStack() as stack, storm_blowing(trio.gateway.url, key, body, CLIENTS) as storm:
        wait_until(lambda: len(storm.answers) > 3 * CLIENTS, 20)
        _drain(trio, storm)
        _kill(trio, stack)
        _stall(trio, storm)
    _report(storm)
    assert storm.refused == []
    _only_killed_and_stalled_broke_off(storm)


def _drain(trio: Trio, storm: Storm) -> None:
    """Its running streams finish, and nothing new comes."""
    control.backend_set_state(actor=None, backend=trio.rows["drained"], state=BackendState.DRAINING)
    engine = trio.engines["drained"]
    wait_until(lambda: _gets_nothing(engine, storm), 10)
    asked = engine.wait_for(running=0, aborted=0)["requests"]
    control.backend_set_state(actor=None, backend=trio.rows["drained"], state=BackendState.ACTIVE)
    wait_until(lambda: engine.state()["requests"] > asked, 20)


def _gets_nothing(engine: FakeVllm, storm: Storm) -> bool:
    """While the clients get many answers."""
    asked, answers = engine.state()["requests"], len(storm.answers)
    wait_until(lambda: len(storm.answers) > answers + 3 * CLIENTS, 20)
    return bool(engine.state()["requests"] == asked)


def _kill(trio: Trio, stack: ExitStack) -> None:
    """Once its breaker is open nothing goes there; it comes back, is tried, and serves again."""
    engine, row = trio.engines["killed"], trio.rows["killed"]
    engine.kill()
    wait_until(lambda: "open" in story_of(row), 20)
    port = int(engine.url.rpartition(":")[2])
    again = stack.enter_context(fake_vllm.running(api_keys=("engine-key",), port=port))
    wait_until(lambda: again.state()["requests"] > 5, 40)
    assert story_of(row)[:3] == ["open", "half_open", "closed"]


def _stall(trio: Trio, storm: Storm) -> None:
    """It hangs: requests that wait there are asked again elsewhere."""
    engine, row = trio.engines["stalled"], trio.rows["stalled"]
    engine.stall()
    try:
        wait_until(lambda: {"open", "down"} & set(story_of(row)), 30)
        answers = len(storm.answers)
        wait_until(lambda: len(storm.answers) > answers + 3 * CLIENTS, 20)
    finally:
        engine.go_on()


def _only_killed_and_stalled_broke_off(storm: Storm) -> None:
    backends = {str(record.request_id): record.backend for record in records()}
    broken = Counter(backends[a.request_id] for a in storm.answers if a.ended == "broken off")
    assert set(broken) <= {"killed", "stalled"}
    assert sum(broken.values()) <= 2 * CLIENTS
    for answer in storm.answers:
        if answer.ended == "whole" and answer.streamed:
            assert answer.text.count('"delta":{"content"') >= TOKENS


def _report(storm: Storm) -> None:
    slowest = max(answer.first_s for answer in storm.answers)
    print(f"\n{len(storm.answers)} answers: {dict(storm.endings)}; slowest start {slowest:.2f} s")  # noqa: T201
