"""The months that a page of money can be of; all of UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from console.filters import Filter, filter_read

MONTHS: Final = 12


def months_until(last: date) -> list[date]:
    """The first days of twelve months, the newest first."""
    count = last.year * 12 + last.month - 1
    return [date((count - back) // 12, (count - back) % 12 + 1, 1) for back in range(MONTHS)]


def next_month(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def month_filter(request: HttpRequest, now: datetime) -> Filter:
    """One of the twelve months up to now, as `2026-11`."""
    months = months_until(now.astimezone(UTC).date())
    choices = [(f"{month:%Y-%m}", date_format(month, "F Y")) for month in months]
    return filter_read(request, "month", choices, label=_("Month"))
