from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from inference.routing.fair import MAX_COST, MAX_WAIT_S, QUANTUM, FairQueue, Pace

type Item = tuple[str, int]
"""Whose it is, and which of theirs."""

shares = st.integers(1, 100)
costs = st.integers(1, MAX_COST)
cost_lists = st.lists(costs, min_size=1, max_size=30)


def anyone(_item: object) -> bool:
    return True


def filled(tenants: Iterable[tuple[str, int, list[int]]]) -> FairQueue[Item]:
    queue = FairQueue[Item]()
    for tenant, share, given_costs in tenants:
        for number, cost in enumerate(given_costs):
            queue.put(tenant, share, (tenant, number), cost)
    return queue


def emptied(queue: FairQueue[Item]) -> list[Item]:
    taken = list[Item]()
    while (item := queue.take(anyone)) is not None:
        taken.append(item)
    return taken


@given(shares, shares, st.data())
def test_two_who_wait_are_served_alike_over_any_interval(
    one: int, other: int, data: st.DataObject
) -> None:
    backlog = {
        name: data.draw(cost_lists, label=name) for name in ("one", "other", "comes and goes")
    }
    queue = filled([("one", one, backlog["one"]), ("other", other, backlog["other"])])
    thirds, numbers = iter(backlog["comes and goes"]), count()
    ahead = [0.0]
    while queue.waiting("one") and queue.waiting("other"):
        if data.draw(st.booleans(), label="a third comes") and (cost := next(thirds, 0)):
            queue.put("third", 7, ("third", next(numbers)), cost)
        item = queue.take(anyone)
        assert item
        tenant, number = item
        if tenant != "third":
            served = backlog[tenant][number] / (one if tenant == "one" else -other)
            ahead.append(ahead[-1] + served)

    most = max(backlog["one"]) / one + max(backlog["other"]) / other
    assert max(ahead) - min(ahead) <= QUANTUM + most


@given(shares, cost_lists, shares, cost_lists)
def test_each_is_taken_once_and_in_the_order_of_its_tenant(
    one: int, ones: list[int], other: int, others: list[int]
) -> None:
    taken = emptied(filled([("one", one, ones), ("other", other, others)]))

    assert [item for item in taken if item[0] == "one"] == [("one", n) for n in range(len(ones))]
    assert [item for item in taken if item[0] == "other"] == [
        ("other", n) for n in range(len(others))
    ]


@given(st.lists(st.one_of(st.tuples(st.sampled_from("abc"), costs), st.none()), max_size=60))
def test_it_is_never_idle_while_someone_waits(steps: list[tuple[str, int] | None]) -> None:
    queue, waiting = FairQueue[Item](), 0
    for number, step in enumerate(steps):
        if step:
            queue.put(step[0], 1, (step[0], number), step[1])
            waiting += 1
        else:
            assert (queue.take(anyone) is not None) == (waiting > 0)
            waiting = max(waiting - 1, 0)

        assert len(queue) == waiting == sum(map(queue.waiting, "abc"))


@given(shares, cost_lists)
def test_who_was_idle_has_saved_nothing(share: int, before: list[int]) -> None:
    """It is served no more than one that has never been here."""
    seasoned = filled([("returns", share, before)])
    emptied(seasoned)
    newcomer = FairQueue[Item]()
    for queue in (seasoned, newcomer):
        for number in range(3):
            queue.put("steady", 1, ("steady", number), QUANTUM)
            queue.put("returns", share, ("returns", number), 3 * QUANTUM)

    assert emptied(seasoned) == emptied(newcomer)


@given(st.integers(1, 200), costs)
def test_a_burst_delays_another_by_one_turn(burst: int, cost: int) -> None:
    queue = filled([("bursts", 1, [QUANTUM] * burst)])
    queue.put("steady", 1, ("steady", 0), cost)

    taken = emptied(queue)
    before = taken[: taken.index(("steady", 0))]
    assert len(before) * QUANTUM <= cost + QUANTUM


@given(shares, shares)
def test_the_service_of_those_who_wait_is_as_their_shares(one: int, other: int) -> None:
    queue = filled([("one", one, [QUANTUM] * 400), ("other", other, [QUANTUM] * 400)])
    rounds = 400 // max(one, other)
    taken = [queue.take(anyone) for _ in range(rounds * (one + other))]

    assert sum(item is not None and item[0] == "one" for item in taken) == rounds * one


@given(st.lists(st.tuples(st.sampled_from("abc"), costs, st.booleans()), max_size=40))
def test_who_leaves_is_not_taken_and_delays_nobody(
    comings: list[tuple[str, int, bool]],
) -> None:
    queue = FairQueue[Item]()
    for number, (tenant, cost, _leaves) in enumerate(comings):
        queue.put(tenant, 1, (tenant, number), cost)
    for number, (tenant, _cost, leaves) in enumerate(comings * 2):
        if leaves:
            queue.remove(tenant, (tenant, number % len(comings)))

    stayed = {(tenant, n) for n, (tenant, _cost, leaves) in enumerate(comings) if not leaves}
    assert len(queue) == len(stayed)
    assert set(emptied(queue)) == stayed
    assert len(queue) == 0


def test_a_retry_goes_before_all_else_of_its_tenant_and_costs_nothing() -> None:
    queue = filled([("one", 1, [QUANTUM] * 2), ("other", 1, [QUANTUM] * 2)])
    queue.put_first("one", 1, ("one", -1))

    assert emptied(queue) == [("one", -1), ("other", 0), ("one", 0), ("other", 1), ("one", 1)]


def test_who_cannot_go_makes_way_and_keeps_its_turn() -> None:
    queue = filled([("stuck", 1, [QUANTUM] * 2), ("free", 1, [QUANTUM] * 3)])

    assert queue.take(lambda item: item[0] == "free") == ("free", 0)
    assert queue.take(lambda item: item[0] == "nobody") is None
    assert queue.take(anyone) == ("stuck", 0)
    assert len(queue) == 3


@given(st.lists(st.sampled_from([1, QUANTUM, MAX_COST]), min_size=4, max_size=12))
def test_vain_looks_change_nothing(sizes: list[int]) -> None:
    """A look for room that finds none is no round: large requests would always be due."""
    small, large = [QUANTUM] * 20, [MAX_COST, *sizes]
    plain = filled([("small", 1, small), ("large", 1, large)])
    looked_at = filled([("small", 1, small), ("large", 1, large)])
    taken = list[Item]()
    while (item := looked_at.take(anyone)) is not None:
        taken.append(item)
        assert looked_at.take(lambda _item: False) is None

    assert taken == emptied(plain)


def test_a_huge_request_counts_as_a_large_one() -> None:
    queue = filled([("huge", 1, [10**9] * 2), ("large", 1, [MAX_COST] * 2), ("none", 1, [0])])

    assert [tenant for tenant, _ in emptied(queue)] == ["none", "huge", "large", "huge", "large"]


def test_who_waits_is_told_with_its_part_of_the_service() -> None:
    queue = filled([("one", 3, [1, 1]), ("other", 1, [1])])

    assert [(turn.tenant, turn.share, len(turn.items)) for turn in queue] == [
        ("one", 3, 2), ("other", 1, 1),
    ]  # fmt: skip
    assert queue.part("one") == 0.75
    assert queue.part("nobody") == 0


@given(st.floats(0.02, 1), st.integers(0, 200), st.integers(1, 20))
def test_what_is_left_is_told_by_the_pace_of_those_that_went(
    each_s: float, gone: int, waiting: int
) -> None:
    pace = Pace()
    pace.begin(1000)
    for number in range(1, gone + 1):
        pace.went(1000 + number * each_s)

    told = pace.left_s(waiting, 1000 + gone * each_s)
    assert 1 <= told <= 1 + waiting * each_s


def test_a_queue_that_stands_still_is_left_for_long() -> None:
    pace = Pace()
    pace.begin(1000)

    assert [pace.left_s(10, now) for now in (1000, 1001.5, 1600)] == [1, 15, MAX_WAIT_S]
