"""What became of the mutants, by module and in all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.judging import Verdict


@dataclass
class Score:
    killed: int = 0
    survived: int = 0

    def count(self, verdict: Verdict) -> None:
        if verdict.by:
            self.killed += 1
        else:
            self.survived += 1

    @property
    def mutants(self) -> int:
        return self.killed + self.survived

    @property
    def percent(self) -> float:
        return round(100 * self.killed / self.mutants, 1) if self.mutants else 100.0

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "mutants": self.mutants,
            "killed": self.killed,
            "survived": self.survived,
            "score": self.percent,
        }


class Scores:
    """`whole` is of all modules together."""

    def __init__(self, verdicts: Iterable[Verdict], root: Path) -> None:
        self.whole, self.modules = Score(), dict[str, Score]()
        self._survivors = list[str]()
        for verdict in sorted(verdicts, key=lambda one: (one.mutant.path, one.mutant.line)):
            module = str(verdict.mutant.path.relative_to(root))
            for score in (self.whole, self.modules.setdefault(module, Score())):
                score.count(verdict)
            if not verdict.by:
                self._survivors.append(f"{module}:{verdict.mutant.line}: {verdict.mutant.name}")

    @property
    def facts(self) -> dict[str, Any]:
        modules = {name: score.facts for name, score in self.modules.items()}
        return {**self.whole.facts, "modules": modules}

    def lines(self) -> Iterator[str]:
        """A table, and each survivor."""
        yield from (f"survived  {line}" for line in self._survivors)
        yield f"{'module':40} {'killed':>8} {'survived':>8} {'score':>8}"
        for name, score in {**self.modules, "all": self.whole}.items():
            yield f"{name:40} {score.killed:8} {score.survived:8} {score.percent:7.1f}%"
