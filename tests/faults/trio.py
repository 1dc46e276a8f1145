"""Three backends under load: one is drained, one killed, one stalled, and nobody notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from inference import control
from inference.live import timeline_read
from inference.models import Backend, BackendState
from tests.conftest import Cast, make_cast
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import (
    Running,
    backend_add,
    gateway_running,
    model_add,
    records,
    wait_until,
)
from tests.inference.gateway.storm import Storm, storm_blowing

NAMES: Final = ("drained", "killed", "stalled")
MODEL: Final = "acme/storm"
COMES_BACK_S: Final = 60
"""An open breaker waits for 15 s, and a backend that comes back starts with a small share."""


class Engine(Protocol):
    """A server that can be made to fail."""

    @property
    def url(self) -> str: ...

    def answered(self) -> int:
        """How many generations it has finished."""

    def running(self) -> int:
        """How many it has under way."""

    def kill(self) -> None: ...

    def stall(self) -> None: ...

    def go_on(self) -> None: ...


type Start = Callable[[int], AbstractContextManager[Engine]]
"""Starts an engine on a port."""


@dataclass(frozen=True)
class Trio:
    """A gateway and the three backends of its one model; `stack` ends what is started later."""

    gateway: Running
    cast: Cast
    engines: dict[str, Engine]
    rows: dict[str, Backend]
    start: Start
    stack: ExitStack

    @contextmanager
    def storm(self, body: dict[str, Any], clients: int) -> Iterator[Storm]:
        key = self.cast.key.secret
        with storm_blowing(self.gateway.url, key, body | {"model": MODEL}, clients) as storm:
            wait_until(lambda: len(storm.answers) > 2 * clients, COMES_BACK_S)
            yield storm

    def drain(self, storm: Storm) -> None:
        """Its running streams finish, and nothing new comes."""
        row, engine = self.rows["drained"], self.engines["drained"]
        control.backend_set_state(actor=None, backend=row, state=BackendState.DRAINING)
        wait_until(lambda: gets_nothing(engine, storm), COMES_BACK_S)
        wait_until(lambda: engine.running() == 0, COMES_BACK_S)
        answered = engine.answered()
        control.backend_set_state(actor=None, backend=row, state=BackendState.ACTIVE)
        wait_until(lambda: engine.answered() > answered, COMES_BACK_S)

    def kill(self) -> None:
        """Once its breaker is open nothing goes there; it comes back, is tried, and serves."""
        row, engine = self.rows["killed"], self.engines["killed"]
        engine.kill()
        wait_until(lambda: "open" in story_of(row), COMES_BACK_S)
        again = self.stack.enter_context(self.start(int(engine.url.rpartition(":")[2])))
        wait_until(lambda: again.answered() > 5, COMES_BACK_S)
        story = story_of(row)
        assert story[0] == "open"
        assert story[-2:] == ["half_open", "closed"]

    def stall(self, storm: Storm) -> None:
        """It hangs: streams that wait there for their start are asked again elsewhere."""
        row, engine = self.rows["stalled"], self.engines["stalled"]
        engine.stall()
        try:
            wait_until(lambda: {"open", "down"} & set(story_of(row)), COMES_BACK_S)
            many_answers(storm)
        finally:
            engine.go_on()


@contextmanager
def trio_running(start: Start, engine_model: str, **environment: str) -> Iterator[Trio]:
    with ExitStack() as stack:
        cast = make_cast()
        region = control.region_create(
            actor=None, code="se", site="Luleå", country="SE", jurisdiction="EU"
        )
        engines = {name: stack.enter_context(start(free_port())) for name in NAMES}
        rows = {name: backend_add(region, name, engine.url) for name, engine in engines.items()}
        model_add(MODEL, *rows.values(), engine_model=engine_model)
        gateway = stack.enter_context(gateway_running(**environment))
        yield Trio(gateway, cast, engines, rows, start, stack)


def story_of(backend: Backend) -> list[str]:
    """The states of its timeline, oldest first."""
    return [str(entry.state) for entry in reversed(timeline_read(backend.pk))]


def many_answers(storm: Storm) -> None:
    """Wait until the clients have got many more."""
    answers = len(storm.answers)
    wait_until(lambda: len(storm.answers) > answers + 40, COMES_BACK_S)


def gets_nothing(engine: Engine, storm: Storm) -> bool:
    answered = engine.answered()
    many_answers(storm)
    return engine.answered() == answered


def backends_seen() -> dict[str, str]:
    """Where each request ended that gateways have told of so far, by its id."""
    return {str(record.request_id): record.backend for record in records()}


def check(storm: Storm, tokens: int) -> None:
    """No client got an error in place of a first byte, and only the sick broke off later."""
    slowest = max(answer.first_s for answer in storm.answers)
    print(f"\n{len(storm.answers)} answers: {dict(storm.endings)}; slowest start {slowest:.2f} s")  # noqa: T201
    assert storm.refused == []
    broken = {answer.request_id for answer in storm.answers if answer.ended == "broken off"}
    wait_until(lambda: broken <= backends_seen().keys())
    seen = backends_seen()
    assert {seen[request_id] for request_id in broken} <= {"killed", "stalled"}
    for answer in storm.answers:
        if answer.ended == "whole" and answer.streamed:
            assert answer.text.count('"choices":[{') >= tokens
