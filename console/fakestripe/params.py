"""Requests against the SDK's typed parameters: what Stripe would refuse is refused in its words.

The SDK's TypedDicts are made from Stripe's own specification of the pinned version: names, required
keys, types and choices come from there. Ranges and rules across fields are each resource's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import stripe.params
import stripe.params.billing_portal
import stripe.params.checkout
from stripe._request_options import RequestOptions

from console.fakestripe.forms import Tree
from console.fakestripe.http import Refusal, invalid, missing, unknown

_OPTIONS: Final = frozenset(RequestOptions.__annotations__)
"""Of the SDK itself; they never travel as parameters."""
_INTEGER: Final = re.compile(r"-?\d{1,18}")
LONGEST: Final = 5000
METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 50, 40, 500


def params_class(name: str) -> type:
    """`checkout.SessionCreateParams` and the like."""
    found: Any = stripe.params
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def checked(params: type, given: Tree, path: str = "") -> Tree:
    """`given` with its values typed. Raises Refusal."""
    hints = _hints(params)
    for name in given:
        if name not in hints:
            raise unknown(_under(path, name))
    for name in getattr(params, "__required_keys__", ()):
        if name not in given:
            raise missing(_under(path, name))
    return {name: _value(hints[name], value, _under(path, name)) for name, value in given.items()}


@cache
def _hints(params: type) -> dict[str, Any]:
    module = vars(sys.modules[params.__module__])
    hints = get_type_hints(params, module, {"StripeContext": str, "Mapping": Mapping})
    return {name: hint for name, hint in hints.items() if name not in _OPTIONS}


def _under(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def _value(hint: Any, value: Any, path: str) -> Any:
    members = _members(hint)
    choices = [choice for member in members for choice in _choices(member)]
    if value in choices and isinstance(value, str):
        return value
    kinds = [member for member in members if not _choices(member)]
    if any(choices):  # `| str` beside choices is for those of later versions
        kinds = [kind for kind in kinds if kind is not str]
    fitting = [kind for kind in kinds if _is_tree(kind) == isinstance(value, dict)]
    if not fitting:
        raise _unfit(kinds, choices, value, path)
    return _typed(fitting[0], value, path)


def _members(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, UnionType):
        return [inner for member in get_args(hint) for inner in _members(member)]
    return [hint] if hint is not NoneType else []


def _choices(member: Any) -> tuple[Any, ...]:
    return get_args(member) if get_origin(member) is Literal else ()


def _is_tree(kind: Any) -> bool:
    return _is_typed_dict(kind) or get_origin(kind) is not None


def _is_typed_dict(kind: Any) -> bool:
    """The SDK makes them with `typing_extensions`, of which `typing` does not know."""
    return hasattr(kind, "__required_keys__")


def _unfit(kinds: list[Any], choices: list[Any], value: Any, path: str) -> Refusal:
    if value == "":
        return _empty(path)
    if any(choices):
        *most, last = [choice for choice in choices if choice]
        named = f"{', '.join(most)}{',' if len(most) > 1 else ''} or {last}" if most else last
        return invalid(f"Invalid {path}: must be one of {named}", path)
    what = "string" if isinstance(value, dict) else "array" if _takes_list(kinds) else "object"
    return invalid(f"Invalid {what}", path)


def _takes_list(kinds: list[Any]) -> bool:
    return any(get_origin(kind) is list for kind in kinds)


def _empty(path: str) -> Refusal:
    message = (
        f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset "
        f"a parameter; however '{path}' cannot be unset. You should remove '{path}' from your "
        "request or supply a non-empty value."
    )
    return invalid(message, path, "parameter_invalid_empty")


def _typed(kind: Any, value: Any, path: str) -> Any:
    if _is_typed_dict(kind):
        return checked(kind, value, path)
    if get_origin(kind) is list:
        return _list(get_args(kind)[0], value, path)
    if isinstance(value, dict):
        return _metadata(value, path)
    if value == "":
        raise _empty(path)
    return _scalar(kind, value, path)


def _list(kind: Any, tree: Tree, path: str) -> list[Any]:
    if not all(name.isdigit() for name in tree):
        raise invalid("Invalid array", path)
    ordered = sorted(tree, key=int)
    return [
        _value(kind, tree[name], f"{path}[{position}]") for position, name in enumerate(ordered)
    ]


def _metadata(tree: Tree, path: str) -> Tree:
    """Of strings alone; an empty one unsets its key."""
    if len(tree) > METADATA_KEYS:
        raise invalid(f"Metadata can have up to {METADATA_KEYS} keys.", path)
    for name, value in tree.items():
        if not isinstance(value, str):
            raise invalid("Metadata values must be strings, but received a hash.", path)
        if len(name) > METADATA_KEY or len(value) > METADATA_VALUE:
            most = METADATA_KEY if len(name) > METADATA_KEY else METADATA_VALUE
            raise invalid(
                f"Metadata keys and values can be up to {METADATA_KEY} and {METADATA_VALUE} "
                f"characters, but you passed one of more than {most}.",
                f"{path}[{name}]",
            )
    return tree


def _scalar(kind: Any, value: str, path: str) -> Any:
    if kind is bool:
        if value not in ("true", "false"):
            raise invalid(f"Invalid boolean: {value}", path)
        return value == "true"
    if kind is int:
        if not _INTEGER.fullmatch(value):
            raise invalid(f"Invalid integer: {value}", path, "parameter_invalid_integer")
        return int(value)
    if kind in (Decimal, float):
        return _decimal(value, path)
    if len(value) > LONGEST:
        start = f"{value[:20]}...{value[-10:]}"
        raise invalid(f"Invalid string: {start}; must be at most {LONGEST} characters", path)
    return value


def _decimal(value: str, path: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise invalid(f"Invalid decimal: {value}", path)
    return number
