"""Form encoding as Stripe reads it: `a[b][0]=c` is a tree."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from console.fakestripe.http import invalid

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")

Tree = dict[str, Any]
"""Of strings; a list is a tree whose names are its positions."""


def decoded(form: str) -> Tree:
    tree: Tree = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        match = _NAME.fullmatch(name)
        if not match:
            raise invalid(f"Invalid request: the parameter {name} is malformed.", name)
        _put(tree, [match[1], *_PART.findall(match[2])], value)
    return tree


def _put(tree: Tree, names: list[str], value: str) -> None:
    *folders, last = names
    for name in folders:
        tree = tree.setdefault(name or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise invalid(f"Invalid request: {name} is both a value and a hash.", name)
    tree[last or str(len(tree))] = value
