"""Events of Stripe: taken when they are signed and fresh, then worked off one by one.

What an event says is only a hint at what to look at (`looks`); nothing is booked from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, override

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from billing import stripe_client
from billing.ledger import BooksError
from billing.models import EventState, WebhookEvent, WebhookRefusal
from billing.payments.bodies import kind_of
from billing.payments.errors import MismatchError, NotOursError
from billing.payments.looks import HANDLED, look
from billing.payments.sync import stripe_answered, stripe_silent
from billing.stripe_client import (
    SignatureError,
    StripeError,
    StripeRefusedError,
    StripeUnknownError,
)
from tenants import audit
from tenants.models import User

TOLERANCE_S: Final = 300
LEASE: Final = timedelta(seconds=60)
LONGEST_WAIT: Final = timedelta(minutes=10)

log = structlog.get_logger()


class WebhookRefusedError(Exception):
    """Nothing was taken. `reason` is one of a few, `detail` is from whoever sent it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail

    @override
    def __str__(self) -> str:
        return self.reason


def webhook_take(body: bytes, signature: str, now: datetime | None = None) -> WebhookEvent:
    """Keep an event that Stripe has just sent, once. WebhookRefusedError, which is counted."""
    now = now or timezone.now()
    try:
        event = _verified(body, signature, now)
    except WebhookRefusedError as refusal:
        _count(refusal, now)
        raise
    return event_keep(event, now)


def event_keep(
    event: Mapping[str, Any], now: datetime, *, is_fetched: bool = False
) -> WebhookEvent:
    """The row of an event, made when there is none."""
    thing = event["data"]["object"]
    is_handled = event["type"].startswith(HANDLED)
    row = WebhookEvent(
        id=event["id"], type=event["type"][:100], object_id=str(thing.get("id") or "")[:100],
        body=dict(event), happened_at=datetime.fromtimestamp(event["created"], UTC),
        received_at=now, next_at=now, is_fetched=is_fetched,
        state=EventState.RECEIVED if is_handled else EventState.IGNORED,
        note="" if is_handled else "Nothing follows from this.",
    )  # fmt: skip
    WebhookEvent.objects.bulk_create([row], ignore_conflicts=True)
    return WebhookEvent.objects.get(pk=row.pk)


def inbox_work(now: datetime | None = None) -> int:
    """Look at what each waiting event is about; how many were worked off or tried.

    When no answer comes, the rest waits for the next time.
    """
    worked, is_heard = 0, stripe_client.is_on()
    while is_heard and (event := _taken(now or timezone.now())):
        is_heard = _work(event, now or timezone.now())
        worked += 1
    return worked


@transaction.atomic
def webhook_replay(
    *, actor: User, event: WebhookEvent, now: datetime | None = None
) -> WebhookEvent:
    """Look at what it is about once more. It cannot book twice."""
    event = WebhookEvent.objects.select_for_update().get(pk=event.pk)
    event.state, event.next_at, event.done_at = EventState.RECEIVED, now or timezone.now(), None
    event.save(update_fields=["state", "next_at", "done_at"])
    audit.record(actor=actor, action="stripe.replay", target=event, of=event.object_id)
    return event


def _verified(body: bytes, signature: str, now: datetime) -> dict[str, Any]:
    if not stripe_client.is_on():
        raise WebhookRefusedError("Stripe is not set up here.")
    stamp = _signed_at(body, signature)
    if abs(int(now.timestamp()) - stamp) > TOLERANCE_S:
        raise WebhookRefusedError("It was not signed within the last five minutes.", f"t={stamp}")
    event = _read(body)
    if event["livemode"] is not stripe_client.is_live():
        raise WebhookRefusedError("It is of the other mode, live or test.", event["id"])
    if event.get("account") not in {None, "", settings.STRIPE_ACCOUNT}:
        raise WebhookRefusedError("It is of another account.", str(event["account"]))
    if event.get("api_version") != stripe_client.API_VERSION:
        raise WebhookRefusedError(
            f"Its API version is not {stripe_client.API_VERSION}.", str(event.get("api_version"))
        )
    return event


def _signed_at(body: bytes, signature: str) -> int:
    """With any of the secrets: two are valid while one replaces the other."""
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            return stripe_client.signed_at(body, signature, secret)
        except SignatureError:
            continue
    raise WebhookRefusedError("Its signature is none of ours.")


def _read(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
        if isinstance(event["id"], str) and isinstance(event["data"]["object"], dict):
            return {**event, "created": int(event["created"]), "type": str(event["type"]),
                    "livemode": bool(event["livemode"])}  # fmt: skip
    except (ValueError, TypeError, KeyError):
        pass
    raise WebhookRefusedError("It is no event.")


def _count(refusal: WebhookRefusedError, now: datetime) -> None:
    """Anyone can send them: a row a day and reason, however many there are."""
    log.warning("webhook.refused", reason=refusal.reason, detail=refusal.detail)
    WebhookRefusal.objects.bulk_create(
        [WebhookRefusal(day=now.date(), reason=refusal.reason, count=0, last_at=now)],
        ignore_conflicts=True,
    )
    WebhookRefusal.objects.filter(day=now.date(), reason=refusal.reason).update(
        count=F("count") + 1, last_at=now, detail=refusal.detail[:200]
    )


@transaction.atomic
def _taken(now: datetime) -> WebhookEvent | None:
    waiting = WebhookEvent.objects.select_for_update(skip_locked=True)
    due = waiting.filter(state=EventState.RECEIVED, next_at__lte=now)
    event = due.order_by("received_at", "pk").first()
    if event:
        event.next_at, event.attempts = now + LEASE, event.attempts + 1
        event.save(update_fields=["next_at", "attempts"])
    return event


def _work(event: WebhookEvent, now: datetime) -> bool:
    """Whether Stripe answered."""
    try:
        look(kind_of(event), event.object_id, now)
    except NotOursError as error:
        _end(event, EventState.IGNORED, str(error), now)
    except (MismatchError, StripeRefusedError) as error:
        log.error("webhook.mismatch", webhook=event.pk, error=str(error))
        _end(event, EventState.REFUSED, str(error), now)
    except StripeUnknownError as error:
        stripe_silent(now)
        _later(event, str(error), now)
        return False
    except (
        StripeError,
        ValidationError,
        BooksError,
        DatabaseError,
        LookupError,
        TypeError,
    ) as error:
        _later(event, f"{type(error).__name__}: {error}", now)
    else:
        stripe_answered(now)
        _end(event, EventState.DONE, "", now)
    return True


def _end(event: WebhookEvent, state: EventState, note: str, now: datetime) -> None:
    event.state, event.note, event.done_at = state, note[:500], now
    event.save(update_fields=["state", "note", "done_at"])


def _later(event: WebhookEvent, note: str, now: datetime) -> None:
    log.warning("webhook.not_worked_off", webhook=event.pk, error=note)
    wait = min(timedelta(seconds=2 ** min(event.attempts, 12)), LONGEST_WAIT)
    event.next_at, event.note = now + wait, note[:500]
    event.save(update_fields=["next_at", "note"])
