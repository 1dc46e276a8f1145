"""Every small change of a module that some test should notice.

Changed are the bodies of functions, and the values of a module's own constants. What is written to
a log, told by an error or annotated is left as it is, and so are defaults and the bodies of
classes, which are done with before a test begins.
"""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.mutation.operators import alternatives, removals

_TOLD: Final = frozenset({"log", "_"})
_UNCHANGED: Final = frozenset({"annotation", "returns", "ctx", "format_spec"})
_BODIES: Final = ("body", "orelse", "finalbody", "handlers", "cases")
type Function = ast.FunctionDef | ast.AsyncFunctionDef
type Unit = Function | ast.Assign | ast.AnnAssign


class Place(NamedTuple):
    """Where a node hangs: `parent.name`, or `parent.name[place]`."""

    parent: ast.AST
    name: str
    place: int | None

    @property
    def node(self) -> Any:
        held = getattr(self.parent, self.name)
        return held if self.place is None else held[self.place]

    def put(self, node: ast.AST) -> None:
        if self.place is None:
            setattr(self.parent, self.name, node)
        else:
            getattr(self.parent, self.name)[self.place] = node


@dataclass(frozen=True, eq=False)
class Mutant:
    """`unit` is the function or the constant that is changed, on `line`. A test that runs any of
    `lines` may notice.
    """

    path: Path
    tree: ast.Module = field(repr=False)
    unit: Unit = field(repr=False)
    scope: str
    place: Place = field(repr=False)
    new: ast.AST = field(repr=False)
    line: int
    lines: frozenset[int]
    name: str
    """The same as long as the function is, wherever that stands."""

    def make(self) -> None:
        """In the tree. It is not taken back: a process is of one mutant."""
        self.place.put(ast.copy_location(self.new, self.place.node))
        ast.fix_missing_locations(self.tree)


def mutants_of(path: Path) -> list[Mutant]:
    """All of a module, in the order of its lines."""
    tree = ast.parse(path.read_text(), str(path))
    found, named = list[Mutant](), Counter[str]()
    for scope, unit in _units(tree, ""):
        for statement, place, new in _changes(unit):
            words = _words(place.node, new)
            is_part = statement is not unit and statement is not place.node
            name = f"{scope}: {_line(statement)} | {words}" if is_part else f"{scope}: {words}"
            named[name] += 1
            name += f" ({named[name]})" if named[name] > 1 else ""
            lines = frozenset(_users(tree, scope) if statement is unit else _lines(statement))
            found.append(Mutant(path, tree, unit, scope, place, new, statement.lineno, lines, name))
    return found


def _units(parent: ast.Module | ast.ClassDef, within: str) -> Iterator[tuple[str, Unit]]:
    for node in parent.body:
        match node:
            case ast.ClassDef():
                yield from _units(node, f"{within}{node.name}.")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield f"{within}{node.name}", node
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr())
            ) if not within and not name.startswith("__"):
                yield name, node


def _changes(unit: Unit) -> Iterator[tuple[ast.stmt, Place, ast.AST]]:
    """A statement, a place in it, and what may stand there instead."""
    is_function = isinstance(unit, ast.FunctionDef | ast.AsyncFunctionDef)
    for statement, place in _places(unit, "body" if is_function else "value"):
        node = place.node
        for new in alternatives(node, place.parent):
            yield statement, place, new
        for new in removals(node):
            yield statement, place, new


def _places(unit: ast.stmt, name: str) -> Iterator[tuple[ast.stmt, Place]]:
    waiting = [(unit, place) for place in reversed([*_held(unit, name)])]
    while waiting:
        statement, place = waiting.pop()
        node = place.node
        if _is_told(node):
            continue
        statement = node if isinstance(node, ast.stmt) else statement
        yield statement, place
        if not isinstance(node, ast.Raise):
            names = [name for name in node._fields if name not in _UNCHANGED]
            below = [one for name in names for one in _held(node, name)]
            waiting += [(statement, one) for one in reversed(below)]


def _held(parent: ast.AST, name: str) -> Iterator[Place]:
    held = getattr(parent, name, None)
    if isinstance(held, ast.AST):
        yield Place(parent, name, None)
    elif isinstance(held, list):
        for index, one in enumerate(held):
            if isinstance(one, ast.AST):
                yield Place(parent, name, index)


def _is_told(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in _TOLD
        case ast.Call(func=ast.Name(id=name)):
            return name in _TOLD
        case ast.keyword(arg="strict"):  # of zip, that both are as long
            return True
    return False


def _words(old: ast.AST, new: ast.AST) -> str:
    before, after = _line(old), _line(new)
    if isinstance(old, ast.Constant) and isinstance(old.value, str):
        before, after = _differing(before, after)
    return f"{before} → {after}"


def _differing(before: str, after: str) -> tuple[str, str]:
    """Of two long texts the words at the first difference, and those around it."""
    one, other = before.split(), after.split()
    spans = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    a, b, c, d = next((span[1:] for span in spans if span[0] != "equal"), (0, 1, 0, 1))
    return " ".join(one[max(a - 3, 0) : b + 2]), " ".join(other[max(c - 3, 0) : d + 2])


def _line(node: ast.AST) -> str:
    """In one line, and what is compound without its body."""
    bodies = {name: getattr(node, name, None) for name in _BODIES}
    for name, body in bodies.items():
        if isinstance(body, list):
            setattr(node, name, [])
    try:
        return " ".join(ast.unparse(node).replace("\\n", " ").split())
    finally:
        for name, body in bodies.items():
            if isinstance(body, list):
                setattr(node, name, body)


def _lines(statement: ast.stmt) -> range:
    """Those of a compound statement before its body."""
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if not body:
        return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    first = body[0]
    begins = first.pattern.lineno if isinstance(first, ast.match_case) else first.lineno
    return range(statement.lineno, max(begins, statement.lineno + 1))


def _users(tree: ast.Module, name: str) -> set[int]:
    """The lines of the module that speak of a constant; all, if it is for others."""
    users, every = set[int](), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.ClassDef):
            every |= {*_lines(node)}
        elif isinstance(node, ast.Name) and (node.id, type(node.ctx)) == (name, ast.Load):
            users.add(node.lineno)
    return users or every
