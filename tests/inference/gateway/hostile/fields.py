"""Wrong values at every field of every body, made from the types that the gateway reads it into."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import singledispatch
from typing import Any, Final

from msgspec import inspect as types

from tests.inference.gateway.hostile.case import Case, post_json
from tests.inference.gateway.hostile.good import BODIES

type Path = tuple[str | int, ...]

MAX_NESTED: Final = 4
_SAMPLES: Final[dict[str, Any]] = {
    "null": None, "bool": True, "int": 7, "float": 1.5, "str": "no such value", "list": [{}],
    "object": {"no": {"such": "field"}},
}  # fmt: skip
"""A value of each kind that JSON has."""


def cases(path: str, body: type) -> Iterator[Case]:
    """A case for each wrong value in a request for `path`, and for each field that is missing."""
    good, info = BODIES[path], types.type_info(body)
    assert isinstance(info, types.StructType)
    for field in info.fields:
        name = field.encode_name
        if field.required:
            without = {key: value for key, value in good.items() if key != name}
            yield post_json(f"{path}: no {name}", f"/v1/{path}", without)
        for where, value in wrong(field.type, 0):
            label = f"{path}: {'.'.join(map(str, (name, *where)))} = {_shown(value)}"
            yield post_json(label, f"/v1/{path}", good | {name: value})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}… ({len(text)} characters)"


def wrong(type_: types.Type, depth: int) -> Iterator[tuple[Path, Any]]:
    """Wrong values of `type_`, each with the path to what is wrong in it."""
    options = type_.types if isinstance(type_, types.UnionType) else (type_,)
    kinds = {kind for option in options for kind in _kinds(option)}
    if "any" in kinds:
        return
    for kind, value in _SAMPLES.items():
        if kind not in kinds:
            yield (), value
    if depth < MAX_NESTED:
        for option in options:
            yield from _within(option, depth)


def _kinds(type_: types.Type) -> tuple[str, ...]:
    """The kinds of JSON value that a type takes."""
    match type_:
        case types.AnyType():
            return ("any",)
        case types.NoneType():
            return ("null",)
        case types.BoolType():
            return ("bool",)
        case types.IntType():
            return ("int",)
        case types.FloatType():
            return ("int", "float")
        case types.StrType():
            return ("str",)
        case types.ListType():
            return ("list",)
        case types.DictType() | types.StructType():
            return ("object",)
        case _:
            return ()


@singledispatch
def _within(type_: types.Type, depth: int) -> Iterator[tuple[Path, Any]]:
    """Values of the right kind that are wrong inside, or out of bounds."""
    yield from ()


@_within.register
def _of_int(type_: types.IntType, depth: int) -> Iterator[tuple[Path, Any]]:
    yield from (((), value) for value in beyond(type_))
    yield (), 10**30


@_within.register
def _of_float(type_: types.FloatType, depth: int) -> Iterator[tuple[Path, Any]]:
    yield from (((), value) for value in beyond(type_))


def beyond(type_: types.IntType | types.FloatType) -> Iterator[float]:
    step = 1 if isinstance(type_, types.IntType) else 0.001
    if type_.ge is not None:
        yield type_.ge - step
    if type_.le is not None:
        yield type_.le + step
    if type_.gt is not None:
        yield type_.gt
    if type_.lt is not None:
        yield type_.lt


@_within.register
def _of_str(type_: types.StrType, depth: int) -> Iterator[tuple[Path, Any]]:
    if type_.max_length is not None:
        yield (), "x" * (type_.max_length + 1)
    if type_.min_length:
        yield (), ""
    if type_.pattern is not None:
        yield (), "\N{SNOWMAN} no match"
        yield (), "ff\n"


@_within.register
def _of_list(type_: types.ListType, depth: int) -> Iterator[tuple[Path, Any]]:
    good = sample(type_.item_type)
    if type_.max_length is not None and type_.max_length < 10_000:
        yield ("too many",), [good] * (type_.max_length + 1)
    if type_.min_length:
        yield (), []
    for where, value in wrong(type_.item_type, depth + 1):
        yield (0, *where), [value]


@_within.register
def _of_dict(type_: types.DictType, depth: int) -> Iterator[tuple[Path, Any]]:
    key, is_free = _key(type_.key_type)
    if not is_free:
        for no_key in ("no such key", f"{key}\n"):
            yield (no_key,), {no_key: sample(type_.value_type)}
    for where, value in wrong(type_.value_type, depth + 1):
        yield (key, *where), {key: value}


def _key(type_: types.Type) -> tuple[str, bool]:
    """A key that will do, and whether any other does too."""
    is_free = not (isinstance(type_, types.StrType) and type_.pattern)
    return ("key" if is_free else "5"), is_free


@_within.register
def _of_literal(type_: types.LiteralType, depth: int) -> Iterator[tuple[Path, Any]]:
    yield (), "no such value"


@_within.register
def _of_struct(type_: types.StructType, depth: int) -> Iterator[tuple[Path, Any]]:
    good = sample(type_)
    if type_.tag_field is not None:
        yield (type_.tag_field,), good | {type_.tag_field: "no such kind"}
        yield (type_.tag_field,), good | {type_.tag_field: 7}
    for field in type_.fields:
        name = field.encode_name
        if field.required:
            yield (f"no {name}",), {key: value for key, value in good.items() if key != name}
        for where, value in wrong(field.type, depth + 1):
            yield (name, *where), deepcopy(good) | {name: value}


def sample(type_: types.Type) -> Any:
    """A value that the type takes, as small as can be."""
    match type_:
        case types.UnionType():
            return sample(next(t for t in type_.types if not isinstance(t, types.NoneType)))
        case types.StructType():
            tag = {type_.tag_field: type_.tag} if type_.tag_field else {}
            return tag | {f.encode_name: sample(f.type) for f in type_.fields if f.required}
        case types.ListType():
            return [sample(type_.item_type)]
        case types.DictType():
            return {}
        case types.LiteralType():
            return type_.values[0]
        case types.IntType():
            return max(1, type_.ge or 1)
        case types.FloatType():
            return 1
        case types.BoolType():
            return True
        case _:
            return "f"
