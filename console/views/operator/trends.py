"""How one backend did lately: six lines with their current figures, and the table of the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from billing.written import THIN
from console.templatetags.charts import round_top
from console.templatetags.ui import NONE, number, percent_of
from console.views.operator.figures import HOUR, MINUTE, Range, floor
from inference.live import (
    BackendLive,
    BackendMinute,
    LoadSeen,
    backend_minutes_read,
    ttft_quantile,
)

RANGES: Final = {
    one.name: one
    for one in (
        Range("1h", gettext_lazy("1 h"), HOUR, MINUTE, pgettext_lazy("chart", "per minute")),
        Range("6h", gettext_lazy("6 h"), 6 * HOUR, 5 * MINUTE, pgettext_lazy("chart", "per 5 min")),
        Range("24h", gettext_lazy("24 h"), 24 * HOUR, 20 * MINUTE,
              pgettext_lazy("chart", "per 20 min")),
    )
}  # fmt: skip
RECENT: Final = timedelta(minutes=5)
"""Rates are of this long up to now: shorter is noise, longer is no news."""

type Bucket = Sequence[BackendMinute]
type Format = Callable[[float | None], str]


def chosen_range(query: Mapping[str, str]) -> Range:
    """The range that the URL names, else one hour."""
    return RANGES.get(query.get("range", ""), RANGES["1h"])


@dataclass(frozen=True, slots=True)
class Trend:
    """A value for each step of the range, None where it is not known. `note` says of what it is."""

    label: str
    current: float | None
    note: str
    values: Sequence[float | None]
    form: Format
    most: float | None = None
    color: str = "c1"

    @property
    def top(self) -> float:
        """Of the scale: the most there can be, else a round number above all values."""
        return self.most or round_top(self.values)

    @property
    def scale(self) -> str:
        return self.form(self.top if any(v is not None for v in self.values) else None)

    @property
    def figure(self) -> str:
        return self.form(self.current)

    @property
    def sentence(self) -> str:
        words = {"label": self.label, "figure": self.figure}
        return _("%(label)s over time, now %(figure)s. The table has the same numbers.") % words


@dataclass(frozen=True, slots=True)
class Trends:
    range: Range
    moments: Sequence[datetime]
    trends: Sequence[Trend]

    @property
    def rows(self) -> list[tuple[datetime, list[str]]]:
        """Newest first: when a step began, and each figure of it as text."""
        columns = zip(*(map(trend.form, trend.values) for trend in self.trends), strict=True)
        return list(zip(self.moments, map(list, columns), strict=True))[::-1]


def trends_read(backend_id: UUID, chosen: Range, now: datetime, live: BackendLive) -> Trends:
    """`live` says what some of it is right now."""
    moments = chosen.moments(now)
    count = (floor(now, MINUTE) - moments[0]) // MINUTE + 1
    minutes = backend_minutes_read(backend_id, count, until=now)
    return Trends(chosen, moments, trends_of(minutes, chosen, now, live))


def trends_of(
    minutes: Sequence[BackendMinute], chosen: Range, now: datetime, live: BackendLive
) -> list[Trend]:
    buckets = _buckets(minutes, chosen, now)
    recent = [minute for minute in minutes if minute.start > now - RECENT]
    load = live.load
    return [
        Trend(_("In flight"), live.in_flight, _("now, of all gateways"),
              [_most(b, lambda m: m.in_flight) for b in buckets], number),
        Trend(_("Waiting at the engine"), load.waiting if load else None, _engine_note(load),
              [_most(b, lambda m: m.waiting) for b in buckets], number),
        Trend(_("KV cache in use"), _percent(load.kv_use) if load else None, _engine_note(load),
              [_percent(_most(b, lambda m: m.kv_use)) for b in buckets], _as_percent, most=100),
        Trend(_("Prefix cache hits"), _hits(recent), _("last 5 min"),
              [_hits(b) for b in buckets], _as_percent, most=100),
        Trend(_("Errors"), _errors(recent), _errors_note(recent),
              [_errors(b) for b in buckets], _as_percent, color="bad"),
        Trend(_("First token, p95"), ttft_quantile(recent, 0.95), _("last 5 min"),
              [ttft_quantile(b, 0.95) for b in buckets], _as_ms),
    ]  # fmt: skip


def _buckets(minutes: Sequence[BackendMinute], chosen: Range, now: datetime) -> list[Bucket]:
    found: defaultdict[datetime, list[BackendMinute]] = defaultdict(list)
    for minute in minutes:
        found[floor(minute.start, chosen.step)].append(minute)
    return [found[moment] for moment in chosen.moments(now)]


def _most(bucket: Bucket, value: Callable[[BackendMinute], float | None]) -> float | None:
    return max((seen for minute in bucket if (seen := value(minute)) is not None), default=None)


def _hits(bucket: Bucket) -> float | None:
    queries = sum(minute.prefix_queries or 0 for minute in bucket)
    return 100 * sum(minute.prefix_hits or 0 for minute in bucket) / queries if queries else None


def _errors(bucket: Bucket) -> float | None:
    requests = sum(minute.requests for minute in bucket)
    return 100 * sum(minute.errors for minute in bucket) / requests if requests else None


def _errors_note(recent: Bucket) -> str:
    words = {
        "errors": number(sum(minute.errors for minute in recent)),
        "requests": number(sum(minute.requests for minute in recent)),
    }
    return _("%(errors)s of %(requests)s, last 5 min") % words


def _engine_note(load: LoadSeen | None) -> str:
    return _("as the engine says") if load else _("the engine tells nothing")


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _as_percent(value: float | None) -> str:
    return NONE if value is None else percent_of(value, 100)


def _as_ms(value: float | None) -> str:
    return NONE if value is None else f"{number(value)}{THIN}ms"
