"""One run of pytest that judges mutants: all tests once, then a process for each mutant.

Django, the database and every import are there before the first of them, so that a mutant costs
what its tests take.
"""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.processes import asked, cpu_limit
from tests.mutation.reach import Lines, Watch
from tests.mutation.swapping import Functions, NotMadeError

MOST_TESTS: Final = 40
"""So many tests a mutant has to get past, of those that run it: the quickest of each file, and
more of those in a file that is named like its module.
"""
MORE: Final = 4
CPU_S: Final = 4
"""What each may compute at least; else it is ten times what it takes."""
EXAMPLES: Final = 30
"""Of a property, where it does not say how many."""
CHECKED: Final = 50
"""After so many mutants a test is run without any, which has to pass."""
_SURVIVED: Final = "survived"
_NOT_MADE: Final = "not made"
_ENDED: Final = "time or memory"


class Ran(NamedTuple):
    """What a test did, without a mutant."""

    took_s: float
    lines: Lines


class Test(NamedTuple):
    item: pytest.Item
    ran: Ran


class Verdict(NamedTuple):
    """`by` is the test that noticed `mutant`, or why else it ended; empty when it survived so many
    `tests`.
    """

    mutant: Mutant
    by: str
    tests: int


class SpoiledError(RuntimeError):
    """A mutant has left something behind, so that what is found after it says nothing."""


class KnownLines(Protocol):
    """What tests have run before."""

    def of(self, test: str) -> Ran | None: ...
    def keep(self, test: str, ran: Ran) -> None: ...


class Judge:
    """A plugin of pytest. `modules` are those whose lines are `known`, or watched; `told` gets each
    verdict as it falls. `failed` are tests that fail without any mutant: they are left out.
    """

    def __init__(
        self,
        mutants: Sequence[Mutant],
        modules: Collection[Path],
        known: KnownLines,
        told: Callable[[Verdict], None],
    ) -> None:
        self._mutants, self._modules, self._known, self._told = mutants, modules, known, told
        self._noticed = defaultdict[str, Counter[str]](Counter)
        self._is_failed = False
        self.failed: list[str] = []
        self.not_made: list[str] = []

    def pytest_configure(self) -> None:
        """What fails is not looked into, and is the same the next time."""
        from hypothesis import HealthCheck, Phase, settings  # pytest wants to be the first

        settings.register_profile(
            "mutation", phases=(Phase.explicit, Phase.generate), derandomize=True, database=None,
            max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        plugins = session.config.pluginmanager
        reporter = plugins.unregister(name="terminalreporter")
        try:
            self._all(session)
        finally:
            plugins.register(reporter, "terminalreporter")
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._is_failed |= report.failed

    def _all(self, session: pytest.Session) -> None:
        for path in self._modules:
            import_module(".".join(path.relative_to(session.config.rootpath).with_suffix("").parts))
        self._functions = Functions(self._modules)
        self._tests = sorted(self._once(session), key=lambda test: test.ran.took_s)
        _connections_close()
        gc.collect()
        gc.freeze()
        for count, mutant in enumerate(self._mutants, 1):
            chosen = self._chosen(mutant)
            is_ended = self._judge(mutant, chosen) == _ENDED
            if chosen and (is_ended or count % CHECKED == 0):
                self._check(chosen[0], mutant)

    def _once(self, session: pytest.Session) -> Iterator[Test]:
        """Each test, with its lines. What is made for the session stays."""
        known = {item: self._known.of(item.nodeid) for item in session.items}
        first = max(session.items, key=lambda item: len(getattr(item, "fixturenames", ())))
        waiting = [item for item in session.items if item is first or not known[item]]
        watch = Watch(self._functions.codes)
        with watch.on():
            for item, following in zip(waiting, [*waiting[1:], session], strict=True):
                watch.taken()
                began = monotonic()
                if self._passes(item, following):
                    known[item] = ran = Ran(monotonic() - began, watch.taken())
                    self._known.keep(item.nodeid, ran)
                else:
                    self.failed.append(item.nodeid)
        return (Test(item, ran) for item, ran in known.items() if ran)

    def _passes(self, item: pytest.Item, following: Any) -> bool:
        self._is_failed = False
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        return not self._is_failed

    def _judge(self, mutant: Mutant, tests: Sequence[Test]) -> str:
        answer = asked(lambda: self._first_failing(tests, mutant))
        if answer == _NOT_MADE:
            self.not_made.append(mutant.name)
            return answer
        by = "" if answer == _SURVIVED else answer or _ENDED
        self._noticed[mutant.scope][by] += 1
        self._told(Verdict(mutant, by, len(tests)))
        return by

    def _chosen(self, mutant: Mutant) -> list[Test]:
        """Those first that have noticed something in the same function."""
        wanted = {(str(mutant.path), line) for line in mutant.lines}
        names, of_file = _words(mutant.path), Counter[Path]()
        found = list[tuple[int, Test]]()
        for test in self._tests:
            if not wanted.isdisjoint(test.ran.lines):
                path = test.item.path
                found.append((of_file[path] // (1 + MORE * len(names & _words(path))), test))
                of_file[path] += 1
        found.sort(key=lambda ranked: ranked[0])
        noticed = self._noticed[mutant.scope]
        chosen = [test for _rank, test in found[:MOST_TESTS]]
        return sorted(chosen, key=lambda test: -noticed[test.item.nodeid])

    def _first_failing(self, tests: Sequence[Test], mutant: Mutant | None) -> str:
        """In a process of its own."""
        if mutant:
            try:
                self._functions.swap(mutant)
            except NotMadeError:
                return _NOT_MADE
        following = [*(test.item for test in tests[1:]), None]
        for test, after in zip(tests, following, strict=True):
            cpu_limit(max(CPU_S, 10 * test.ran.took_s))
            if not self._passes(test.item, after or test.item.session):
                return test.item.nodeid
        return _SURVIVED

    def _check(self, test: Test, mutant: Mutant) -> None:
        """It passes without a mutant."""
        answer = asked(lambda: self._first_failing([test], None))
        if answer != _SURVIVED:
            raise SpoiledError(f"After {mutant.name} this fails by itself: {answer}")


def _words(path: Path) -> set[str]:
    return {word for part in path.with_suffix("").parts[-2:] for word in part.split("_")}


def _connections_close() -> None:
    """A connection is of one process."""
    from django.conf import settings

    if settings.configured:
        from django.db import connections

        connections.close_all()
