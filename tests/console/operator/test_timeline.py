"""The strip of a backend: what it was when, whatever is known of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.views.operator.timeline import Condition, Event, Part, Strip, strip_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = NOW - timedelta(minutes=60)
GOOD = Condition("closed", is_down=False, state="active")
BEFORE = {"open": "closed", "half_open": "open", "closed": "half_open"}

breakers = st.sampled_from(["open", "half_open", "closed"]).map(lambda to: ("breaker", to))
checks = st.booleans().map(lambda is_down: ("is_down", is_down))
states = st.sampled_from(["active", "draining", "disabled"]).map(lambda to: ("state", to))
ages = st.integers(min_value=-60, max_value=7200)
told = st.lists(st.tuples(ages, breakers | checks | states), max_size=20)


def event(age_s: float, field: str, value: Any, before: Any) -> Event:
    return Event(NOW - timedelta(seconds=age_s), "idle", "", "", (field, value), before)


def breaker(minutes: float, state: str) -> Event:
    return event(60 * minutes, "breaker", state, BEFORE[state])


def strip(*newest_first: Event, now: Condition = GOOD) -> Strip:
    return strip_of(newest_first, now, START, NOW)


def kinds(strip: Strip) -> list[tuple[str, float]]:
    """As minutes."""
    return [(part.kind, round(60 * part.length, 6)) for part in strip.parts]


@given(told=told)
def test_the_parts_fill_the_range_and_neighbours_differ(
    told: list[tuple[int, tuple[str, Any]]],
) -> None:
    changes = sorted(told, key=lambda one: one[0])
    events = [event(age, field, value, "") for age, (field, value) in changes]
    parts = strip(*events).parts
    assert parts[0].start == 0
    assert sum(part.length for part in parts) == pytest.approx(1)
    for one, other in pairwise(parts):
        assert one.kind != other.kind
        assert other.start == pytest.approx(one.start + one.length)


@given(told=told)
def test_the_end_is_what_was_told_last(told: list[tuple[int, tuple[str, Any]]]) -> None:
    changes = sorted(told, key=lambda one: -one[0])
    last = GOOD
    for _age, (field, value) in changes:
        last = last._replace(**{field: value})
    events = [event(max(1, age), field, value, "") for age, (field, value) in changes][::-1]
    assert strip(*events).parts[-1].kind == last.kind


def test_nothing_told_is_as_it_is_now() -> None:
    assert strip().parts == [Part("ok", 0, 1)]
    assert strip(now=GOOD._replace(state="draining")).parts == [Part("idle", 0, 1)]


def test_an_outage_is_seen_from_its_beginning_to_its_end() -> None:
    story = strip(breaker(10, "closed"), breaker(15, "half_open"), breaker(30, "open"))
    assert kinds(story) == [("ok", 30), ("bad", 15), ("warn", 5), ("ok", 10)]


def test_a_trial_that_failed_is_between_two_times_out() -> None:
    story = strip(breaker(10, "open"), breaker(15, "half_open"), breaker(90, "open"))
    assert kinds(story) == [("bad", 45), ("warn", 5), ("bad", 10)]


def test_what_began_before_the_oldest_that_is_told_is_taken_from_it() -> None:
    assert kinds(strip(breaker(20, "half_open"))) == [("bad", 40), ("warn", 20)]
    up = event(1200, "is_down", value=False, before=True)
    assert kinds(strip(up)) == [("bad", 40), ("ok", 20)]


def test_what_people_took_out_is_not_an_outage() -> None:
    drained = event(600, "state", "draining", "active")
    assert kinds(strip(breaker(5, "open"), drained)) == [("ok", 50), ("idle", 10)]


def test_the_legend_says_how_much_there_was_of_each() -> None:
    story = strip(breaker(15, "closed"), breaker(16, "half_open"), breaker(30, "open"))
    assert [text.replace("\u2009", " ") for _kind, text in story.legend] == [
        "Takes work 75.0 %", "Coming back 1 min", "Out 14 min",
    ]  # fmt: skip
