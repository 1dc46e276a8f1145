"""Whether Stripe answers, and up to when its events are known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from billing.models import StripeSync

SURE: Final = timedelta(hours=1)
"""Events are fetched from so long before an outage on."""


def stripe_silent(now: datetime) -> None:
    """It did not answer: note since when."""
    StripeSync.objects.get_or_create(pk=1)
    StripeSync.objects.filter(pk=1, down_since=None).update(down_since=now)


def stripe_answered(now: datetime) -> None:
    """After an outage, what it told meanwhile may not have come: have it fetched."""
    if sync := StripeSync.objects.filter(pk=1).exclude(down_since=None).first():
        since = (sync.down_since or now) - SURE
        until = min(since, sync.events_until or since)
        StripeSync.objects.filter(pk=1).update(down_since=None, events_until=until, is_behind=True)
