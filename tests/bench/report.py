"""What a run has found: printed, kept as `.run/bench.json`, and written into the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.measure import Figures
from tests.bench.servers import ROOT

RESULT: Final = ROOT / ".run" / "bench.json"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- Figures: `make bench` writes from here -->\n"
END: Final = "<!-- to here -->\n"
OTHERS_SHARE: Final = 0.03
"""Past this share of the proxy's core for others, a run says so."""


class Row(NamedTuple):
    """A figure in words; with a goal it is to be `at_least` that, or else at most.

    `nginx` is what nginx did on the machine where the goal was set.
    """

    words: str
    form: str
    goal: float | None = None
    at_least: bool = False
    nginx: float | None = None

    def goal_words(self, value: float) -> str:
        return self._told(self.goal, value, ",") if self.goal else ""

    def scaled_words(self, value: float, nginx: float | None) -> str:
        """The goal for a machine on which nginx does this."""
        if not (self.goal and self.nginx and nginx):
            return ""
        return self._told(self.goal * nginx / self.nginx, value, self.form)

    def _told(self, goal: float, value: float, form: str) -> str:
        is_missed = value < goal if self.at_least else value > goal
        words = f"{'≥' if self.at_least else '≤'} {goal:{form}}"
        return f"{words} (missed)" if is_missed else words


ROWS: Final = {
    "nonstream_rps": Row("requests/s, 32 clients", ",.0f", 3300, at_least=True, nginx=95_300),
    "nonstream_cpu_us": Row("CPU µs of a request", ",.0f"),
    "p50_ms": Row("latency p50, one client, ms", ",.2f", 0.85, nginx=0.04),
    "p99_ms_half_load": Row("latency p99 at half load, ms", ",.1f", 5),
    "streams_per_s": Row(
        "streams of 100 chunks/s, 32 clients", ",.0f", 1700, at_least=True, nginx=1850
    ),
    "stream_cpu_us": Row("CPU µs of a stream", ",.0f"),
    "paced_cpu_s": Row("CPU s per 10 s, 400 streams, 40 tokens/s", ".2f", 3.0, nginx=0.95),
    "kb_per_stream": Row("kB per open stream", ",.0f", 50),
}


class Report:
    """The figures of the gateway, and of the others measured in the same run."""

    def __init__(self, gateway: Figures, others: Sequence[Figures]) -> None:
        self._gateway, self._others = gateway, others

    @property
    def is_whole(self) -> bool:
        return ROWS.keys() <= self._gateway.values.keys()

    def text(self) -> str:
        """The table for a terminal."""
        rows = [self._head(), *self._rows()]
        lines = [f"{row[0]:<41}" + "".join(f"{cell:>18}" for cell in row[1:]) for row in rows]
        return "\n".join([*lines, *self._notes()])

    def write(self, events: int) -> None:
        """Keep the figures of a whole run; `events` reached the engine and were metered."""
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(self._document(), indent=2) + "\n")
        section_write(BEGIN, self._markdown(events))

    def _document(self) -> dict[str, object]:
        figures = {name: rounded(value) for name, value in self._gateway.values.items()}
        others = {
            one.name: {name: rounded(value) for name, value in one.values.items()}
            for one in self._others
        }
        return {**figures, **others}

    def _markdown(self, events: int) -> str:
        day = f"{datetime.now(UTC):%-d %B %Y}"
        head = (
            f"Of {day}, on two cores of an {processor()}; {events:,} requests of the gateway's\n"
            "reached the engine, and as many usage events were in PostgreSQL:\n"
        )
        rows = [self._head(), ["---"] * len(self._head()), *self._rows()]
        table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
        notes = "".join(f"* {note}\n" for note in self._notes())
        return f"\n{head}\n{table}\n{notes}" + ("\n" if notes else "")

    def _head(self) -> list[str]:
        return ["", self._gateway.name, "goal", "scaled", *(one.name for one in self._others)]

    def _rows(self) -> Iterator[list[str]]:
        """A figure that misses its goal is marked; one that could not be taken is a dash."""
        for name, row in ROWS.items():
            if name not in self._gateway.values:
                continue
            value = self._gateway.values[name]
            goals = row.goal_words(value), row.scaled_words(value, self._of_nginx(name))
            others = (_cell(row, one.values.get(name)) for one in self._others)
            yield [row.words, format(value, row.form), *goals, *others]

    def _of_nginx(self, name: str) -> float | None:
        return next((one.values.get(name) for one in self._others if one.name == "nginx"), None)

    def _notes(self) -> Iterable[str]:
        for one in (self._gateway, *self._others):
            yield from (f"{one.name}: {fault}" for fault in one.faults)
            if one.others_share > OTHERS_SHARE:
                yield f"{one.name}: other processes took {one.others_share:.0%} of its core."


def section_write(begin: str, text: str) -> None:
    """Put `text` into the page between the line `begin` and the next END."""
    before, _, rest = PAGE.read_text().partition(begin)
    after = rest.partition(END)[2]
    PAGE.write_text(before + begin + text + END + after)


def _cell(row: Row, value: float | None) -> str:
    return "–" if value is None else format(value, row.form)


def rounded(value: float) -> float:
    return float(f"{value:.4g}") if value < 1000 else float(round(value))


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown processor")
