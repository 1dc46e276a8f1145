"""`make kill-tests RUNS=40 FIRST=1`: faults of real processes under load, and what they broke."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Final

from tests.kills.playing import runs_played
from tests.kills.world import world_running

RESULT: Final = Path(__file__).resolve().parents[2] / ".run" / "kills.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--runs", type=int, default=23, help="how many; 23 are each case once")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument(
        "--long", action="store_true", help="with Celery, and stores that are away for a minute"
    )
    parser.add_argument("--result", type=Path, default=RESULT, help="where the counts go, as JSON")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what runs is ended
    counts = _play(range(options.first, options.first + options.runs), is_long=options.long)
    options.result.parent.mkdir(exist_ok=True)
    options.result.write_text(json.dumps(counts) + "\n")
    return 1 if counts["breaks"] else 0


def _play(runs: range, *, is_long: bool) -> dict[str, int]:
    with world_running(is_long=is_long) as world:
        from tests.kills.run import Run

        return runs_played(lambda number: Run(world, number).play(), runs)


if __name__ == "__main__":
    sys.exit(main())
