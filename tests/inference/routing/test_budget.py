from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.routing.budget import MOST, PER_REQUEST, PER_SECOND, RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_of_failures_is_survived_and_no_more() -> None:
    budget = RetryBudget(Clock())
    assert [budget.take() for _ in range(102)] == [True] * 100 + [False] * 2


def test_ten_requests_allow_a_retry() -> None:
    budget = RetryBudget(Clock())
    while budget.take():
        pass
    for _ in range(11):
        budget.deposit()
    assert [budget.take(), budget.take()] == [True, False]


def test_time_allows_retries_up_to_the_reserve() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    while budget.take():
        pass
    clock.now += 0.5
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    clock.now += 1000
    assert sum(budget.take() for _ in range(200)) == MOST


steps = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 2)), max_size=60)


@given(steps)
def test_retries_stay_within_the_reserve_a_tenth_of_requests_and_what_time_allows(
    steps: list[tuple[int, int, float]],
) -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    requests = retries = 0
    for came, failed, seconds in steps:
        for _ in range(came):
            budget.deposit()
        requests += came
        retries += sum(budget.take() for _ in range(failed))
        allowed = MOST + PER_REQUEST * requests + PER_SECOND * clock.now
        assert retries <= allowed + 1e-6
        clock.now += seconds
