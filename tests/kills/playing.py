"""Runs one after another, with what each did said and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol


class Report(Protocol):
    """What a run did, and `breaks`: what did not hold."""

    run: int
    case: str
    breaks: list[str]

    def counts(self) -> dict[str, int]:
        """What it did, by its plural."""

    def again(self) -> list[str]:
        """What held, and does not hold any more at the end of all runs."""


def runs_played(play: Callable[[int], Report], runs: Iterable[int]) -> dict[str, int]:
    """Runs, what they did, and breaks."""
    reports = [_told(play, number) for number in runs]
    late = [why for report in reports for why in report.again()]
    counts: Counter[str] = Counter(runs=len(reports))
    for report in reports:
        counts.update(report.counts())
    counts["breaks"] = len(late) + sum(len(report.breaks) for report in reports)
    _say([*late, _words(counts)])
    return dict(counts)


def _told(play: Callable[[int], Report], number: int) -> Report:
    began = monotonic()
    report = play(number)
    did = f"{_words(report.counts())}, {monotonic() - began:.1f} s"
    who = f"run {number}, {report.case}"
    _say([f"{who}: {did}", *(f"{who}: {why}" for why in report.breaks)])
    return report


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _say(lines: Iterable[str]) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201
