"""One way to page through every list: by the id of the object before, or after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db.models import Model, QuerySet
from msgspec import Meta, Struct

from console.api.reading import Asked

Limit = Annotated[int, Meta(ge=1, le=100)]
RowNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Paged(Asked, kw_only=True):
    """`after` and `before` are ids of objects of the list; newest first unless told."""

    limit: Limit = 20
    after: UUID | None = None
    before: UUID | None = None
    order: Literal["asc", "desc"] = "desc"


class PagedByNumber(Asked, kw_only=True):
    """As `Paged`, of objects whose ids are numbers."""

    limit: Limit = 20
    after: RowNumber | None = None
    before: RowNumber | None = None
    order: Literal["asc", "desc"] = "desc"


class Page[S: Struct](Struct, kw_only=True):
    """`last_id` is the `after` of the next page, `first_id` the `before` of the one before."""

    object: Literal["list"] = "list"
    data: list[S]
    first_id: str | None
    last_id: str | None
    has_more: bool


def rows_of[M: Model](
    found: QuerySet[M], asked: Paged | PagedByNumber, field: str = "pk"
) -> tuple[list[M], bool]:
    """The rows of a page by place in the index, and whether there are more beyond."""
    falls = asked.order == "desc"
    for cursor, beyond in ((asked.after, falls), (asked.before, not falls)):
        if cursor is not None:
            found = found.filter(**{f"{field}__{'lt' if beyond else 'gt'}": cursor})
    turned = asked.before is not None and asked.after is None
    rows = list(found.order_by(f"{'-' if falls != turned else ''}{field}")[: asked.limit + 1])
    shown = rows[: asked.limit]
    return shown[::-1] if turned else shown, len(rows) > asked.limit


def page_of[M: Model, S: Struct](
    found: QuerySet[M],
    asked: Paged | PagedByNumber,
    show: Callable[[M], S],
    field: str = "pk",
) -> Page[S]:
    rows, has_more = rows_of(found, asked, field)
    return page_made([show(row) for row in rows], has_more=has_more)


def page_made[S: Struct](shown: Sequence[S], *, has_more: bool) -> Page[S]:
    ids: list[Any] = [getattr(one, "id", None) for one in shown]
    return Page(
        data=list(shown),
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
        has_more=has_more,
    )
