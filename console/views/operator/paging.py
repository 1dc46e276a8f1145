"""Lists a page at a time: the URL names the last row seen, so that each page costs the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Model, Q, QuerySet

SIZE: Final = 50


@dataclass(frozen=True, slots=True)
class Page[M: Model]:
    """Some rows of a list. `after` is for the URL of the next page; empty on the last."""

    rows: Sequence[M]
    after: str
    is_first: bool


def page_of[M: Model](
    rows: QuerySet[M], *, unique: str, after: str, order: str = "", size: int = SIZE
) -> Page[M]:
    """The `size` rows that follow the one whose `unique` is `after`, or the first ones.

    `order` is a column or an annotation without NULLs, with "-" for the largest first; `unique`
    breaks ties. An `after` that is gone starts over.
    """
    order = order or unique
    column = order.removeprefix("-")
    seen = rows.filter(**{unique: after}).values_list(column, unique).first() if after else None
    if seen:
        beyond = "lt" if order.startswith("-") else "gt"
        tie = Q(**{column: seen[0], f"{unique}__gt": seen[1]})
        rows = rows.filter(Q(**{f"{column}__{beyond}": seen[0]}) | tie)
    found = list(rows.order_by(order, unique)[: size + 1])
    last = str(getattr(found[size - 1], unique)) if len(found) > size else ""
    return Page(found[:size], after=last, is_first=seen is None)
