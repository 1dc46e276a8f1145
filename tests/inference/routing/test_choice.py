from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.routing.affinity import draw
from inference.routing.choice import (
    BOUND,
    MANY,
    Candidate,
    Reason,
    State,
    Verdict,
    choose,
    explain,
    saturation,
)
from inference.snapshot import Route

KEY = 0x5DEECE66D


@cache
def route(number: int, max_in_flight: int = 256) -> Route:
    """Its id is as random as real ones, and the same each time."""
    chance = random.Random(number)  # noqa: S311
    return Route(
        backend_id=UUID(int=chance.getrandbits(128), version=4),
        backend=f"gpu-{number}",
        base_url="http://127.0.0.1:1",
        engine="vllm",
        engine_model="m",
        region="se",
        weight=1,
        max_in_flight=max_in_flight,
        key="",
    )


def candidate(
    number: int,
    in_flight: int = 0,
    weight: float = 1,
    waiting: int | None = None,
    kv_use: float | None = None,
    state: State = State.READY,
    max_in_flight: int = 256,
) -> Candidate:
    return Candidate(route(number, max_in_flight), in_flight, weight, waiting, kv_use, state)


def middle() -> float:
    return 0.5


loads = st.none() | st.integers(0, 12)
uses = st.none() | st.floats(0, 1)
states = st.sampled_from(State)


@st.composite
def fleets(draw: st.DrawFn, states: st.SearchStrategy[State] = states) -> list[Candidate]:
    size = draw(st.integers(1, 12))
    most = draw(st.integers(1, 20))
    return [
        candidate(
            number, draw(st.integers(0, 20)), draw(st.floats(0.1, 100)), draw(loads), draw(uses),
            draw(states), most,
        )
        for number in range(size)
    ]  # fmt: skip


keys = st.none() | st.integers(0, 2**64 - 1)


def chosen(candidates: Sequence[Candidate], affinity: int | None) -> Candidate | None:
    found = choose(candidates, affinity).route
    return next((one for one in candidates if one.route is found), None)


@given(fleets(), keys)
def test_none_is_chosen_that_is_full_or_saturated(fleet: list[Candidate], key: int | None) -> None:
    one = chosen(fleet, key)
    assert one is None or saturation(one) < 1


@given(fleets(), keys)
def test_nothing_ill_is_asked_while_something_is_ready(
    fleet: list[Candidate], key: int | None
) -> None:
    one = chosen(fleet, key)
    if any(c.state is State.READY for c in fleet):
        assert one is None or one.state in {State.READY, State.TRYING}


@given(fleets(), keys)
def test_a_request_waits_only_when_all_that_could_are_full(
    fleet: list[Candidate], key: int | None
) -> None:
    if choose(fleet, key).reason is Reason.FULL:
        ready = [c for c in fleet if c.state is State.READY]
        assert all(saturation(c) >= 1 for c in ready or fleet)


@given(fleets(states=st.sampled_from([State.OPEN, State.DOWN])), keys)
def test_when_all_breakers_are_open_one_with_room_is_asked(
    fleet: list[Candidate], key: int | None
) -> None:
    found, roomy = choose(fleet, key), [c for c in fleet if saturation(c) < 1]
    assert found.reason is (Reason.LEAST_BAD if roomy else Reason.FULL)
    one = chosen(fleet, key)
    if one and one.state is State.DOWN:
        assert all(c.state is State.DOWN for c in roomy), "behind a breaker something answers"


@given(fleets(), keys)
def test_a_trial_goes_first(fleet: list[Candidate], key: int | None) -> None:
    if any(c.state is State.TRYING and saturation(c) < 1 for c in fleet):
        assert choose(fleet, key).reason is Reason.TRIAL


@given(fleets(states=st.just(State.READY)), st.integers(0, 2**64 - 1))
def test_affinity_takes_the_first_within_the_bound(fleet: list[Candidate], key: int) -> None:
    roomy = [c for c in fleet if saturation(c) < 1]
    if len(roomy) < 2:
        return
    per_weight = (sum(c.in_flight for c in roomy) + 1) / sum(c.weight for c in roomy)
    one = chosen(fleet, key)
    assert one is not None
    assert one.in_flight + 1 <= BOUND * per_weight * one.weight + 1
    for other in roomy:
        if drawn(other, key) > drawn(one, key):
            assert other.in_flight + 1 > BOUND * per_weight * other.weight + 1 - 1e-9


def drawn(one: Candidate, key: int) -> float:
    return draw(key, one.route.backend_id, one.weight)


@settings(max_examples=20)
@given(st.integers(), st.integers(2, 8), st.integers(1, 30))
def test_no_backend_gets_above_the_bound_as_requests_come_and_go(
    seed: int, backends: int, sessions: int
) -> None:
    """A few sessions, some of them with most of the load, as happens with system prompts."""
    chance = random.Random(seed)  # noqa: S311
    in_flight, running = Counter[int](), list[int]()
    popular = [chance.getrandbits(64) for _ in range(sessions)]
    for _ in range(400):
        if running and chance.random() < 0.45:
            in_flight[running.pop(chance.randrange(len(running)))] -= 1
            continue
        fleet = [candidate(n, in_flight[n]) for n in range(backends)]
        one = chosen(fleet, popular[min(int(chance.expovariate(0.5)), sessions - 1)])
        assert one is not None
        number = fleet.index(one)
        in_flight[number] += 1
        running.append(number)
        assert in_flight[number] <= BOUND * len(running) / backends + 1


def test_a_quiet_session_stays_where_it_is() -> None:
    first = chosen([candidate(n) for n in range(4)], KEY)
    assert first is not None
    others = [c for c in (candidate(n, in_flight=1) for n in range(4)) if c.route != first.route]
    again = [first._replace(in_flight=1), *others]
    assert choose(again, KEY) == (again[0].route, Reason.AFFINITY)


def test_a_session_spills_over_to_the_same_second_each_time() -> None:
    fleet = [candidate(n) for n in range(4)]
    order = sorted(fleet, key=lambda one: -drawn(one, KEY))
    full = [order[0]._replace(in_flight=3), *order[1:]]
    assert choose(full, KEY).route is order[1].route


def test_the_least_loaded_is_chosen_without_affinity() -> None:
    fleet = [candidate(0, 5), candidate(1, 3), candidate(2, 4)]
    assert choose(fleet, None) == (fleet[1].route, Reason.LEAST_LOADED)


def test_weights_share_the_load() -> None:
    """As many as fill them stay: a heavier one holds more of them."""
    weights, in_flight = (1, 2, 5), Counter[int]()
    for _ in range(80):
        fleet = [candidate(n, in_flight[n], weight) for n, weight in enumerate(weights)]
        one = chosen(fleet, None)
        assert one is not None
        in_flight[fleet.index(one)] += 1
    assert [in_flight[n] for n in range(3)] == pytest.approx([10, 20, 50], abs=1.5)


def test_equals_take_turns_by_chance() -> None:
    fleet = [candidate(n) for n in range(4)]
    found = Counter(choose(fleet, None).route.backend for _ in range(400))  # type: ignore[union-attr]
    assert all(found[f"gpu-{n}"] > 50 for n in range(4)), found


def test_what_waits_in_the_engine_counts_and_what_is_unknown_does_not() -> None:
    busy, unknown = candidate(0, 1, waiting=4), candidate(1, 3)
    assert choose([busy, unknown], None).route is unknown.route
    assert choose([busy._replace(waiting=None), unknown], None).route is busy.route


@pytest.mark.parametrize(
    ("waiting", "kv_use", "most"),
    [(None, None, 0.25), (0, 0.1, 0.25), (5, None, 1), (3, 0.8, 1), (None, 0.4, 0.5), (10, 0, 2)],
)
def test_saturation_is_the_worst_of_what_is_known(
    waiting: int | None, kv_use: float | None, most: float
) -> None:
    assert saturation(candidate(0, 64, waiting=waiting, kv_use=kv_use)) == pytest.approx(most)


def test_among_many_the_better_of_two_is_taken() -> None:
    fleet = [candidate(n, in_flight=n) for n in range(MANY + 4)]
    found = Counter(chosen(fleet, None) for _ in range(500))
    assert fleet[-1] not in found
    assert found[fleet[0]] < 250, "only where it is one of the two"
    assert found[fleet[0]] > found[fleet[8]]


def test_the_only_one_with_room_is_taken_whatever_its_load() -> None:
    fleet = [candidate(0, 200), candidate(1, 1, waiting=6), candidate(2, state=State.DOWN)]
    assert choose(fleet, KEY) == (fleet[0].route, Reason.ONLY)
    assert choose(fleet[:1], None) == (fleet[0].route, Reason.ONLY)


@given(fleets(), keys)
def test_the_explanation_agrees_with_the_choice(fleet: list[Candidate], key: int | None) -> None:
    rows, found = explain(fleet, key), choose(fleet, key, middle)
    assert sorted(row.candidate.route.backend for row in rows) == sorted(
        one.route.backend for one in fleet
    )
    best = [row for row in rows if row.rank == 1]
    assert (found.route is None) == (not best)
    sampled = sum(row.verdict in {Verdict.READY, Verdict.BUSIER} for row in rows) > MANY
    if found.route is not None and (key is not None or not sampled):
        first = next(row for row in rows if row.candidate.route is found.route)
        assert (first.verdict, first.score) == (best[0].verdict, best[0].score)


def test_an_explanation_ranks_and_says_why() -> None:
    fleet = [candidate(n) for n in range(3)]
    order = sorted(fleet, key=lambda one: -drawn(one, KEY))
    busy = order[0]._replace(in_flight=9)
    full = candidate(7, 256)
    rows = explain([full, *order[1:], busy], KEY)
    assert [(row.candidate, row.place, row.rank, row.verdict) for row in rows] == [
        (order[1], 2, 1, Verdict.READY),
        (order[2], 3, 2, Verdict.READY),
        (busy, 1, 3, Verdict.BUSIER),
        (full, None, None, Verdict.FULL),
    ]
