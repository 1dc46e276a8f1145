"""The usage page as rows: one set of sums for the tiles, the chart, its table and the export."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any, Final

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import UsageDay, UsageHour
from billing.usage import UsageRow, UsageSums
from console.charts import OTHER, SLOTS, Series, Unit, bars, color_slots
from console.forms import GROUPS, Days, Group, Measure
from inference.models import Model
from tenants.models import ApiKey, KeyKind, Organization, Project

type Amount = int | Decimal


@dataclass(frozen=True, slots=True)
class GroupLine:
    """One line of the breakdown. `value` is what is measured; `cost` is rounded to add up."""

    id: str
    label: str
    note: str
    slot: int
    sums: UsageSums
    value: Amount
    cost: Decimal


@dataclass(frozen=True, slots=True)
class TimeLine:
    """One line of the table under the chart: a value for each series, and their total."""

    moment: datetime
    values: Sequence[Amount]
    total: Amount


class UsageReport:
    """The usage of one organization over `days`, by group.

    Everything on the page comes from `rows`, so that what it shows in several places agrees.
    """

    def __init__(
        self, organization: Organization, days: Days, group: Group, measure: Measure = "cost"
    ) -> None:
        self.organization, self.days, self.group, self.measure = organization, days, group, measure
        self.rows = _rows(organization, days, group)

    @cached_property
    def totals(self) -> UsageSums:
        return sum((row.sums for row in self.rows), UsageSums())

    @cached_property
    def places(self) -> int:
        """Decimals of amounts: cents, unless all of it is too little for them to say anything."""
        return money_places(self.totals.amount)

    @cached_property
    def names(self) -> dict[str, tuple[str, str]]:
        """The name of each group, and a note that tells two of the same name apart."""
        return group_names(self.organization, self.group)

    @cached_property
    def lines(self) -> list[GroupLine]:
        """The breakdown, the most first."""
        sums = self._sums_by_group()
        order = sorted(sums, key=lambda group: (-self._value(sums[group]), group))
        costs = apportion([sums[group].amount for group in order], self.places)
        slots = color_slots(order[:SLOTS], list(self.names))
        return [
            GroupLine(
                group,
                *self.names.get(group, (group, "")),
                slots.get(group, OTHER),
                sums[group],
                self._value(sums[group]),
                cost,
            )
            for group, cost in zip(order, costs, strict=True)
        ]

    @property
    def has_audio(self) -> bool:
        """Whether anything was billed by the second."""
        return bool(self.totals.audio_seconds)

    @property
    def a_day(self) -> Decimal:
        return self.totals.amount / self.days.count

    @property
    def total_value(self) -> Amount:
        return self._value(self.totals)

    @cached_property
    def series(self) -> list[Series]:
        """The groups that have a colour of their own, the most first, and the rest as one."""
        moments = self.days.moments()
        shown = self.lines[:SLOTS] if len(self.lines) > SLOTS + 1 else self.lines
        own = {line.id: at for at, line in enumerate(shown)}
        found: list[defaultdict[datetime, Amount]] = [
            defaultdict(int) for _line in range(len(shown) + 1)
        ]
        for row in self.rows:
            found[own.get(row.group, -1)][row.moment] += self._value(row.sums)
        labels = [(line.label, line.slot) for line in shown]
        if len(shown) < len(self.lines):
            labels.append((_("Other"), OTHER))
        return [
            Series(label, slot, [values[moment] for moment in moments])
            for (label, slot), values in zip(labels, found, strict=False)
        ]

    def daily(self) -> list[UsageSums]:
        """The sums of each day, or hour, over all groups."""
        sums: defaultdict[datetime, UsageSums] = defaultdict(UsageSums)
        for row in self.rows:
            sums[row.moment] += row.sums
        return [sums[moment] for moment in self.days.moments()]

    def chart(self) -> dict[str, Any]:
        unit: Unit = "money" if self.measure == "cost" else "count"
        return bars(self.days.moments(), self.series, step=self.days.step, unit=unit)

    def timeline(self) -> list[TimeLine]:
        """The chart's numbers, the latest first, without what is still to come."""
        columns = [one.values for one in self.series]
        lines = [
            TimeLine(moment, *self._across([column[at] or 0 for column in columns]))
            for at, moment in enumerate(self.days.moments())
            if moment <= timezone.now()
        ]
        return lines[::-1]

    @property
    def title(self) -> str:
        return str(_TITLES[self.measure][self.days.by_hour])

    @property
    def share_title(self) -> str:
        return str(_SHARES[self.measure])

    @property
    def group_title(self) -> str:
        return str(dict(GROUPS)[self.group])

    @property
    def group_label(self) -> str:
        return str(_LABELS[self.group])

    @property
    def chart_label(self) -> str:
        """What the chart shows, as a sentence for those who do not see it."""
        return _(
            "%(title)s, stacked, %(group)s, %(first)s to %(last)s. The table below has it."
        ) % {
            "title": self.title,
            "group": self.group_title.lower(),
            "first": date_format(self.days.first, "j F Y"),
            "last": date_format(self.days.last, "j F Y"),
        }

    def _across(self, values: Sequence[Any]) -> tuple[Sequence[Amount], Amount]:
        if self.measure != "cost":
            return values, sum(values)
        rounded = apportion([Decimal(value) for value in values], self.places)
        return rounded, sum(rounded, Decimal(0))

    def _sums_by_group(self) -> dict[str, UsageSums]:
        sums: defaultdict[str, UsageSums] = defaultdict(UsageSums)
        for row in self.rows:
            sums[row.group] += row.sums
        return sums

    def _value(self, sums: UsageSums) -> Amount:
        if self.measure == "cost":
            return sums.amount
        return sums.tokens if self.measure == "tokens" else sums.requests


def _rows(organization: Organization, days: Days, group: Group) -> list[UsageRow]:
    if days.by_hour:
        hours = UsageHour.objects.for_organization(organization)
        return hours.between(days.start, days.end).over_time(group)
    whole = UsageDay.objects.for_organization(organization)
    return whole.within(days.first, days.last).over_time(group)


_TITLES: Final = {
    "cost": (gettext_lazy("Cost per day"), gettext_lazy("Cost per hour")),
    "tokens": (gettext_lazy("Tokens per day"), gettext_lazy("Tokens per hour")),
    "requests": (gettext_lazy("Requests per day"), gettext_lazy("Requests per hour")),
}
_SHARES: Final = {
    "cost": gettext_lazy("Share of cost"),
    "tokens": gettext_lazy("Share of tokens"),
    "requests": gettext_lazy("Share of requests"),
}
_LABELS: Final = {
    "model": gettext_lazy("Model"),
    "api_key": gettext_lazy("API key"),
    "project": gettext_lazy("Project"),
}
_PLACES: Final = ((Decimal(1), 2), (Decimal("1e-3"), 6), (Decimal("1e-6"), 9))


def money_places(total: Decimal) -> int:
    """How many decimals a page shows of amounts that add up to `total`: 2, 6, 9 or all 12."""
    if not total:
        return 2
    return next((places for least, places in _PLACES if total >= least), 12)


def apportion(amounts: Sequence[Decimal], places: int) -> list[Decimal]:
    """Round `amounts` so that they add up to their rounded sum.

    All are rounded down; what is missing goes, unit by unit, to those that lost most.
    """
    unit = Decimal(1).scaleb(-places)
    rounded = [amount.quantize(unit, ROUND_FLOOR) for amount in amounts]
    whole = sum(amounts, Decimal(0)).quantize(unit, ROUND_HALF_UP)
    missing = int((whole - sum(rounded, Decimal(0))) / unit)
    by_loss = sorted(range(len(amounts)), key=lambda at: rounded[at] - amounts[at])
    for at in by_loss[:missing]:
        rounded[at] += unit
    return rounded


def group_names(organization: Organization, group: Group) -> dict[str, tuple[str, str]]:
    """Name and note of all that usage can be grouped by, in the order in which they came to be."""
    if group == "model":
        models = Model.objects.order_by("created_at", "id")
        return {model: (model, "") for model in models.values_list("public_id", flat=True)}
    if group == "project":
        projects = Project.objects.for_organization(organization).order_by("created_at", "id")
        return _named((project.id, project.name, "") for project in projects)
    keys = ApiKey.objects.for_organization(organization).order_by("created_at", "id")
    return _named(
        (key, name, project if kind == KeyKind.PLAYGROUND else hint)
        for key, name, hint, kind, project in keys.values_list(
            "id", "name", "hint", "kind", "project__name"
        )
    )


def _named(rows: Iterable[tuple[Any, str, str]]) -> dict[str, tuple[str, str]]:
    return {str(id_): (name, note) for id_, name, note in rows}
