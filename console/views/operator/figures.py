"""Traffic and money on the operator's pages, from rollups and live figures, never from events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final

from django.db.models import Count, Sum
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from billing.models import UsageDay, UsageHour, midnight
from console.charts import OTHER, SLOTS, Series, bars, color_slots
from console.currencies import DEFAULT, currencies_used, in_order
from console.reports import money_places
from inference.live import Minute, minutes_read, ttft_quantile
from inference.models import Model
from tenants.models import Organization, TenantQuerySet

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Range:
    """A span of time up to now, in bars of `step`; its name is in the URL."""

    name: str
    label: Promise
    length: timedelta
    step: timedelta
    per: Promise

    def start(self, now: datetime) -> datetime:
        """Where the first bar begins; the last one is still running."""
        return floor(now, self.step) - self.length + self.step

    def moments(self, now: datetime) -> list[datetime]:
        return [self.start(now) + at * self.step for at in range(self.length // self.step)]


RANGES: Final = {
    one.name: one
    for one in (
        Range("1h", gettext_lazy("1 h"), HOUR, MINUTE, pgettext_lazy("chart", "per minute")),
        Range("24h", gettext_lazy("24 h"), DAY, HOUR, pgettext_lazy("chart", "per hour")),
        Range("7d", gettext_lazy("7 d"), 7 * DAY, 6 * HOUR, pgettext_lazy("chart", "per 6 h")),
        Range("30d", gettext_lazy("30 d"), 30 * DAY, DAY, pgettext_lazy("chart", "per day")),
    )
}


def chosen_range(query: Mapping[str, str]) -> Range:
    """The range that the URL names, else 24 hours."""
    return RANGES.get(query.get("range", ""), RANGES["24h"])


def floor(moment: datetime, step: timedelta) -> datetime:
    return EPOCH + (moment - EPOCH) // step * step


# Requests over time


@dataclass(frozen=True, slots=True)
class Part:
    """A row of the breakdown, and a part of each bar."""

    label: str
    slot: int
    counts: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Requests over time by `parts`, largest first: for a chart, its legend and its table twin."""

    moments: Sequence[datetime]
    parts: Sequence[Part]
    step: timedelta

    @property
    def total(self) -> int:
        return sum(part.total for part in self.parts)

    @property
    def chart(self) -> dict[str, Any]:
        series = [Series(part.label, part.slot, part.counts) for part in self.parts]
        return bars(self.moments, series or [self._nothing()], step=self.step)

    @property
    def rows(self) -> list[tuple[datetime, tuple[int, ...]]]:
        """Newest first: a moment and the count of each part."""
        columns = [part.counts for part in self.parts]
        rows = zip(self.moments, zip(*columns, strict=True), strict=True) if columns else ()
        return list(rows)[::-1]

    def _nothing(self) -> Series:
        return Series(_("No requests"), OTHER, [0] * len(self.moments))


def requests_by_outcome(now: datetime) -> Breakdown:
    """The last hour by minute, as the gateways count live."""
    minutes = minutes_read(60, until=now)
    parts = (
        Part(_("Answered"), 1, [m.requests - m.errors - m.refused for m in minutes]),
        Part(_("Refused (4xx)"), OTHER, [m.refused for m in minutes]),
        Part(_("Failed (5xx)"), 3, [m.errors for m in minutes]),
    )
    return Breakdown([m.start for m in minutes], [p for p in parts if p.total], MINUTE)


def requests_by_model(
    chosen: Range, now: datetime, organization: Organization | None = None
) -> Breakdown:
    """Requests in `chosen` by model; the smallest past the fifth are one part, "other"."""
    moments = chosen.moments(now)
    counts = _counts_by_model(chosen, now, organization)
    names = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    slots = color_slots(names[:SLOTS], _catalogue())

    def part(label: str, slot: int, models: Sequence[str]) -> Part:
        return Part(label, slot, [sum(counts[m].get(at, 0) for m in models) for at in moments])

    parts = [part(name, slots[name], [name]) for name in names[:SLOTS]]
    if rest := names[SLOTS:]:
        parts.append(part(_("Other"), OTHER, rest))
    return Breakdown(moments, parts, chosen.step)


def _counts_by_model(
    chosen: Range, now: datetime, organization: Organization | None
) -> dict[str, dict[datetime, int]]:
    is_by_day = chosen.step == DAY
    rows = _rollup(chosen.start(now), now, is_by_day=is_by_day)
    if organization:
        rows = rows.for_organization(organization)
    at = "day" if is_by_day else "hour"
    counts: defaultdict[str, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    for model, moment, count in rows.values_list("model", at).annotate(Sum("requests")).order_by():
        begun = midnight(moment) if is_by_day else floor(moment, chosen.step)
        counts[model][begun] += count
    return counts


def _rollup(start: datetime, now: datetime, *, is_by_day: bool) -> TenantQuerySet[Any]:
    """All usage since `start`, which is a midnight if it is asked by day."""
    if is_by_day:
        return UsageDay.objects.within(start.date(), now.date())
    return UsageHour.objects.between(start, now)


def _catalogue() -> list[str]:
    """All models in the order that gives each its colour."""
    return list(Model.objects.order_by("created_at", "id").values_list("public_id", flat=True))


# Who and how much


@dataclass(frozen=True, slots=True)
class Spender:
    """What an organization used, in its currency."""

    name: str
    slug: str
    requests: int
    tokens: int
    currency: str
    amount: Decimal


def organizations_top(start: datetime, now: datetime, limit: int = 5) -> list[Spender]:
    """Those that spent most of each currency: EUR first, and the most first."""
    rows = _rollup(start, now, is_by_day=start == floor(start, DAY))
    sums = rows.values_list("organization", "currency").annotate(
        sum_requests=Sum("requests"),
        sum_tokens=Sum("input_tokens") + Sum("output_tokens"),
        sum_amount=Sum("amount"),
    ).order_by("-sum_amount", "-sum_requests", "organization")  # fmt: skip
    found = [
        one for currency in currencies_used() for one in sums.filter(currency=currency)[:limit]
    ]
    names = Organization.objects.in_bulk([pk for pk, *_sums in found])
    return [
        Spender(names[pk].name, names[pk].slug, requests, tokens, currency, amount)
        for pk, currency, requests, tokens, amount in found
    ]


@dataclass(frozen=True, slots=True)
class Revenue:
    """In one currency, since midnight (UTC) and the day before, and its growth by the hour."""

    currency: str
    amount: Decimal
    yesterday: Decimal
    growth: Sequence[Decimal]

    @property
    def places(self) -> int:
        """Decimals of the amounts: cents, unless all of it is too little for them."""
        return money_places(max(self.amount, self.yesterday))


@dataclass(frozen=True, slots=True)
class Today:
    """Revenue of each currency, EUR first, and who was active in 24 h."""

    revenues: Sequence[Revenue]
    active: int
    organizations: int


def today_read(now: datetime) -> Today:
    active = UsageHour.objects.between(now - DAY, now).aggregate(
        count=Count("organization", distinct=True)
    )
    return Today(_revenues(now), active["count"], Organization.objects.count())


def _revenues(now: datetime) -> list[Revenue]:
    midnight = floor(now, DAY)
    rows = UsageHour.objects.between(midnight - DAY, now).values_list("currency", "hour")
    amounts = defaultdict[str, dict[datetime, Decimal]](dict, {DEFAULT: {}})
    for currency, hour, amount in rows.annotate(Sum("amount")).order_by():
        amounts[currency][hour] = amount
    hours = [midnight + at * HOUR for at in range((now - midnight) // HOUR + 1)]
    return [_revenue(one, amounts[one], hours) for one in in_order(amounts)]


def _revenue(
    currency: str, amounts: Mapping[datetime, Decimal], hours: Sequence[datetime]
) -> Revenue:
    growth = list(accumulate(amounts.get(hour, Decimal(0)) for hour in hours))
    before = sum((amount for hour, amount in amounts.items() if hour < hours[0]), Decimal(0))
    return Revenue(currency, growth[-1], before, growth)


# Live


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last hour of all gateways. Rates are per minute; lines hold a value a whole minute."""

    requests: int
    requests_line: Sequence[int]
    input_tokens: int
    output_tokens: int
    tokens_line: Sequence[int]
    hour_requests: int
    hour_errors: int
    hour_refused: int
    errors_line: Sequence[int]
    ttft_p50_ms: int | None
    ttft_p95_ms: int | None
    ttft_line: Sequence[int]

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def pulse_read(now: datetime) -> Pulse:
    minutes = minutes_read(61, until=now)
    whole = minutes[:-1]
    waits = [ttft_quantile([minute], 0.95) for minute in whole]
    return Pulse(
        requests=_per_minute(minutes, now, lambda m: m.requests),
        requests_line=[m.requests for m in whole],
        input_tokens=_per_minute(minutes, now, lambda m: m.input_tokens),
        output_tokens=_per_minute(minutes, now, lambda m: m.output_tokens),
        tokens_line=[m.input_tokens + m.output_tokens for m in whole],
        hour_requests=sum(m.requests for m in minutes),
        hour_errors=sum(m.errors for m in minutes),
        hour_refused=sum(m.refused for m in minutes),
        errors_line=[m.errors for m in whole],
        ttft_p50_ms=ttft_quantile(minutes, 0.5),
        ttft_p95_ms=ttft_quantile(minutes, 0.95),
        ttft_line=[wait for wait in waits if wait is not None],
    )


def _per_minute(minutes: Sequence[Minute], now: datetime, count: Callable[[Minute], int]) -> int:
    """The last 60 seconds: the running minute, and the share of the one before that they cover."""
    covered = 1 - (now - floor(now, MINUTE)) / MINUTE
    return round(count(minutes[-1]) + covered * count(minutes[-2]))
