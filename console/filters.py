"""The choices in the search form of a list. They live in the address alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.http import HttpRequest


class Filter(NamedTuple):
    """One select. `every` is what no choice is called; empty where there is always one."""

    name: str
    label: str
    every: str
    choices: list[tuple[str, Any]]
    value: str

    @property
    def shown(self) -> str:
        """What the choice is called."""
        return str(dict(self.choices).get(self.value, self.every))


def filter_read(
    request: HttpRequest,
    name: str,
    choices: Iterable[tuple[str, Any]],
    *,
    label: str,
    every: str = "",
) -> Filter:
    """The choice of `name` in the address; what is none of `choices` counts as none made."""
    choices = list(choices)
    value = request.GET.get(name, "")
    known = [choice for choice, _label in choices]
    default = "" if every else known[0]
    return Filter(name, label, every, choices, value if value in known else default)
