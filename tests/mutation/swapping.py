"""A mutant in place of what it changes, in a process that has imported that long ago."""

from __future__ import annotations

import ast
import gc
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from tests.mutation.mutants import Mutant


class NotMadeError(Exception):
    """This mutant cannot be made; no test is at fault."""


class Functions:
    """All functions that were made from some modules, wherever they are now: also those below
    their decorators.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        files = {str(path) for path in paths}
        self._known = defaultdict[tuple[str, int, str], list[FunctionType]](list)
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename in files:
                self._known[_key(one.__code__)].append(one)

    @property
    def codes(self) -> set[CodeType]:
        """What they run, and what is made within them."""
        kept = [one.__code__ for several in self._known.values() for one in several]
        return {code for outer in kept for code in _nested(outer)}

    def swap(self, mutant: Mutant) -> None:
        """From here on this process has the mutant. Raises NotMadeError."""
        mutant.make()
        if isinstance(mutant.unit, ast.Assign | ast.AnnAssign):
            _constant_swap(mutant, mutant.unit)
        else:
            self._swap(mutant)

    def _swap(self, mutant: Mutant) -> None:
        compiled = compile(mutant.tree, str(mutant.path), "exec", dont_inherit=True)
        decorators: list[Any] = getattr(mutant.unit, "decorator_list", [])
        first = min([mutant.unit.lineno, *(one.lineno for one in decorators)])
        key = (str(mutant.path), first, mutant.scope.rpartition(".")[2])
        made = [code for code in _nested(compiled) if _key(code) == key]
        if len(made) != 1 or not self._known[key]:
            raise NotMadeError(f"{mutant.scope} is not to be found")
        for one in self._known[key]:
            try:
                one.__code__ = made[0]
            except ValueError as error:
                raise NotMadeError(str(error)) from None


def _key(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_name


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _constant_swap(mutant: Mutant, unit: ast.Assign | ast.AnnAssign) -> None:
    """In its module, and in all that have taken it from there."""
    names = _names_of(mutant.path)
    value = ast.Expression(unit.value or ast.Constant(None))
    old = names[mutant.scope]
    try:
        new = eval(compile(value, str(mutant.path), "eval"), names)  # noqa: S307 - our own
    except Exception as error:
        raise NotMadeError(f"{type(error).__name__}: {error}") from None
    for module in list(sys.modules.values()):
        if vars(module).get(mutant.scope) is old:
            setattr(module, mutant.scope, new)


def _names_of(path: Path) -> dict[str, Any]:
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path):
            return vars(module)
    raise NotMadeError(f"{path} is not imported")
