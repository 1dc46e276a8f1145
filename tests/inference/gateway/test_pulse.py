"""Gateways that speak to each other: two of them in one process, with the clock in our hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import pytest
import redis.asyncio

from inference import live
from inference.gateway import neighbours
from inference.gateway.fleet import Fleet
from inference.gateway.neighbours import Ages, Neighbours, Sightings
from inference.gateway.pulse import Pulse
from inference.live import CheckSeen, LoadSeen, QueueSeen
from inference.live.seen import (
    BREAKERS,
    CHECK_COUNTS_S,
    GATEWAYS,
    BackendSaid,
    GatewaySaid,
)
from inference.routing.breaker import IN_A_ROW, OPEN_S
from inference.routing.choice import State
from inference.snapshot import Route
from tenants.valkey import async_client, client, snapshot_changed
from tests.inference.gateway.fleets import Clock, route_to

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORGANIZATION = uuid4()


@dataclass
class Gateway:
    fleet: Fleet
    pulse: Pulse
    clock: Clock
    versions: list[int]

    def state(self, route: Route) -> State:
        return self.fleet.candidates([route])[0].state

    def breaks(self, route: Route) -> None:
        for _ in range(IN_A_ROW):
            self.fleet.failed(route, "refused")

    async def beats(self) -> None:
        await self.pulse.beat()


type Make = Callable[[], Gateway]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    valkey, numbers = async_client(), count(1)
    yield lambda: gateway(valkey, f"gateway-{next(numbers)}")
    await valkey.aclose()


def gateway(valkey: redis.asyncio.Redis, name: str) -> Gateway:
    clock, versions = Clock(), list[int]()
    fleet = Fleet(clock)
    waiting = [QueueSeen("acme/tiny", ORGANIZATION, 3, 1.5, 2, 10)]
    pulse = Pulse(valkey, fleet, lambda: waiting, versions.append, name)
    return Gateway(fleet, pulse, clock, versions)


async def in_turn(*gateways: Gateway) -> None:
    for one in gateways:
        await one.beats()


async def test_each_sees_what_the_other_has_in_flight(make: Make) -> None:
    one, other, route = make(), make(), route_to()
    one.fleet.enter(route)
    await in_turn(one, other)
    assert other.fleet.in_flight(route.backend_id) == 1
    assert live.in_flight_read() == {str(route.backend_id): 1}
    one.fleet.leave(route)
    await in_turn(one, other)
    assert other.fleet.in_flight(route.backend_id) == 0


async def test_one_that_stops_has_nothing_in_flight(make: Make) -> None:
    one, other, route = make(), make(), route_to()
    one.fleet.enter(route)
    await in_turn(one, other)
    await one.pulse.stop()
    await other.beats()
    assert other.fleet.in_flight(route.backend_id) == 0


async def test_room_elsewhere_is_room_for_those_that_wait(make: Make) -> None:
    one, told = make(), list[bool]()
    one.fleet.on_room.append(lambda: told.append(True))
    await one.beats()
    assert told == [True]


async def test_queues_add_up_over_the_gateways(make: Make) -> None:
    await in_turn(make(), make())
    (row,) = live.queues_read()
    assert (row.model, row.organization_id) == ("acme/tiny", ORGANIZATION)
    assert (row.waiting, row.oldest_s, row.in_flight, row.share) == (6, 1.5, 4, 10)


async def test_a_breaker_that_opens_here_is_open_there_and_told_once(make: Make) -> None:
    one, other, route = make(), make(), route_to()
    await in_turn(one, other)
    one.breaks(route)
    other.breaks(route)
    await in_turn(one, other, one)
    third = make()
    await third.beats()
    assert {each.state(route) for each in (one, other, third)} == {State.OPEN}
    (turn,) = live.timeline_read(route.backend_id)
    assert (turn.state, turn.gateway) == ("open", "gateway-1")
    assert turn.reason == "5 failures in a row: refused"
    seen = live.fleet_live()[route.backend_id].breaker
    assert seen.since
    assert seen.until
    assert (seen.until - seen.since).total_seconds() == pytest.approx(OPEN_S, abs=0.01)


async def test_of_all_gateways_one_lets_one_request_try(make: Make) -> None:
    one, other, route = make(), make(), route_to()
    one.breaks(route)
    await in_turn(one, other)
    for each in (one, other):
        each.clock.now += OPEN_S
        await each.beats()
        each.state(route)  # a request would go there
    await in_turn(one, other, one)
    assert (one.state(route), other.state(route)) == (State.TRYING, State.OPEN)
    one.fleet.enter(route)
    one.fleet.succeeded(route)
    await in_turn(one, other)
    assert other.state(route) is State.READY
    assert [turn.state for turn in live.timeline_read(route.backend_id)] == [
        "closed", "half_open", "open",
    ]  # fmt: skip
    assert live.fleet_live()[route.backend_id].breaker.state == "ramping"


async def test_a_failed_trial_opens_it_everywhere_for_longer(make: Make) -> None:
    one, other, route = make(), make(), route_to()
    one.breaks(route)
    await one.beats()
    one.clock.now += OPEN_S
    await one.beats()
    one.state(route)
    await one.beats()
    one.fleet.enter(route)
    one.fleet.failed(route, "http_500")
    await in_turn(one, other)
    assert other.fleet.left_s(route.backend_id) == pytest.approx(2 * OPEN_S, abs=1)


async def test_a_turn_survives_a_valkey_that_forgot_all(make: Make) -> None:
    one, other, route = make(), make(), route_to()
    one.breaks(route)
    await one.beats()
    client().delete(BREAKERS)
    await one.beats()
    one.fleet.grant(route.backend_id)
    one.fleet.succeeded(route)
    await one.beats()
    await in_turn(one, other)
    assert live.fleet_live()[route.backend_id].breaker.state == "ramping"


async def test_the_version_of_the_snapshot_is_heard(make: Make) -> None:
    one = make()
    await one.beats()
    snapshot_changed()
    await one.beats()
    snapshot_changed()
    await one.beats()
    assert one.versions[0] == 0
    assert len(set(one.versions)) == 3


async def test_a_change_is_heard_after_valkey_was_wiped(make: Make) -> None:
    one = make()
    snapshot_changed()
    await one.beats()
    client().flushdb()
    snapshot_changed()
    await one.beats()
    assert len(set(one.versions)) == 2


async def test_without_valkey_it_goes_on_by_itself(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, route = make(), route_to()
    await one.beats()
    assert not one.fleet.is_alone
    one.breaks(route)
    monkeypatch.setattr(one.pulse, "_exchange", _unreachable)
    monkeypatch.setattr(one.pulse, "_heard_at", -10.0)
    await one.beats()
    one.clock.now += OPEN_S
    await one.beats()
    assert one.fleet.is_alone
    assert one.state(route) is State.TRYING
    monkeypatch.undo()
    await one.beats()
    assert not one.fleet.is_alone
    assert live.timeline_read(route.backend_id)


def test_what_a_gateway_said_counts_until_it_is_silent() -> None:
    heard, backend = Neighbours(b"own"), uuid4()
    said = GatewaySaid(1, NOW, {backend: 3})
    counts = [
        heard.in_flight({b"other": said, b"own": said}, now)[backend]
        for now in (0.0, neighbours.SILENT_S, neighbours.SILENT_S + 0.1)
    ]
    assert counts == [3, 3, 0]
    heard.in_flight({b"other": said}, neighbours.GONE_S + 0.1)
    assert heard.gone == [b"other"]


def test_what_the_prober_saw_counts_while_it_is_fresh() -> None:
    fleet, route = Fleet(), route_to()
    sightings = Sightings(fleet)
    said = BackendSaid(
        is_down=True,
        check=CheckSeen(ok=False, at=NOW, duration_ms=1, error="Could not connect."),
        load=LoadSeen(at=NOW, waiting=7, kv_use=0.9),
    )

    def after(age_s: float) -> tuple[State, int | None, float | None]:
        sightings.hear({route.backend_id: said}, age_s)
        fleet.hear({}, is_alone=False)
        candidate = fleet.candidates([route])[0]
        return candidate.state, candidate.waiting, candidate.kv_use

    assert after(0) == (State.DOWN, 7, 0.9)
    assert after(neighbours.LOAD_KEPT_S + 0.1) == (State.DOWN, None, None)
    assert after(CHECK_COUNTS_S + 0.1) == (State.READY, None, None)


def test_what_is_forgotten_is_not_down() -> None:
    fleet, backend = Fleet(), uuid4()
    sightings = Sightings(fleet)
    check = CheckSeen(ok=False, at=NOW, duration_ms=1)
    for said in ({backend: BackendSaid(is_down=True, check=check)}, {}):
        sightings.hear(said, 0)
    fleet.hear({}, is_alone=False)
    assert fleet.state(backend) is State.READY


async def test_garbage_of_another_version_leaves_it_alone(make: Make) -> None:
    one = make()
    await one.beats()
    client().hset(GATEWAYS, "newer", b"\xff")
    await one.beats()
    client().hdel(GATEWAYS, "newer")
    await one.beats()
    assert not one.fleet.is_alone


def test_a_value_is_as_old_as_it_was_last_seen_to_change() -> None:
    ages = Ages()
    assert [ages.of("a", value, now) for value, now in ((1, 0.0), (1, 2.0), (2, 3.0))] == [0, 2, 0]
    ages.keep([])
    assert ages.of("a", 2, 9.0) == 0


async def _unreachable() -> None:
    raise ConnectionError
