"""`make demo-month MONTH=2028-02`: the tokens of a month, by all that count them."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

import psycopg

from tests.month.breaking import BREAKS, falsify
from tests.month.world import processes_running, stores_running, world_running

RESULT: Final = Path(__file__).resolve().parents[2] / ".run" / "month.json"
GATEWAYS: Final = 2
WAVES: Final = 2
EACH: Final = 3
"""So often a day everybody asks, and so many requests at once."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.month", description=__doc__)
    parser.add_argument("--month", type=_month, default=_next_month(), help="2028-02; the next one")
    parser.add_argument("--every", type=int, default=1, help="ask on each so many-th day alone")
    parser.add_argument("--result", type=Path, default=RESULT, help="where the numbers go, as JSON")
    parser.add_argument("--break", choices=BREAKS, dest="broken", help="falsify this in the end")
    options = parser.parse_args()
    if options.month <= datetime.now(UTC).date():
        parser.error("choose a month to come: the clock of PostgreSQL stays as it is")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what runs is ended
    with TemporaryDirectory(prefix="sluice-month-") as name:
        return _play(Path(name), options)


def _play(folder: Path, options: argparse.Namespace) -> int:
    began = monotonic()
    with stores_running(folder), world_running(folder, GATEWAYS) as world:
        from tests.month.papers import papers_verify
        from tests.month.report import report_make
        from tests.month.story import Story

        asked = range(1, 32, options.every)
        story = Story(
            world, options.month, asked=asked, waves=WAVES, each=EACH, on_day=_say_how_far
        )
        story.prepare()
        with processes_running(world, folder):
            story.play()
        if options.broken:
            with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as db:
                falsify(options.broken, lambda statement: db.execute(statement.encode()))
        report = report_make(story, world.given(), papers_verify(folder))
    options.result.parent.mkdir(exist_ok=True)
    options.result.write_text(json.dumps(report.numbers) + "\n")
    _say(f"{options.month:%B %Y} in {monotonic() - began:.0f} s")
    for line in report.lines():
        _say(line)
    return 1 if report.wrong else 0


def _say_how_far(day: int, requests: int) -> None:
    if day % 7 == 0:
        _say(f"day {day}: {requests:,} requests")


def _month(text: str) -> date:
    return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()


def _next_month() -> date:
    today = datetime.now(UTC).date()
    return date(today.year + today.month // 12, today.month % 12 + 1, 1)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
