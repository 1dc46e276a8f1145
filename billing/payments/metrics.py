"""The health of payments for Prometheus, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, override

from django.db import DatabaseError
from django.db.models import Count, Q
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from billing.models import (
    UNFINISHED,
    DifferenceKind,
    EventState,
    Op,
    OutboxItem,
    OutboxState,
    Reconciliation,
    StripeSync,
    WebhookEvent,
)
from billing.payments.queue import REFUSED

WAITS: Final = timedelta(hours=1)
"""What is not done after this was not only slow."""
PAGES: Final = timedelta(hours=24)
_OURS_TO_MEND: Final = Q(state=OutboxState.DEAD) | (Q(state=OutboxState.FAILED) & ~Q(op=Op.CHARGE))
"""A card that was declined is its customer's."""
_HELP: Final = {
    "calls_late": "Calls to Stripe that wait for an hour or longer.",
    "calls_refused": "Calls that Stripe has refused in the last seven days; people are to look.",
    "events_late": "Events of Stripe that wait for an hour or longer.",
    "events_refused": "Events of the last seven days that were not what was asked for.",
    "differences": "Differences from Stripe that are open for a day or longer.",
    "stripe_silent_seconds": "How long Stripe has not answered.",
}


class PaymentsCollector(Collector):
    """Without PostgreSQL it says nothing."""

    def describe(self) -> Sequence[GaugeMetricFamily]:
        """So that it is not asked when it is registered."""
        return [GaugeMetricFamily(_name(name), text) for name, text in _HELP.items()]

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            values = payments_health(timezone.now())
        except DatabaseError:
            return
        for name, value in values.items():
            yield GaugeMetricFamily(_name(name), _HELP[name], value)


def payments_health(now: datetime) -> Mapping[str, int]:
    """By the names of the gauges. Four queries."""
    late, week = now - WAITS, now - timedelta(days=7)
    calls = OutboxItem.objects.filter(state__in=[*UNFINISHED, *REFUSED]).aggregate(
        late=Count("pk", filter=Q(state__in=UNFINISHED, created_at__lte=late)),
        refused=Count("pk", filter=_OURS_TO_MEND & Q(done_at__gt=week)),
    )
    events = WebhookEvent.objects.filter(received_at__gt=week).aggregate(
        late=Count("pk", filter=Q(state=EventState.RECEIVED, received_at__lte=late)),
        refused=Count("pk", filter=Q(state=EventState.REFUSED)),
    )
    open_ = Reconciliation.objects.filter(resolved_at=None, first_seen_at__lte=now - PAGES)
    down = StripeSync.objects.exclude(down_since=None).values_list("down_since", flat=True).first()
    return {
        "calls_late": calls["late"],
        "calls_refused": calls["refused"],
        "events_late": events["late"],
        "events_refused": events["refused"],
        "differences": open_.exclude(kind=DifferenceKind.LAG).count(),
        "stripe_silent_seconds": int((now - down).total_seconds()) if down else 0,
    }


def _name(name: str) -> str:
    return f"sluice_payments_{name}"
