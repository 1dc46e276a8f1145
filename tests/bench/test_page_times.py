"""The bench of the pages asks for each of them, and tells what it cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from console.access import ACCESS
from tests.bench.page_times import GOAL_MS, Counter, PageTimes, Timing
from tests.console.test_demo_data import make, size

pytestmark = pytest.mark.django_db

QUICK = Timing("usage", "/o/acme/usage/", ms=20, worst_ms=GOAL_MS + 1, queries=3, rows=40)


@pytest.fixture
def times() -> PageTimes:
    asked = size()
    make(asked)
    return PageTimes({"events": asked.events}, "")


def test_every_page_of_the_site_has_an_address_and_is_asked_by_who_may_see_it(
    times: PageTimes,
) -> None:
    paths = dict(times.paths())
    assert ACCESS.keys() <= paths.keys()

    for page in ("keys", "operator_organization_terms"):
        timing = times.time(page, paths[page])
        assert timing, times.faults
        assert timing.worst_ms >= timing.ms > 0
        assert timing.queries > 1


def test_queries_are_counted_and_the_rows_that_they_give() -> None:
    counter = Counter()
    with connection.execute_wrapper(counter), connection.cursor() as cursor:
        cursor.execute("SELECT generate_series(1, 7)")
        cursor.execute("SELECT 1")

    assert (counter.queries, counter.rows) == (2, 8)


@pytest.mark.parametrize(
    ("timing", "is_slow"),
    [
        (QUICK, False),
        (replace(QUICK, ms=GOAL_MS + 1), True),
        (replace(QUICK, page="usage_csv?days=90", ms=GOAL_MS + 1), False),
    ],
)
def test_the_median_of_a_page_has_to_keep_the_goal(timing: Timing, *, is_slow: bool) -> None:
    assert timing.is_slow is is_slow


def test_one_slow_page_or_one_that_fails_fails_the_run(times: PageTimes) -> None:
    times.found = [QUICK]
    assert times.is_good
    times.faults = ["/o/acme/usage/ answers 500"]
    assert not times.is_good
    times.faults, times.found = [], [QUICK, replace(QUICK, ms=GOAL_MS + 1)]
    assert not times.is_good
    assert "too slow" in times.text()
