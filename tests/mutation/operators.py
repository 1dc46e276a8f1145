"""What may be written wrong: other nodes that could stand in the place of one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import copy
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tests.mutation.sql import is_sql, sql_alternatives

ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ROUNDINGS: Final = ("ROUND_DOWN", "ROUND_HALF_EVEN", "ROUND_HALF_UP")
OTHER_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
PASSED_THROUGH: Final = frozenset({
    "filter", "exclude", "select_for_update", "order_by", "distinct", "for_organization",
    "normalize", "rstrip", "strip", "approved",
})  # fmt: skip
"""Methods without which their object could go on as it is."""
CONDITIONS: Final = frozenset({"filter", "exclude", "get", "update", "Q"})
"""Calls that each named argument narrows, or adds to."""


def alternatives(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    """What an expression could be instead."""
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(op)]())
        case ast.Compare():
            yield from _compared(node)
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant():
            yield from _constants(node)
        case ast.Call():
            yield from _calls(node)
        case ast.Name(id=name) if name in ROUNDINGS:
            yield from (ast.Constant(one) for one in ROUNDINGS if one != name)
        case ast.Set(elts=elements) if len(elements) > 1:
            yield from _without_one(node, "elts")
        case ast.List(elts=[ast.Constant(value=str()), _, *_]):
            yield from _without_one(node, "elts")
        case ast.comprehension() if node.ifs:
            yield from _without_one(node, "ifs")
    if _is_condition(node, parent):
        yield ast.UnaryOp(ast.Not(), node)  # type: ignore[arg-type]


def removals(node: ast.AST) -> Iterator[ast.stmt]:
    """What a statement could be instead: mostly nothing at all."""
    match node:
        case ast.Expr() | ast.Raise() | ast.AugAssign() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[target]) if _is_kept(target):
            yield ast.Pass()
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        if type(op) in COMPARISONS:
            ops = [*node.ops[:index], COMPARISONS[type(op)](), *node.ops[index + 1 :]]
            yield _with(node, ops=ops)


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    match node.value:
        case bool():
            yield ast.Constant(not node.value)
        case int():
            yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
        case bytes() if node.value:
            yield ast.Constant(b"")
        case str() if is_sql(node.value):
            yield from map(ast.Constant, sql_alternatives(node.value))


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    match node:
        case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=str(text))]):
            yield from (_with(node, args=[ast.Constant(one)]) for one in _shifted(text))
        case ast.Call(func=ast.Name(id=name)) if name in OTHER_NAMES:
            yield _with(node, func=ast.Name(OTHER_NAMES[name], ast.Load()))
        case ast.Call(func=ast.Attribute(attr="quantize"), args=[_]):
            yield _with(node, args=[*node.args, ast.Constant("ROUND_DOWN")])
        case ast.Call(func=ast.Attribute(attr="order_by"), args=[]):
            pass  # it takes an order away
        case ast.Call(func=ast.Attribute(attr=name, value=owner)) if name in PASSED_THROUGH:
            yield owner
    if _name_of(node.func) in CONDITIONS and len(node.args) + len(node.keywords) > 1:
        yield from _without_one(node, "keywords")


def _name_of(func: ast.expr) -> str:
    return getattr(func, "attr", "") or getattr(func, "id", "")


def _shifted(text: str) -> Iterator[str]:
    """Ten times as much, and a tenth; of nothing, one."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return
    if number:
        yield from (str(number.scaleb(1)), str(number.scaleb(-1)))
    else:
        yield "1"


def _is_condition(node: ast.AST, parent: ast.AST) -> bool:
    """One that no other operator turns round."""
    if isinstance(node, ast.Compare | ast.BoolOp | ast.Constant | ast.UnaryOp):
        return False
    return isinstance(parent, ast.If | ast.While | ast.IfExp) and parent.test is node


def _is_kept(target: ast.expr) -> bool:
    """Whether a value goes further than the function's own names."""
    if isinstance(target, ast.Tuple):
        return all(_is_kept(one) for one in target.elts)
    return isinstance(target, ast.Attribute | ast.Subscript)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _without_one(node: ast.AST, name: str) -> Iterator[ast.AST]:
    held = getattr(node, name)
    for index in range(len(held)):
        yield _with(node, **{name: [*held[:index], *held[index + 1 :]]})


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
