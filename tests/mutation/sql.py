"""What may be written wrong in a statement of SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_STATEMENT: Final = re.compile(r"^\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b.*\n", re.MULTILINE)
_RULES: Final = (
    (r" FOR UPDATE( SKIP LOCKED)?", ""),
    (r"(?<=\w) = (?=[\w'%])", " <> "),
    (r" <> ", " = "),
    (r" >= ", " > "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" < ", " <= "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"\bAND\b", "OR"),
    (r"\bOR\b", "AND"),
    (r"\bmax\(", "min("),
    (r"\bmin\(", "max("),
    (r"\bsum\(", "max("),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bIS NOT NULL\b", "IS NULL"),
    (r"\bNULLS LAST\b", "NULLS FIRST"),
    (r"\b(LEFT|FULL) JOIN\b", "JOIN"),
    (r"\bUNION ALL\b", "UNION"),
    (r"\bNOT EXISTS\b", "EXISTS"),
    (r", '\w+'(?=[,)])", ""),
    (r"(?<=\()'\w+', ", ""),
    (r"(?<=, )0(?=\))", "1"),
)
_NO_CONDITION: Final = re.compile(r"\bSET\b|^\s*\w+ = \w+\.\w+ [+-]")
"""A line whose sign of equality gives a value."""


def is_sql(text: str) -> bool:
    return bool(_STATEMENT.search(text))


def sql_alternatives(text: str) -> Iterator[str]:
    for pattern, new in _RULES:
        for found in re.finditer(pattern, text):
            if new == " <> " and _NO_CONDITION.search(_line_of(text, found.start())):
                continue
            yield text[: found.start()] + new + text[found.end() :]


def _line_of(text: str, place: int) -> str:
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0]
