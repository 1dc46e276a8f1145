"""Many seeds: whatever becomes of calls and webhooks, the end is the same."""

from __future__ import annotations

import pytest

from tests.simulation.world import rates_make
from tests.stripe_simulation.run import Reference
from tests.stripe_simulation.world import world_make

pytestmark = pytest.mark.django_db
SEEDS = 10


def test_the_end_is_the_same_after_any_faults() -> None:
    rates_make()
    reference = Reference(world_make())
    reports = [reference.compare(seed) for seed in range(1, SEEDS + 1)]
    assert [broken for report in reports for broken in report.breaks] == []
    assert sum(report.faults for report in reports) > SEEDS * 10
