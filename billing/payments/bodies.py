"""What events said of people is kept for a while, then emptied.

Their rows stay, so that each counts once, with the kind of object that each is about, so that this
can be looked at again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from billing.models import EventState, Refund, StripeCustomer, WebhookEvent
from tenants.models import Organization

BATCH: Final = 500
_OVER: Final = (EventState.DONE, EventState.IGNORED)


def bodies_empty(now: datetime) -> int:
    """Those of events that were done with long ago; how many they were."""
    before = now - timedelta(days=settings.WEBHOOK_RETENTION_DAYS)
    is_old = Q(done_at=None) | Q(done_at__lt=before)
    return _empty(_full().filter(is_old, state__in=_OVER, received_at__lt=before), now)


def bodies_empty_of(organization: Organization, now: datetime) -> int:
    """Those that name the organization or who it is at Stripe, and of its refunds, at once."""
    customers = StripeCustomer.objects.for_organization(organization).exclude(stripe_id=None)
    names = [str(organization.pk), *customers.values_list("stripe_id", flat=True)]
    refunds = Refund.objects.for_organization(organization).values("stripe_id")
    mine = Q(object_id__in=refunds.exclude(stripe_id=""))
    for name in names:
        mine |= Q(text__contains=name)
    return _empty(_full().annotate(text=Cast("body", TextField())).filter(mine), now)


def kind_of(event: WebhookEvent) -> str:
    """What kind of object it is about."""
    return str(event.body.get("data", {}).get("object", {}).get("object") or "")


def _full() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(emptied_at=None)


def _empty(events: QuerySet[WebhookEvent], now: datetime) -> int:
    """In batches, the oldest first."""
    count = 0
    while batch := list(events.order_by("received_at")[:BATCH]):
        for event in batch:
            event.body, event.emptied_at = _rest_of(event), now
        WebhookEvent.objects.bulk_update(batch, ["body", "emptied_at"])
        count += len(batch)
    return count


def _rest_of(event: WebhookEvent) -> dict[str, Any]:
    return {"data": {"object": {"object": kind_of(event)}}}
