"""`make simulate-stripe SEEDS=500 FIRST=1`: many seeds, and what they broke."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from tests import servers

RESULT: Final = Path(__file__).resolve().parents[2] / ".run" / "stripe.json"
EACH: Final = 25
"""So often a line says how far it is."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stripe_simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    options = parser.parse_args()
    servers.start()
    try:
        return _simulate(range(options.first, options.first + options.seeds))
    finally:
        servers.stop()


def _simulate(seeds: range) -> int:
    import django

    django.setup()
    from django.test.runner import DiscoverRunner

    from tenants.tenancy import OWNER, standing_as

    runner = DiscoverRunner(verbosity=0, interactive=False)
    with standing_as(OWNER):
        runner.setup_databases()
    from tests.simulation.world import rates_make
    from tests.stripe_simulation.run import Reference
    from tests.stripe_simulation.world import world_make

    rates_make()
    reference = Reference(world_make())
    counts = {"runs": 0, "requests": 0, "faults": 0, "breaks": 0}
    for seed in seeds:
        report = reference.compare(seed)
        counts["runs"] += 1
        counts["requests"] += report.requests
        counts["faults"] += report.faults
        counts["breaks"] += len(report.breaks)
        for broken in report.breaks:
            _say(broken)
        if counts["runs"] % EACH == 0:
            _say(_words(counts))
    _say(_words(counts))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(counts) + "\n")
    return 1 if counts["breaks"] else 0


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
