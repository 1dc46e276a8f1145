"""Lists a page at a time: the URL names the last row seen, so that each page costs the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import F, Model, QuerySet
from django.db.models.fields.tuple_lookups import TupleGreaterThan, TupleLessThan
from django.http import HttpRequest

SIZE: Final = 50


@dataclass(frozen=True, slots=True)
class Page[M: Model]:
    """Some rows of a list. `after` is for the URL of the next page; empty on the last."""

    rows: Sequence[M]
    after: str
    is_first: bool


def page_of[M: Model](
    rows: QuerySet[M], *, unique: str, after: str, order: str = "", size: int | None = None
) -> Page[M]:
    """The `size` rows that follow the one whose `unique` is `after`, or the first ones.

    `order` is a column or an annotation without NULLs, with "-" for the largest first; `unique`
    breaks ties, the same way round. Both are compared as one tuple, so that an annotation is
    computed once. An `after` that is gone starts over.
    """
    size = size or SIZE
    order = order or unique
    column = order.removeprefix("-")
    way = order.removesuffix(column)
    seen = rows.filter(**{unique: after}).values_list(column, unique).first() if after else None
    if seen:
        beyond = TupleLessThan if way else TupleGreaterThan
        rows = rows.filter(beyond((F(column), F(unique)), seen))
    found = list(rows.order_by(order, way + unique)[: size + 1])
    last = str(getattr(found[size - 1], unique)) if len(found) > size else ""
    return Page(found[:size], after=last, is_first=seen is None)


def page_of_ranked[M: Model](
    rows: QuerySet[M], ranked: Sequence[str], *, unique: str, after: str, size: int | None = None
) -> Page[M]:
    """The rows whose `unique` follow `after` in `ranked`, in that order."""
    size = size or SIZE
    start = ranked.index(after) + 1 if after in ranked else 0
    places = {value: at for at, value in enumerate(ranked[start : start + size])}
    found = rows.filter(**{f"{unique}__in": places})
    last = ranked[start + size - 1] if len(ranked) > start + size else ""
    by_rank = sorted(found, key=lambda row: places[getattr(row, unique)])
    return Page(by_rank, after=last, is_first=start == 0)


def id_of(text: str) -> str:
    """`text` where it is an id, as the address of a page names a row; else empty."""
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def after_of(request: HttpRequest) -> str:
    """The id after which the address of a page goes on; empty at the first."""
    return id_of(request.GET.get("after", ""))
