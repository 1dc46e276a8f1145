from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from inference.gateway.fleet import BUSY, LOST_S, Fleet
from inference.routing.breaker import IN_A_ROW, OPEN_S, RAMP_S, Phase
from inference.routing.choice import State
from inference.snapshot import Route
from tests.inference.gateway.fleets import Clock, route_to


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(clock: Clock) -> Fleet:
    return Fleet(clock)


def state(fleet: Fleet, route: Route) -> State:
    return fleet.candidates([route])[0].state


def broken(fleet: Fleet, route: Route) -> None:
    for _ in range(IN_A_ROW):
        fleet.failed(route, "refused")


def beat(fleet: Fleet) -> None:
    """As the pulse does without Valkey."""
    fleet.hear({}, is_alone=True)


def test_in_flight_is_that_of_all_gateways(fleet: Fleet) -> None:
    route = route_to()
    fleet.enter(route)
    fleet.hear({route.backend_id: 4}, is_alone=False)
    fleet.enter(route)
    assert fleet.in_flight(route.backend_id) == 6
    assert fleet.candidates([route])[0].in_flight == 6
    assert fleet.own == {route.backend_id: 2}


def test_routes_of_several_models_to_one_backend_count_together(fleet: Fleet) -> None:
    one = route_to()
    other = route_to(backend_id=one.backend_id)
    fleet.enter(one)
    fleet.enter(other)
    fleet.leave(one)
    assert fleet.candidates([other])[0].in_flight == 1


def test_whoever_waits_for_room_is_told_of_each_that_leaves(fleet: Fleet) -> None:
    told = list[int]()
    fleet.on_room.append(lambda: told.append(fleet.in_flight(route.backend_id)))
    route = route_to()
    fleet.enter(route)
    fleet.leave(route)
    assert told == [0]


def test_an_open_breaker_is_told(fleet: Fleet) -> None:
    route = route_to()
    woken = list[bool]()
    fleet.on_turn = lambda: woken.append(True)
    broken(fleet, route)
    assert state(fleet, route) is State.OPEN
    turn = fleet.turns[route.backend_id]
    assert (turn.phase, turn.reason) == (Phase.OPEN, "5 failures in a row: refused")
    assert woken == [True]


def test_alone_it_lets_one_request_try_and_no_more(fleet: Fleet, clock: Clock) -> None:
    route = route_to()
    broken(fleet, route)
    clock.now += OPEN_S
    beat(fleet)
    assert state(fleet, route) is State.TRYING
    fleet.enter(route)
    assert state(fleet, route) is State.OPEN
    fleet.succeeded(route)
    candidate = fleet.candidates([route])[0]
    assert candidate.state is State.READY
    assert candidate.weight == pytest.approx(0.1)
    clock.now += RAMP_S
    beat(fleet)
    assert fleet.candidates([route])[0].weight == 1


def test_a_trial_whose_client_left_is_made_again(fleet: Fleet, clock: Clock) -> None:
    route = route_to()
    broken(fleet, route)
    clock.now += OPEN_S
    beat(fleet)
    state(fleet, route)
    fleet.enter(route)
    fleet.leave(route)
    assert state(fleet, route) is State.TRYING


def test_among_others_it_asks_before_it_tries(fleet: Fleet, clock: Clock) -> None:
    route = route_to()
    broken(fleet, route)
    fleet.turns.clear()
    clock.now += OPEN_S
    fleet.hear({}, is_alone=False)
    assert state(fleet, route) is State.OPEN
    assert fleet.turns[route.backend_id].phase is Phase.HALF_OPEN
    fleet.grant(route.backend_id)
    assert state(fleet, route) is State.TRYING


def test_what_nobody_wants_is_not_tried(fleet: Fleet, clock: Clock) -> None:
    route = route_to()
    broken(fleet, route)
    fleet.turns.clear()
    clock.now += 10 * OPEN_S
    fleet.hear({}, is_alone=False)
    assert not fleet.turns


@pytest.mark.parametrize(
    ("phase", "expected"),
    [(Phase.OPEN, State.OPEN), (Phase.HALF_OPEN, State.OPEN), (Phase.CLOSED, State.READY)],
)
def test_a_breaker_that_turned_elsewhere_turns_here(
    fleet: Fleet, phase: Phase, expected: State
) -> None:
    route = route_to()
    fleet.adopt(route.backend_id, phase, opened=1, left_s=10)
    assert state(fleet, route) is expected


def test_a_busy_backend_stays_and_gets_less(fleet: Fleet) -> None:
    route = route_to(weight=10)
    for _ in range(20):
        fleet.failed(route, BUSY)
    candidate = fleet.candidates([route])[0]
    assert candidate.state is State.READY
    assert candidate.weight == pytest.approx(1)


def test_what_checks_took_out_is_down_whatever_its_breaker_says(fleet: Fleet) -> None:
    route = route_to()
    fleet.see(route.backend_id, is_down=True, waiting=None, kv_use=None)
    beat(fleet)
    assert state(fleet, route) is State.DOWN
    broken(fleet, route)
    assert state(fleet, route) is State.DOWN


def test_the_load_of_an_engine_is_passed_on(fleet: Fleet) -> None:
    route = route_to()
    fleet.see(route.backend_id, is_down=False, waiting=3, kv_use=0.5)
    beat(fleet)
    candidate = fleet.candidates([route])[0]
    assert (candidate.waiting, candidate.kv_use) == (3, 0.5)


def test_backends_that_only_others_know_are_counted(fleet: Fleet) -> None:
    stranger = uuid4()
    fleet.hear({stranger: 2}, is_alone=False)
    assert fleet.in_flight(stranger) == 2
    fleet.hear({}, is_alone=False)
    assert fleet.in_flight(stranger) == 0


def test_a_backend_that_stays_down_is_lost_once(fleet: Fleet, clock: Clock) -> None:
    lost, route = list[UUID](), route_to()
    fleet.on_lost = lost.append
    fleet.see(route.backend_id, is_down=True, waiting=None, kv_use=None)
    clock.now += LOST_S - 1
    beat(fleet)
    assert lost == []
    fleet.see(route.backend_id, is_down=True, waiting=None, kv_use=None)
    clock.now += 1
    beat(fleet)
    beat(fleet)
    assert lost == [route.backend_id]


def test_a_backend_that_came_back_is_not_lost(fleet: Fleet, clock: Clock) -> None:
    lost, route = list[UUID](), route_to()
    fleet.on_lost = lost.append
    fleet.see(route.backend_id, is_down=True, waiting=None, kv_use=None)
    fleet.see(route.backend_id, is_down=False, waiting=None, kv_use=None)
    clock.now += 2 * LOST_S
    beat(fleet)
    assert lost == []
