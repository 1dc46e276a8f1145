"""The request log: what is asked of it, and one page of it.

A page costs the same however many requests there are: it starts at a place in the index, and a
filter looks at most at `SCAN` requests before the page says how far it looked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self, override
from uuid import UUID

from django.db.models import F, QuerySet
from django.db.models.fields.tuple_lookups import (
    TupleGreaterThan,
    TupleGreaterThanOrEqual,
    TupleLessThan,
    TupleLessThanOrEqual,
)

from billing.models import FAILED, UsageEvent, UsageHourQuerySet

type Way = Literal["older", "newer"]

SIZE: Final = 50
SCAN: Final = 2_000
"""The most requests that a page of a filtered log looks at."""
HOUR: Final = timedelta(hours=1)
_AT: Final = (F("occurred_at"), F("request_id"))
_ORDERS: Final[Mapping[Way, tuple[str, str]]] = {
    "older": ("-occurred_at", "-request_id"),
    "newer": ("occurred_at", "request_id"),
}
_BEYOND: Final = {"older": TupleLessThan, "newer": TupleGreaterThan}
_WITHIN: Final = {"older": TupleGreaterThanOrEqual, "newer": TupleLessThanOrEqual}
_BEFORE: Final = {"older": "occurred_at__lte", "newer": "occurred_at__gte"}
_AFTER: Final = {"older": "occurred_at__gte", "newer": "occurred_at__lte"}
"""Said again of the time alone, PostgreSQL leaves out the months that cannot match."""
_ROLLED_UP: Final = ("model", "api_key", "project")


@dataclass(frozen=True, slots=True)
class Place:
    """A request's place in the log, as the address of a page holds it."""

    occurred_at: datetime
    request_id: UUID

    @property
    def key(self) -> tuple[datetime, UUID]:
        return self.occurred_at, self.request_id

    @override
    def __str__(self) -> str:
        return f"{self.occurred_at.isoformat()}~{self.request_id}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for what is no place."""
        moment, _, id_ = text.partition("~")
        try:
            place = cls(datetime.fromisoformat(moment), UUID(id_))
        except ValueError:
            return None
        return place if place.occurred_at.tzinfo else None


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests that ended in [`start`, `end`), with `matching` values of their fields."""

    start: datetime
    end: datetime
    matching: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some requests, newest first.

    `older` and `newer` are for the address of the next pages. `looked_to` is how far it looked,
    where that is less than asked for.
    """

    events: Sequence[UsageEvent]
    older: Place | None
    newer: Place | None
    looked_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class RequestLog:
    """The requests of one organization with its `hours`, or of all, where these are None."""

    events: QuerySet[UsageEvent]
    hours: UsageHourQuerySet | None

    def page(
        self, asked: Asked, at: Place | None = None, way: Way = "older", size: int = SIZE
    ) -> LogPage:
        """The `size` requests next to `at`, or the newest. Four queries at most."""
        found, edge = self._look(asked, at, way, size)
        has_reached_the_top = way == "newer" and edge is None and len(found) <= size
        if has_reached_the_top and at:
            return self.page(asked, size=size)
        onward = _place(found[size - 1]) if len(found) > size else edge
        back = _place(found[0]) if found and at else None
        looked_to = edge.occurred_at if edge else None
        if way == "newer":
            return LogPage(found[:size][::-1], older=back, newer=onward, looked_to=looked_to)
        return LogPage(found[:size], older=onward, newer=back, looked_to=looked_to)

    def _look(
        self, asked: Asked, at: Place | None, way: Way, size: int
    ) -> tuple[list[UsageEvent], Place | None]:
        """One more than `size` that match, and where the look ended, if not with all."""
        asked = self._narrowed(asked, at, way)
        ahead = self.events.filter(occurred_at__gte=asked.start, occurred_at__lt=asked.end)
        if at:
            ahead = ahead.filter(_BEYOND[way](_AT, at.key), **{_BEFORE[way]: at.occurred_at})
        ahead = ahead.order_by(*_ORDERS[way])
        is_quick = not asked.matching or "client_request_id" in asked.matching
        edge = None if is_quick else _edge(ahead)
        if edge:
            until = {_AFTER[way]: edge.occurred_at}
            ahead = ahead.filter(_WITHIN[way](_AT, edge.key), **until)
        found = list(ahead.filter(**asked.matching)[: size + 1])
        return found, edge if len(found) <= size else None

    def _narrowed(self, asked: Asked, at: Place | None, way: Way) -> Asked:
        """Without the hours before the first match, as the rollup knows them."""
        matching = _in_rollup(asked.matching)
        if self.hours is None or not matching:
            return asked
        start, end = asked.start, asked.end
        if at:
            start, end = (start, at.occurred_at) if way == "older" else (at.occurred_at, end)
        hours = self.hours.filter(hour__gt=start - HOUR, hour__lte=end, **matching)
        nearest = hours.order_by("-hour" if way == "older" else "hour")
        hour = nearest.values_list("hour", flat=True).first()
        if hour is None:
            return Asked(asked.end, asked.end, asked.matching)
        if way == "older":
            return Asked(asked.start, min(asked.end, hour + HOUR), asked.matching)
        return Asked(max(asked.start, hour), asked.end, asked.matching)


def _in_rollup(matching: Mapping[str, Any]) -> dict[str, Any]:
    """What of `matching` the hours know, too."""
    known = {name: value for name, value in matching.items() if name in _ROLLED_UP}
    if matching.get("outcome") in FAILED:
        known["failed_requests__gt"] = 0
    return known


def _edge(ahead: QuerySet[UsageEvent]) -> Place | None:
    """The last of the `SCAN` next requests; None where there are no more than these."""
    places = ahead.values_list("occurred_at", "request_id")[SCAN - 1 : SCAN + 1]
    found = [Place(*place) for place in places]
    return found[0] if len(found) > 1 else None


def _place(event: UsageEvent) -> Place:
    return Place(event.occurred_at, event.request_id)
