"""Whether numbers that should be equal are: sums with their events, ours with the engines'.

Each hour a part is compared, so that in a day all of the last DAYS are. What differs is a `Drift`,
until a later look finds it equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from billing.metering import engine_tokens_key
from billing.models import BackendHour, Drift, DriftKind
from tenants.valkey import client

RECONCILED: Final = "usage:reconciled"
"""When that was done last, in ISO 8601."""
DAYS: Final = 35
PARTS: Final = 24
COLLECTED: Final = 3
"""So many hours back the engines' counts are read: an hour's are still told a little after it."""
ALLOWED: Final = Decimal("0.02")
ALLOWED_TOKENS: Final = 10_000
"""An engine also counts what its clients gave up, and tokens of requests that end hours later."""
_HOUR: Final = timedelta(hours=1)
_HAS_INPUT: Final = Q(engine_input_tokens__isnull=False)
_COMPARED: Final = ("amount", "requests", "input_tokens", "output_tokens")

_EVENTS: Final = """
SELECT organization_id, api_key_id, model, count(*) AS requests, sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens, sum(amount) AS amount
FROM billing_usageevent WHERE occurred_at >= %(start)s AND occurred_at < %(end)s GROUP BY 1, 2, 3
"""
_HOURS: Final = """
SELECT organization_id, api_key_id, model, sum(requests) AS requests,
    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(amount) AS amount
FROM billing_usagehour WHERE hour >= %(start)s AND hour < %(end)s GROUP BY 1, 2, 3
"""
_DAYS: Final = """
SELECT organization_id, api_key_id, model, requests, input_tokens, output_tokens, amount
FROM billing_usageday WHERE day = %(start)s::date
"""
# One statement sees one moment: what is booked meanwhile is in both or in neither.
_COMPARE: Final = """
SELECT organization_id, model,
    sum(part.amount), sum(part.requests), sum(part.input_tokens), sum(part.output_tokens),
    sum(whole.amount), sum(whole.requests), sum(whole.input_tokens), sum(whole.output_tokens)
FROM ({parts}) part FULL JOIN ({wholes}) whole USING (organization_id, api_key_id, model)
WHERE (part.amount, part.requests, part.input_tokens, part.output_tokens) IS DISTINCT FROM
    (whole.amount, whole.requests, whole.input_tokens, whole.output_tokens)
GROUP BY 1, 2
"""

log = structlog.get_logger()


class Span(NamedTuple):
    start: datetime
    end: datetime


class Difference(NamedTuple):
    about: str
    expected: Decimal
    found: Decimal


def reconcile(now: datetime | None = None) -> int:
    """Compare this hour's part of it all; how many differences were found."""
    now = now or timezone.now()
    engines_collect(now)
    found = sum(_compare(DriftKind.HOUR, span, _EVENTS, _HOURS) for span in _hours(now))
    found += sum(_compare(DriftKind.DAY, span, _HOURS, _DAYS) for span in _days(now))
    found += _told(DriftKind.BACKEND, _whole_day(now).start, list(_of_backends(_whole_day(now))))
    client().set(RECONCILED, now.isoformat())
    return found


def engines_collect(now: datetime) -> None:
    """Put what the engines counted in the last hours beside what we did."""
    this = now.replace(minute=0, second=0, microsecond=0)
    for back in range(COLLECTED):
        hour = this - back * _HOUR
        said: Any = client().hgetall(engine_tokens_key(hour))
        fields = {name.decode(): int(count) for name, count in said.items()}
        for backend in {name.partition(":")[2] for name in fields}:
            BackendHour.objects.update_or_create(
                backend=backend,
                hour=hour,
                defaults={
                    "engine_input_tokens": fields.get(f"input:{backend}"),
                    "engine_output_tokens": fields.get(f"output:{backend}"),
                    "engine_reset": f"reset:{backend}" in fields,
                },
            )


def _hours(now: datetime) -> Iterator[Span]:
    """Of each of the last days the hour of the day that it is now."""
    this = now.replace(minute=0, second=0, microsecond=0)
    for back in range(1, DAYS + 1):
        start = this - timedelta(days=back)
        yield Span(start, start + _HOUR)


def _days(now: datetime) -> Iterator[Span]:
    today = datetime.combine(now.date(), time(), UTC)
    for back in range(DAYS + 1):
        if back % PARTS == now.hour:
            start = today - timedelta(days=back)
            yield Span(start, start + timedelta(days=1))


def _whole_day(now: datetime) -> Span:
    """The last 24 hours that are over, but for one in which long requests may still end."""
    end = now.replace(minute=0, second=0, microsecond=0) - _HOUR
    return Span(end - PARTS * _HOUR, end)


def _compare(kind: DriftKind, span: Span, parts: str, wholes: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_COMPARE.format(parts=parts, wholes=wholes), span._asdict())
        rows = cursor.fetchall()
    return _told(kind, span.start, [_difference(*row) for row in rows])


def _difference(organization: UUID, model: str, *sums: Decimal | None) -> Difference:
    """The first column that differs; `sums` are those of the parts, and then of the whole."""
    numbers = [number or Decimal(0) for number in sums]
    pairs = zip(numbers[: len(_COMPARED)], numbers[len(_COMPARED) :], strict=True)
    different = ((name, *pair) for name, pair in zip(_COMPARED, pairs, strict=True)
                 if pair[0] != pair[1])  # fmt: skip
    column, part, whole = next(different)
    return Difference(f"{organization} {model} {column}", part, whole)


def _of_backends(span: Span) -> Iterator[Difference]:
    """Where we counted otherwise than the engine, over the hours that it told all of.

    Of prompts only too few are a difference: an engine counts one for each of the answers that are
    asked for at once, and whoever asks pays it once.
    """
    told = BackendHour.objects.filter(
        hour__gte=span.start, hour__lt=span.end, engine_reset=False,
        engine_output_tokens__isnull=False,
    )  # fmt: skip
    sums = told.values("backend").annotate(
        ours=Sum("output_tokens"), theirs=Sum("engine_output_tokens"),
        ours_in=Sum("input_tokens", filter=_HAS_INPUT),
        theirs_in=Sum("engine_input_tokens", filter=_HAS_INPUT),
    )  # fmt: skip
    for row in sums.order_by("backend"):
        ours, theirs = row["ours"], row["theirs"]
        if abs(ours - theirs) > _allowed(theirs):
            yield Difference(f"{row['backend']} output", Decimal(theirs), Decimal(ours))
        ours, theirs = row["ours_in"] or 0, row["theirs_in"] or 0
        if ours - theirs > _allowed(theirs):
            yield Difference(f"{row['backend']} input", Decimal(theirs), Decimal(ours))


def _allowed(tokens: int) -> Decimal:
    return max(tokens * ALLOWED, Decimal(ALLOWED_TOKENS))


@transaction.atomic
def _told(kind: DriftKind, at: datetime, differences: Iterable[Difference]) -> int:
    """Keep these of `at`, and none that were found of it before."""
    old = Drift.objects.filter(kind=kind)
    (old if kind is DriftKind.BACKEND else old.filter(at=at)).delete()
    rows = [Drift(kind=kind, at=at, **one._asdict()) for one in differences]
    for row in rows:
        log.error("usage.drift", kind=kind, about=row.about, at=at.isoformat(),
                  expected=str(row.expected), found=str(row.found))  # fmt: skip
    return len(Drift.objects.bulk_create(rows))
