"""What backends cost, and how much of that was paid for hours in which they worked."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.models import Backend, BackendCost
from tenants import audit
from tenants.models import User

_READ: Final = """
WITH span AS (
    SELECT backend.name, cost.per_hour, cost.since::timestamp AT TIME ZONE 'UTC' AS start,
        lead(cost.since::timestamp AT TIME ZONE 'UTC', 1, 'infinity')
            OVER (PARTITION BY cost.backend_id ORDER BY cost.since) AS "end"
    FROM inference_backendcost cost JOIN inference_backend backend ON backend.id = cost.backend_id
), month AS (
    SELECT one AT TIME ZONE 'UTC' AS start,
        LEAST((one + interval '1 month') AT TIME ZONE 'UTC', %(now)s) AS "end"
    FROM generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 month') one
), paid AS (
    SELECT month.start AS month, span.name, sum(length.hours) AS hours,
        sum(length.hours * span.per_hour) AS cost
    FROM month
        JOIN span ON span.start < month."end" AND span."end" > month.start
        CROSS JOIN LATERAL (
            SELECT extract(epoch FROM LEAST(span."end", month."end")
                - GREATEST(span.start, month.start)) / 3600 AS hours
        ) length
    GROUP BY 1, 2
), used AS (
    SELECT date_trunc('month', one.hour, 'UTC') AS month, one.backend AS name,
        sum(one.requests) AS requests, sum(one.input_tokens + one.output_tokens) AS tokens,
        sum(span.per_hour) FILTER (WHERE one.requests > 0) AS busy
    FROM billing_backendhour one
        LEFT JOIN span ON span.name = one.backend AND one.hour >= span.start
            AND one.hour < span."end"
    WHERE one.backend <> '' AND one.hour >= (SELECT min(start) FROM month)
        AND one.hour < (SELECT max("end") FROM month)
    GROUP BY 1, 2
)
SELECT (month AT TIME ZONE 'UTC')::date, name, COALESCE(paid.hours, 0), COALESCE(paid.cost, 0),
    LEAST(COALESCE(used.busy, 0), COALESCE(paid.cost, 0)),
    COALESCE(used.requests, 0), COALESCE(used.tokens, 0), paid.cost IS NOT NULL
FROM paid FULL JOIN used USING (month, name)
ORDER BY 1, 2
"""


class BackendMonth(NamedTuple):
    """A backend in a month: EUR for its `hours`, and `busy` of these for hours with a request.

    `is_priced` is False while nobody said what it costs.
    """

    month: date
    backend: str
    hours: Decimal
    cost: Decimal
    busy: Decimal
    requests: int
    tokens: int
    is_priced: bool

    @property
    def idle(self) -> Decimal:
        return self.cost - self.busy

    @property
    def per_million(self) -> Decimal | None:
        """EUR that a million tokens cost, idle hours and all."""
        return 1_000_000 * self.cost / self.tokens if self.tokens and self.is_priced else None


@transaction.atomic
def backend_cost_set(
    *, actor: User | None, backend: Backend, per_hour: Decimal, since: date
) -> BackendCost:
    """An hour of `backend` costs `per_hour` EUR from `since` on; another cost of that day goes."""
    if per_hour < 0:
        raise ValidationError(_("A cost is 0 or more: 0 when the backend was given back."))
    kept, _made = BackendCost.objects.update_or_create(
        backend=backend, since=since, defaults={"per_hour": per_hour}
    )
    audit.record(
        actor=actor,
        action="backend.set_cost",
        target=backend,
        name=backend.name,
        per_hour=str(per_hour),
        since=since.isoformat(),
    )
    return kept


def backend_months(first: date, last: date, now: datetime | None = None) -> list[BackendMonth]:
    """Each backend in each month from that of `first` to that of `last`, up to `now`."""
    values = {
        "first": datetime.combine(first.replace(day=1), time()),
        "last": datetime.combine(last.replace(day=1), time()),
        "now": now or timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ, values)
        return [BackendMonth._make(row) for row in cursor.fetchall()]


def today() -> date:
    return timezone.now().astimezone(UTC).date()
