"""What was found before: good while the modules and the tests are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

from tests.mutation.judging import Ran, Verdict
from tests.mutation.mutants import Mutant


class KeptVerdicts:
    """In a file, a line each, with a hash over the module and the file of the test that noticed; of
    a mutant that none did, over all tests.
    """

    def __init__(self, path: Path, root: Path, tests: Iterable[str]) -> None:
        self._path, self._root, self._tests = path, root, tests
        self._rows = {name: (known, by) for name, known, by in map(json.loads, _lines(path))}

    def of(self, mutant: Mutant) -> Verdict | None:
        """None where it is not known any more."""
        known, by = self._rows.get(self._name(mutant), ("", ""))
        return Verdict(mutant, by, 0) if known == self._hash(mutant, by) else None

    def keep(self, verdict: Verdict) -> None:
        mutant, by, _tests = verdict
        _append(self._path, [self._name(mutant), self._hash(mutant, by), by])

    def _name(self, mutant: Mutant) -> str:
        return f"{mutant.path.relative_to(self._root)} {mutant.name}"

    def _hash(self, mutant: Mutant, by: str) -> str:
        name, is_test, _ = by.partition("::")
        return _hash([mutant.path, *([self._root / name] if is_test else self._all)])

    @cached_property
    def _all(self) -> list[Path]:
        places = [self._root / name for name in self._tests]
        return [path for one in places for path in (sorted(one.rglob("*.py")) or [one])]


class KeptLines:
    """Which lines of `modules` each test runs, with hashes over its file and each of these."""

    def __init__(
        self, path: Path, root: Path, modules: Iterable[Path], needed: Iterable[Path]
    ) -> None:
        self._path, self._root = path, root
        self._modules = {str(one.relative_to(root)): one for one in modules}
        self._needed = {str(one.relative_to(root)) for one in needed}
        self._rows = {name: row for name, *row in map(json.loads, _lines(path))}

    def of(self, test: str) -> Ran | None:
        """None where it is not known any more, for the modules that are `needed`."""
        known, took_s, by_module = self._rows.get(test, ("", 0, {}))
        hashes = {name: of_one[0] for name, of_one in by_module.items()}
        if known != self._hash_of(test) or any(
            hashes.get(name) != _hash([self._modules[name]]) for name in self._needed
        ):
            return None
        lines = ((str(self._root / name), at) for name in self._needed for at in by_module[name][1])
        return Ran(took_s, frozenset(lines))

    def keep(self, test: str, ran: Ran) -> None:
        found = {name: (_hash([path]), list[int]()) for name, path in self._modules.items()}
        for file, line in ran.lines:
            found[str(Path(file).relative_to(self._root))][1].append(line)
        _append(self._path, [test, self._hash_of(test), round(ran.took_s, 2), found])

    def _hash_of(self, test: str) -> str:
        return _hash([self._root / test.partition("::")[0]])


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _append(path: Path, row: object) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _hash(paths: Iterable[Path]) -> str:
    return hashlib.sha256("".join(map(_of_file, paths)).encode()).hexdigest()[:16]


@cache
def _of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()
