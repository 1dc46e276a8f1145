"""The tokens of a month as each part of the platform has them, by organization and day."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import TruncDate

from billing.invoices import usage_csv
from billing.models import (
    BILLED,
    Component,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    LineKind,
    Transfer,
    UsageDay,
    UsageEvent,
    UsageHour,
)
from tests.month.asking import Answer, Ending

type Key = tuple[str, date]
"""An organization's short name and a day, or the first one of a month."""
type Given = Mapping[str, tuple[int, int]]
"""What the engine read and made, by request."""

_USED: Final = (LineKind.USAGE, LineKind.LATE)
_TOKENS: Final = F("input_tokens") + F("output_tokens")
_NONE: Final = Value(0)


@dataclass(frozen=True, slots=True)
class Sums:
    """`free` are of `tokens`: of streams that the engine broke. `amount` is in one's currency."""

    requests: int = 0
    tokens: int = 0
    free: int = 0
    amount: Decimal = Decimal(0)

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.free + other.free,
            self.amount + other.amount,
        )

    @property
    def billed(self) -> int:
        return self.tokens - self.free


def total(sums: Iterable[Sums]) -> Sums:
    return sum(sums, Sums())


def of_answers(answers: Iterable[Answer], given: Given) -> dict[Key, Sums]:
    """By the day on which each ended, with what the client itself knows of it."""
    found = defaultdict[Key, Sums](Sums)
    for one in answers:
        if one.has_event and one.ended:
            tokens = tokens_of(one, given)
            free = tokens if one.ending is Ending.BROKEN else 0
            found[one.buyer, one.ended.date()] += Sums(1, tokens, free)
    return dict(found)


def tokens_of(answer: Answer, given: Given) -> int:
    """As the SDK was told; of a stream without its end those that came, and of its prompt those
    that the engine read.
    """
    if answer.told:
        return answer.told.tokens
    return given[answer.request_id][0] + answer.got


def of_events() -> dict[Key, Sums]:
    rows = UsageEvent.objects.annotate(at=TruncDate("occurred_at"))
    free = Sum(_TOKENS, filter=~Q(outcome__in=BILLED), default=0)
    return _by_day(rows, Count("request_id"), free)


def of_hours() -> dict[Key, Sums]:
    return _by_day(UsageHour.objects.annotate(at=TruncDate("hour")), Sum("requests"))


def of_days() -> dict[Key, Sums]:
    return _by_day(UsageDay.objects.annotate(at=F("day")), Sum("requests"))


def of_papers() -> dict[Key, Sums]:
    """What the rows of each `usage.csv` say."""
    found = defaultdict[Key, Sums](Sums)
    for invoice in invoices():
        for row in csv.DictReader(usage_csv(invoice)):
            tokens = int(row["input_tokens"]) + int(row["output_tokens"])
            free = 0 if row["outcome"] in BILLED else tokens
            day = datetime.fromisoformat(row["occurred_at"]).date()
            found[invoice.organization.slug, day] += Sums(1, tokens, free, Decimal(row["amount"]))
    return dict(found)


def of_lines() -> dict[Key, Sums]:
    """By the month of the usage; lines do not count requests."""
    found = defaultdict[Key, Sums](Sums)
    lines = InvoiceLine.objects.filter(invoice__in=invoices(), kind__in=_USED)
    for line in lines.select_related("organization"):
        tokens = 0 if line.component == Component.AUDIO_SECOND else line.quantity
        assert line.month
        found[line.organization.slug, line.month] += Sums(0, tokens, 0, line.exact)
    return dict(found)


def of_batches() -> tuple[dict[tuple[str, UUID], Decimal], dict[tuple[str, UUID], Decimal]]:
    """What each batch cost an organization: by its events, and by its transfers."""
    events = UsageEvent.objects.filter(amount__gt=0).order_by()
    used = events.values_list("organization__slug", "batch_id").annotate(Sum("amount"))
    transfers = Transfer.objects.filter(source_type="batch").order_by()
    posted = transfers.values_list("debit__organization__slug", "batch_id").annotate(Sum("amount"))
    return _by_batch(used), _by_batch(posted)


COUNTED: Final[Mapping[str, Callable[[], Mapping[Key, Sums]]]] = {
    "events": of_events, "hours": of_hours, "days": of_days, "usage.csv": of_papers,
    "invoice lines": of_lines,
}  # fmt: skip


def by_month(days: Mapping[Key, Sums]) -> dict[Key, Sums]:
    """What was billed of `days`, as lines of invoices have it."""
    found = defaultdict[Key, Sums](Sums)
    for (slug, day), sums in days.items():
        if sums.amount:
            found[slug, day.replace(day=1)] += Sums(0, sums.billed, 0, sums.amount)
    return dict(found)


def invoices() -> QuerySet[Invoice]:
    """Of usage, in the order of their months."""
    found = Invoice.objects.numbered().filter(kind=InvoiceKind.USAGE)
    return found.select_related("organization").order_by("period_start", "organization__slug")


def _by_batch(rows: Iterable[Any]) -> dict[tuple[str, UUID], Decimal]:
    return {(slug, batch): amount for slug, batch, amount in rows}


def _by_day(rows: QuerySet[Any], requests: Any, free: Any = _NONE) -> dict[Key, Sums]:
    """`rows` have `at`. What a rollup has of streams that broke, nobody can tell from it."""
    sums = rows.order_by().values_list("organization__slug", "at")
    found = sums.annotate(requests, tokens=Sum(_TOKENS), free=free, cost=Sum("amount"))
    return {(slug, day): Sums(*counts) for slug, day, *counts in found}
