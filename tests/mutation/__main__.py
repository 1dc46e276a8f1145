"""`make mutation`: modules that handle money are changed bit by bit, and tests have to notice."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tomllib
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

from tests.mutation.judging import Judge, Verdict
from tests.mutation.kept import KeptLines, KeptVerdicts
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.scores import Scores

ROOT: Final = Path(__file__).resolve().parents[2]
MODULES: Final = (
    # Money
    "billing/pricing.py", "billing/vat.py", "billing/volume.py", "billing/balances.py",
    "billing/payments/amounts.py",
    # What a request costs
    "billing/ingest/rating.py", "billing/ingest/posting.py",
    # The books
    "billing/ledger",
    # What goes to Stripe, and comes from there
    "billing/payments/outbox.py", "billing/payments/queue.py", "billing/payments/answers.py",
    "billing/payments/inbox.py",
    # What customers can check
    "billing/invoices/merkle.py", "billing/invoices/lines.py", "billing/invoices/series.py",
    "billing/invoices/freezing.py", "billing/invoices/verify_invoice.py",
)  # fmt: skip
TESTS: Final = ("tests/billing",)
EQUIVALENT: Final = "equivalent.toml"
SEED: Final = 1
EACH: Final = 50
"""So often a line says how far it is."""
_PLAIN: Final = ("-p", "no:xdist", "-p", "no:cacheprovider")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what runs is ended
    root = options.root.resolve()
    options.result.parent.mkdir(exist_ok=True)
    files = [options.result.with_suffix(suffix) for suffix in (".verdicts", ".lines")]
    if options.fresh:
        for path in files:
            path.unlink(missing_ok=True)
    mutants = _sample(_mutants(root, options.modules), options.sample)
    mutants = [one for one in mutants if options.only in str(one.path)]
    verdicts = _judged(mutants, root, options.tests, *files)
    scores = Scores(verdicts, root)
    _say("\n".join(scores.lines()))
    options.result.write_text(json.dumps(scores.facts) + "\n")
    return int(scores.whole.percent < options.least)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--modules", nargs="*", default=MODULES, help="files and folders")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="files and folders")
    parser.add_argument("--sample", type=int, default=0, help="so many of all, always the same")
    parser.add_argument("--only", default="", help="of these, the ones of such a path")
    parser.add_argument("--least", type=float, default=85, help="percent that have to be noticed")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    parser.add_argument("--root", type=Path, default=ROOT, help="where both of them are")
    parser.add_argument("--result", type=Path, default=ROOT / ".run" / "mutation.json")
    return parser.parse_args()


def _mutants(root: Path, modules: Iterable[str]) -> list[Mutant]:
    """Without those that change nothing, each of which has to be there."""
    same = tomllib.loads(Path(__file__).with_name(EQUIVALENT).read_text())
    found = list[Mutant]()
    for path in _paths(root, modules):
        of_one, no_change = mutants_of(path), same.get(str(path.relative_to(root)), {})
        if gone := no_change.keys() - {one.name for one in of_one}:
            raise SystemExit(f"{EQUIVALENT} names what is no mutant of {path}: {sorted(gone)}")
        found += [one for one in of_one if one.name not in no_change]
    return found


def _paths(root: Path, modules: Iterable[str]) -> list[Path]:
    places = [root / name for name in modules]
    return [path for one in places for path in (sorted(one.glob("*.py")) or [one])]


def _sample(mutants: Sequence[Mutant], size: int) -> Sequence[Mutant]:
    """Of a function that is changed, most of those that were chosen before are chosen again."""
    if not 0 < size < len(mutants):
        return mutants
    by_chance = sorted(mutants, key=lambda one: sha256(f"{SEED} {one.name}".encode()).digest())
    chosen = {*by_chance[:size]}
    return [one for one in mutants if one in chosen]


def _judged(
    mutants: Sequence[Mutant], root: Path, tests: Sequence[str], verdicts_at: Path, lines_at: Path
) -> list[Verdict]:
    """What is not known from before is found out now."""
    kept = KeptVerdicts(verdicts_at, root, TESTS if root == ROOT else tests)
    verdicts = [verdict for one in mutants if (verdict := kept.of(one))]
    known, began = {verdict.mutant for verdict in verdicts}, monotonic()
    _say(f"{len(mutants)} mutants, {len(known)} of them known from before")
    watched = _paths(root, MODULES) if root == ROOT else [one.path for one in mutants]

    def told(verdict: Verdict) -> None:
        verdicts.append(verdict)
        kept.keep(verdict)
        if not verdict.by or len(verdicts) % EACH == 0:
            _say(f"{monotonic() - began:5.0f} s {len(verdicts)}: {_words(verdict)}")

    left = [one for one in mutants if one not in known]
    lines = KeptLines(lines_at, root, watched, {one.path for one in left})
    judge = Judge(left, set(watched), lines, told)
    if left:
        pytest.main([*tests, *_PLAIN], plugins=[judge])
    if judge.failed:
        _say(f"Left out, since they fail by themselves: {judge.failed}")
    if len(verdicts) + len(judge.not_made) < len(mutants):
        raise SystemExit("The tests did not run.")
    return verdicts


def _words(verdict: Verdict) -> str:
    mutant, by, tests = verdict
    end = f"noticed by {by}" if by else f"survived {tests} tests"
    return f"{mutant.path.name}:{mutant.line} {end}: {mutant.name}"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
