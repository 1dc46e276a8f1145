"""The months of the table of usage events: made ahead, and dropped when they are old enough.

The tables are their owner's; functions of the database make and drop them for the worker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

AHEAD: Final = 3
_TABLE: Final = "billing_usageevent"
_ATTACHED: Final = """
SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
WHERE inhparent = 'billing_usageevent'::regclass
"""

log = structlog.get_logger()


class Month(int):
    """A month of UTC, counted from the year 0: months can be compared, and added to."""

    @classmethod
    def of(cls, moment: date) -> Month:
        """Of a date or datetime of UTC."""
        return cls(moment.year * 12 + moment.month - 1)

    @classmethod
    def named(cls, partition: str) -> Month:
        year, month = map(int, re.findall(r"\d+", partition))
        return cls(year * 12 + month - 1)

    @property
    def start(self) -> date:
        return date(self // 12, self % 12 + 1, 1)

    @property
    def partition(self) -> str:
        return f"{_TABLE}_{self.start:%Y_%m}"


def partitions_read() -> set[Month]:
    """The months that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute(_ATTACHED)
        return {Month.named(name) for (name,) in cursor.fetchall()}


@transaction.atomic
def partitions_make(months: Iterable[Month]) -> None:
    """Make what is missing of `months`."""
    wanted = set(months)
    if wanted <= partitions_read():
        return
    with connection.cursor() as cursor:
        for month in sorted(wanted - partitions_read()):
            cursor.execute("SELECT usage_month_make(%s)", [month.start])


def partitions_tend(now: datetime | None = None) -> None:
    """Have this month and AHEAD more, and drop those older than USAGE_EVENT_MONTHS."""
    this = Month.of(now or timezone.now())
    partitions_make(Month(this + ahead) for ahead in range(AHEAD + 1))
    for month in sorted(partitions_read()):
        if month < this - settings.USAGE_EVENT_MONTHS:
            _drop(month)


@transaction.atomic
def _drop(month: Month) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT usage_month_drop(%s)", [month.start])
    log.info("usage.month_dropped", month=f"{month.start:%Y-%m}")
