"""Many seeds: no token lost, none billed twice, no budget overspent."""

from __future__ import annotations

import pytest

from tests.simulation.run import Simulation
from tests.simulation.world import rates_make

SEEDS = 8


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", range(1, 201, SEEDS))
def test_books_counters_and_events_agree_after_any_faults(first: int) -> None:
    rates_make()
    reports = [Simulation(seed).run() for seed in range(first, first + SEEDS)]
    assert [broken for report in reports for broken in report.breaks] == []
    assert sum(report.requests for report in reports) >= SEEDS * 60
