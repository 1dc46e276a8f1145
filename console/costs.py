"""What was spent in a span of days, what will be by its end, and what was in the one before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any, Final, NamedTuple

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.budgets import span_of
from billing.models import Period
from console.charts import OTHER, Series
from console.charts import lines as line_chart
from console.forms import Days, Group
from console.reports import GroupLine, UsageReport, money_places
from tenants.models import Organization

CAP_SLOT: Final = 5
"""The colour of a limit."""


@dataclass(frozen=True, slots=True)
class CostSpan:
    """`whole` may end in the future; `before` is the span that ends where it begins."""

    whole: Days
    before: Days

    @classmethod
    def of_month(cls, day: date) -> CostSpan:
        """The calendar month that `day` is in, beside the month before."""
        first = day.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        ended = first - timedelta(days=1)
        return cls(Days(first, last), Days(ended.replace(day=1), ended))

    @classmethod
    def of_days(cls, days: Days) -> CostSpan:
        """`days`, beside as many days before."""
        length = timedelta(days=days.count)
        return cls(days, Days(days.first - length, days.last - length))

    @property
    def until_now(self) -> Days:
        """What of `whole` has begun."""
        return Days(self.whole.first, max(self.whole.first, min(self.whole.last, today())))

    @property
    def is_running(self) -> bool:
        return today() < self.whole.last


class CostLine(NamedTuple):
    """A group, and what it cost before up to the same day."""

    line: GroupLine
    before: Decimal

    @property
    def change(self) -> Decimal:
        return self.line.sums.amount - self.before


class CostDay(NamedTuple):
    """What was spent by the end of `moment`, here and as many days into the span before."""

    moment: datetime
    spent: Decimal
    before: Decimal | None


class CostReport:
    """What one organization spent over `span`, by group: three queries."""

    def __init__(self, organization: Organization, span: CostSpan, group: Group) -> None:
        self.organization, self.span, self.group = organization, span, group
        self.now = UsageReport(organization, span.whole, group)
        self.before = UsageReport(organization, span.before, group)

    @property
    def spent(self) -> Decimal:
        return self.now.totals.amount

    @cached_property
    def spent_before(self) -> Decimal:
        """By the same day of the span before."""
        return sum(self._before_by_group.values(), Decimal(0))

    @property
    def change(self) -> Decimal:
        return self.spent - self.spent_before

    @property
    def places(self) -> int:
        return self.now.places

    @property
    def before_places(self) -> int:
        return money_places(self.before.totals.amount)

    @cached_property
    def forecast(self) -> Decimal | None:
        """By the end of a month that runs, at its pace until now; None when it is early."""
        month = span_of(Period.MONTH, timezone.now())
        if month.start != self.span.whole.start:
            return None
        return month.whole_of(self.spent, timezone.now())

    @property
    def a_day(self) -> Decimal:
        """On average, of the days that have begun."""
        return self.spent / self.span.until_now.count

    @cached_property
    def lines(self) -> list[CostLine]:
        """The breakdown, the most first; what only cost before is not in it."""
        before = self._before_by_group
        return [CostLine(line, before.get(line.id, Decimal(0))) for line in self.now.lines]

    def cumulative(self, cap: Decimal | None = None) -> dict[str, Any]:
        """The chart of what it adds up to: until now, to come, before, and what it may be."""
        days = self.days
        length = len(self.now.days.moments())
        shown = [
            Series(self.label, 1, _filled([day.spent for day in days], length)),
            Series(self.before_label, OTHER, _running(self.before)[:length]),
        ]
        if self.forecast is not None:
            ahead = length - len(days)
            step = (self.forecast - self.spent) / ahead if ahead else Decimal(0)
            points = [self.spent + at * step for at in range(ahead + 1)]
            known: list[Decimal | None] = [None] * (len(days) - 1)
            shown.append(Series(_("Forecast"), 1, [*known, *points], is_dashed=True))
        if cap is not None:
            shown.append(Series(_("Cap"), CAP_SLOT, [cap] * length, is_dashed=True))
        moments = self.now.days.moments()
        return line_chart(moments, shown, step=self.now.days.step, unit="money")

    @cached_property
    def days(self) -> list[CostDay]:
        """The days, or hours, that have begun, the oldest first."""
        before = _running(self.before)
        spent = _running(self.now)
        return [
            CostDay(moment, spent[at], before[at] if at < len(before) else None)
            for at, moment in enumerate(self.now.days.moments())
            if moment <= timezone.now()
        ]

    @property
    def label(self) -> str:
        return days_said(self.span.until_now)

    @property
    def before_label(self) -> str:
        return days_said(self.span.before)

    @property
    def chart_label(self) -> str:
        """What the cumulative chart shows, as a sentence for those who do not see it."""
        said = _("Cost added up, %(now)s, beside %(before)s. The table below has it.")
        return said % {"now": self.label, "before": self.before_label}

    @cached_property
    def _before_by_group(self) -> dict[str, Decimal]:
        until = self.span.before.start + timedelta(days=self.span.until_now.count)
        found: dict[str, Decimal] = {}
        for row in self.before.rows:
            if row.moment < until:
                found[row.group] = found.get(row.group, Decimal(0)) + row.sums.amount
        return found


def today() -> date:
    return timezone.now().astimezone(UTC).date()


def days_said(days: Days) -> str:
    """`1 – 21 Nov 2026`, or a whole month as `Oct 2026`."""
    whole = CostSpan.of_month(days.first).whole
    if days == whole:
        return date_format(days.first, "M Y")
    is_same = (days.first.year, days.first.month) == (days.last.year, days.last.month)
    first = date_format(days.first, "j" if is_same else "j M Y")
    return f"{first} – {date_format(days.last, 'j M Y')}"


def _running(report: UsageReport) -> list[Decimal]:
    """What it adds up to by the end of each of its days."""
    return list(accumulate(sums.amount for sums in report.daily()))


def _filled(values: list[Decimal], length: int) -> list[Decimal | None]:
    return [*values, *[None] * (length - len(values))]
