"""Who has what part of the cost of backends."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.margins import costs_shared
from console.months import months_until, next_month
from inference.costs import BackendMonth

NAMES = ("a", "b", "c")
counts = st.integers(0, 10**9)
places = st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from("xyz")))


def month_of(backend: str, busy: int, requests: int) -> BackendMonth:
    cost = Decimal(busy)
    return BackendMonth(date(2026, 5, 1), backend, cost, cost, cost, requests, 0, True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    busy=st.lists(counts, min_size=3, max_size=3),
    requests=st.lists(counts, min_size=3, max_size=3),
    work=st.dictionaries(st.sampled_from("xyz"), counts),
    on=places,
)
def test_models_never_have_more_of_the_cost_than_there_is(
    busy: list[int], requests: list[int], work: dict[str, int], on: set[tuple[str, str]]
) -> None:
    backends = [month_of(*one) for one in zip(NAMES, busy, requests, strict=True)]
    shared = costs_shared(backends, work, on)
    assert all(cost >= 0 for cost in shared.values())
    assert sum(shared.values()) <= sum(busy) + Decimal("0.001")
    assert set(shared) <= {model for model, done in work.items() if done}


def test_a_backend_is_shared_by_tokens_and_a_model_split_by_requests() -> None:
    backends = [month_of("a", 90, 300), month_of("b", 10, 100)]
    on = [("a", "x"), ("a", "y"), ("b", "x")]
    shared = costs_shared(backends, {"x": 400, "y": 600}, on)
    # Three quarters of x ran on a, beside all of y; b is x's alone.
    assert shared == {"x": 90 * Decimal(300) / 900 + 10, "y": 90 * Decimal(600) / 900}


def test_twelve_months_end_with_the_one_that_runs() -> None:
    months = months_until(date(2026, 2, 28))
    assert (months[0], months[1], months[2]) == (
        date(2026, 2, 1), date(2026, 1, 1), date(2025, 12, 1),
    )  # fmt: skip
    assert len(set(months)) == 12
    assert next_month(date(2026, 12, 31)) == date(2027, 1, 1)
