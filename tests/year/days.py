"""Days and months of UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

MICROSECOND: Final = timedelta(microseconds=1)


def midnight(day: date) -> datetime:
    """With which it begins."""
    return datetime.combine(day, time(), UTC)


def later(month: date, months: int) -> date:
    """The first day of a month so many months later."""
    number = month.year * 12 + month.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def days_of(month: date) -> Iterator[date]:
    day = month.replace(day=1)
    while day.month == month.month:
        yield day
        day += timedelta(days=1)
