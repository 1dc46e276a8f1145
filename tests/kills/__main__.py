"""`make kill-tests RUNS=40 FIRST=1`: faults of real processes under load, and what they broke."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from time import monotonic
from typing import Final

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
    counts = {"runs": 0, "requests": 0, "faults": 0, "breaks": 0}
    with world_running(is_long=is_long) as world:
        from tests.kills.run import Run

        reports = []
        for number in runs:
            began = monotonic()
            report = Run(world, number).play()
            reports.append(report)
            counts["runs"] += 1
            counts["requests"] += report.requests
            counts["faults"] += report.faults
            counts["breaks"] += len(report.breaks)
            took_s = monotonic() - began
            _say(f"run {number}: {report.case}, {report.requests} requests, {took_s:.1f} s")
            _say("\n".join(report.told()))
        late = [why for report in reports for why in report.again()]
    counts["breaks"] += len(late)
    _say("\n".join(late))
    _say(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return counts


def _say(text: str) -> None:
    if text:
        print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
