"""Events that did not come: fetched each hour, and at once after Stripe was silent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from billing import stripe_client
from billing.models import StripeSync, WebhookEvent
from billing.payments.inbox import event_keep
from billing.payments.sync import stripe_silent
from billing.stripe_client import StripeError

KEPT: Final = timedelta(days=29)
"""Stripe lists events of the last 30 days."""
OVERLAP: Final = timedelta(minutes=10)
"""Asked for again each time: its clock is not ours."""

log = structlog.get_logger()


def events_backfill(now: datetime) -> int:
    """Keep the events since the last time that are not known; how many they were."""
    if not stripe_client.is_on():
        return 0
    sync = StripeSync.objects.get_or_create(pk=1)[0]
    since = max((sync.events_until or now) - OVERLAP, now - KEPT)
    try:
        found = list(stripe_client.listed("event", created={"gte": int(since.timestamp())}))
    except StripeError as error:
        stripe_silent(now)
        log.warning("stripe.events_not_listed", error=str(error))
        return 0
    known = set(
        WebhookEvent.objects.filter(pk__in=[one["id"] for one in found]).values_list(
            "pk", flat=True
        )
    )
    missed = [one for one in reversed(found) if one["id"] not in known]
    for one in missed:
        event_keep(one, now, is_fetched=True)
    StripeSync.objects.filter(pk=1).update(events_until=now, is_behind=False)
    return len(missed)


def events_catch_up(now: datetime) -> int:
    """After an outage only."""
    if not StripeSync.objects.filter(pk=1, is_behind=True, down_since=None).exists():
        return 0
    return events_backfill(now)
