"""What is left of revenue, by model, organization and month, when backends have been paid for.

Nobody counts by backend and model at once. So the hours in which a backend worked are shared by the
models deployed on it, by their tokens; a model on several backends is split by their requests. What
is shared by nobody, idle hours above all, is not assigned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import F, Sum
from django.db.models.functions import TruncMonth
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy

from billing.models import UsageDay, midnight
from console.charts import OTHER, SLOTS, Series, bars, color_slots
from console.currencies import in_order
from console.months import months_until, next_month
from inference.costs import BackendMonth, backend_months
from inference.models import Deployment, Model
from tenants.models import Organization

BY: Final = (
    ("model", gettext_lazy("By model")),
    ("organization", gettext_lazy("By organization")),
    ("month", gettext_lazy("By month")),
)
COSTED: Final = "EUR"
"""The currency of what backends cost. Nothing is converted: of others there is no margin."""
TOKENS_A_SECOND: Final = 25
"""Audio as work, beside tokens."""
_ZERO: Final = Decimal(0)
_WORK: Final = F("input_tokens") + F("output_tokens") + TOKENS_A_SECOND * F("audio_seconds")


class Used(NamedTuple):
    """What an organization used of a model in a month, in its currency."""

    organization: UUID
    model: str
    currency: str
    amount: Decimal
    work: int


@dataclass(frozen=True, slots=True)
class MarginLine:
    """`cost` is None where nobody said what the backends cost; `url` leads on."""

    label: str
    url: str
    revenue: Decimal
    cost: Decimal | None
    slot: int = 0

    @property
    def margin(self) -> Decimal | None:
        return None if self.cost is None else self.revenue - self.cost


class Margins:
    """A month in one currency. Five queries, however much was used."""

    def __init__(self, month: date, currency: str, now: datetime) -> None:
        self.month, self.currency, self.now = month, currency, now

    @cached_property
    def backends(self) -> list[BackendMonth]:
        return backend_months(self.month, self.month, self.now)

    @cached_property
    def unpriced(self) -> list[str]:
        """Backends that worked, and of which nobody said what they cost."""
        return [one.backend for one in self.backends if not one.is_priced]

    @cached_property
    def revenue(self) -> Decimal:
        return sum((one.amount for one in self._own), _ZERO)

    @cached_property
    def cost(self) -> Decimal | None:
        """Of all backends, by this currency's part of the work."""
        if not self._is_costed:
            return None
        work = sum(one.work for one in self._used)
        own = sum(one.work for one in self._own)
        return self._paid * own / work if work else self._paid

    @property
    def total(self) -> MarginLine:
        return MarginLine("", "", self.revenue, self.cost)

    @property
    def unassigned(self) -> Decimal | None:
        """What no line of the table has of the cost."""
        if self.cost is None:
            return None
        return self.cost - sum((line.cost or _ZERO for line in self.by_model), _ZERO)

    @property
    def idle_share(self) -> tuple[Decimal, Decimal]:
        """What idle hours cost, of what all did."""
        return sum((one.idle for one in self.backends), _ZERO), self._paid

    @property
    def per_million(self) -> Decimal | None:
        tokens = sum(one.tokens for one in self.backends)
        return 1_000_000 * self._paid / tokens if tokens and self._is_costed else None

    @cached_property
    def by_model(self) -> list[MarginLine]:
        sums = _sums(self._own, "model")
        order = sorted(sums, key=lambda model: (-sums[model][0], model))
        slots = color_slots(order[:SLOTS], _catalogue())
        return [
            MarginLine(
                model,
                reverse("operator_model", args=[model]),
                sums[model][0],
                self._cost_of(model, sums[model][1]),
                slots.get(model, OTHER),
            )
            for model in order
        ]

    @cached_property
    def by_organization(self) -> list[MarginLine]:
        sums = _sums(self._own, "organization")
        costs = defaultdict[UUID, Decimal](Decimal)
        for one in self._own:
            costs[one.organization] += self._cost_of(one.model, one.work) or _ZERO
        found = Organization.objects.in_bulk(sums)
        order = sorted(sums, key=lambda pk: (-sums[pk][0], found[pk].name))
        return [
            MarginLine(
                found[pk].name,
                reverse("operator_organization", args=[found[pk].slug]),
                sums[pk][0],
                costs[pk] if self._is_costed else None,
            )
            for pk in order
        ]

    def chart(self) -> dict[str, Any]:
        """Revenue of each day, by model."""
        days = _days(self.month)
        shown = [line for line in self.by_model[:SLOTS] if line.revenue]
        values: dict[str, list[Decimal]] = {line.label: [_ZERO] * len(days) for line in shown}
        rest = [_ZERO] * len(days)
        rows = _within(self.month).filter(currency=self.currency).values_list("day", "model")
        for day, model, amount in rows.annotate(sum=Sum("amount")).order_by():
            values.get(model, rest)[(day - self.month).days] += amount
        series = [Series(line.label, line.slot, values[line.label]) for line in shown]
        if any(rest):
            series.append(Series(str(gettext_lazy("Other")), OTHER, rest))
        step = timedelta(days=1)
        return bars([midnight(day) for day in days], series, step=step, unit="money")

    @property
    def _is_costed(self) -> bool:
        return self.currency == COSTED and any(one.is_priced for one in self.backends)

    @cached_property
    def _paid(self) -> Decimal:
        return sum((one.cost for one in self.backends), _ZERO)

    @cached_property
    def _used(self) -> list[Used]:
        rows = _within(self.month).values_list("organization", "model", "currency")
        summed = rows.annotate(sum=Sum("amount"), work=Sum(_WORK)).order_by()
        return [Used(pk, model, currency, *sums) for pk, model, currency, *sums in summed]

    @property
    def _own(self) -> list[Used]:
        return [one for one in self._used if one.currency == self.currency]

    @cached_property
    def _shared(self) -> dict[str, Decimal]:
        """What each model has of the hours in which backends worked, per unit of its work."""
        work = {model: sums[1] for model, sums in _sums(self._used, "model").items()}
        costs = costs_shared(self.backends, work, self._places)
        return {model: cost / work[model] for model, cost in costs.items() if work[model]}

    @cached_property
    def _unknown(self) -> set[str]:
        """Models on backends of which nobody said what they cost."""
        return {model for backend, model in self._places if backend in self.unpriced}

    @cached_property
    def _places(self) -> Sequence[tuple[str, str]]:
        return list(Deployment.objects.values_list("backend__name", "model__public_id"))

    def _cost_of(self, model: str, work: int) -> Decimal | None:
        if not self._is_costed or model in self._unknown:
            return None
        return self._shared.get(model, _ZERO) * work


def costs_shared(
    backends: Iterable[BackendMonth],
    work: Mapping[str, int],
    places: Iterable[tuple[str, str]],
) -> dict[str, Decimal]:
    """EUR of each model, of the hours in which backends worked. `places` are (backend, model)."""
    known = {one.backend: one for one in backends}
    served = defaultdict[str, list[BackendMonth]](list)
    for backend, model in places:
        if backend in known and work.get(model):
            served[model].append(known[backend])
    parts = defaultdict[str, dict[str, Decimal]](dict)
    for model, on in served.items():
        asked = sum(one.requests for one in on)
        for one in on:
            share = Decimal(one.requests) / asked if asked else Decimal(1) / len(on)
            parts[one.backend][model] = work[model] * share
    costs = defaultdict[str, Decimal](Decimal)
    for backend, models in parts.items():
        whole = sum(models.values())
        for model, part in models.items():
            if whole:
                costs[model] += known[backend].busy * part / whole
    return dict(costs)


def month_lines(last: date, currency: str, now: datetime) -> list[MarginLine]:
    """The twelve months up to that of `last`, the newest first, each with all that it cost."""
    first = months_until(last)[-1]
    rows = UsageDay.objects.filter(day__gte=first, day__lt=next_month(last))
    by_month = rows.annotate(month=TruncMonth("day")).values_list("month", "currency")
    revenue, work, own = defaultdict[date, Decimal](Decimal), defaultdict[date, int](int), {}
    for month, of, amount, done in by_month.annotate(s=Sum("amount"), w=Sum(_WORK)).order_by():
        work[month] += done
        if of == currency:
            revenue[month], own[month] = amount, done
    costs = defaultdict[date, Decimal](Decimal)
    for one in backend_months(first, last, now) if currency == COSTED else ():
        if one.is_priced:
            share = Decimal(own.get(one.month, 0)) / work[one.month] if work[one.month] else 1
            costs[one.month] += one.cost * share
    return [
        MarginLine(date_format(month, "F Y"), f"?month={month:%Y-%m}", revenue[month],
                   costs.get(month))
        for month in months_until(last)
    ]  # fmt: skip


def months_so_far(now: datetime) -> list[MarginLine]:
    """The month that runs, a line for each currency, EUR first. Three queries."""
    month = now.astimezone(UTC).date().replace(day=1)
    rows = _within(month).order_by().values_list("currency")
    sums = {one: found for one, *found in rows.annotate(Sum("amount"), w=Sum(_WORK))}
    work = sum(done for _amount, done in sums.values())
    priced = [one.cost for one in backend_months(month, month, now) if one.is_priced]
    lines = []
    for currency in in_order({COSTED, *sums}):
        amount, own = sums.get(currency, (_ZERO, 0))
        cost = sum(priced, _ZERO) * own / work if work else sum(priced, _ZERO)
        is_known = bool(priced) and currency == COSTED
        lines.append(MarginLine(currency, "", amount, cost if is_known else None))
    return lines


def _within(month: date) -> Any:
    return UsageDay.objects.filter(day__gte=month, day__lt=next_month(month))


def _days(month: date) -> list[date]:
    return [month + timedelta(days=at) for at in range((next_month(month) - month).days)]


def _sums(used: Iterable[Used], group: str) -> dict[Any, tuple[Decimal, int]]:
    """Amount and work by model or organization."""
    sums: dict[Any, tuple[Decimal, int]] = {}
    for one in used:
        amount, work = sums.get(getattr(one, group), (_ZERO, 0))
        sums[getattr(one, group)] = (amount + one.amount, work + one.work)
    return sums


def _catalogue() -> list[str]:
    return list(Model.objects.order_by("created_at", "id").values_list("public_id", flat=True))
