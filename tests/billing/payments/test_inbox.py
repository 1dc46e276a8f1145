"""Events of Stripe: the rules by which one is taken, and what it may lead to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings
from django.urls import reverse

from billing import stripe_client
from billing.ledger import wallet_read
from billing.models import EventState, Payment, Provider, WebhookEvent, WebhookRefusal
from billing.payments import (
    WebhookRefusedError,
    events_backfill,
    inbox_work,
    top_up_begin,
    webhook_replay,
    webhook_take,
)
from console.fakestripe import WEBHOOK_SECRET, Fault
from console.settings import stripe_secrets
from tests.billing.payments.conftest import Stripe
from tests.conftest import Cast

OTHER = "whsec_" + "another secret of ours"


@pytest.fixture
def paid(cast: Cast, stripe: Stripe) -> Payment:
    """Paid at Stripe; its webhooks have not come yet."""
    payment = top_up_begin(
        actor=cast.olivia, organization=cast.acme, amount=Decimal(100), now=stripe.now
    )
    stripe.fake.pay(payment.checkout_url)
    return payment


def event_of(stripe: Stripe, kind: str = "payment_intent.succeeded") -> dict[str, Any]:
    (event,) = stripe.fake.events(kind)
    return event


def take(
    event: Mapping[str, Any], stripe: Stripe, *, secret: str = WEBHOOK_SECRET, late_s: int = 0
) -> WebhookEvent:
    body = json.dumps(event)
    signed = stripe_client.signature_of(body, secret, stripe.now - timedelta(seconds=late_s))
    return webhook_take(body.encode(), signed, stripe.now)


def work(event: WebhookEvent, stripe: Stripe) -> WebhookEvent:
    inbox_work(stripe.now)
    event.refresh_from_db()
    return event


def prepaid(cast: Cast) -> Decimal:
    return wallet_read([cast.acme.pk])[cast.acme.pk].prepaid


def is_refused(reason: str, count: int = 1) -> bool:
    """Each was counted with its reason, and nothing was kept."""
    refusal = WebhookRefusal.objects.get()
    is_counted = reason in refusal.reason and refusal.count == count
    return is_counted and not WebhookEvent.objects.exists()


def test_one_that_was_signed_by_another_is_refused(stripe: Stripe, paid: Payment) -> None:
    with pytest.raises(WebhookRefusedError):
        take(event_of(stripe), stripe, secret="whsec_guessed")
    assert is_refused("signature")


def test_one_whose_body_was_changed_is_refused(stripe: Stripe, paid: Payment) -> None:
    body = json.dumps(event_of(stripe))
    signed = stripe_client.signature_of(body, WEBHOOK_SECRET, stripe.now)
    with pytest.raises(WebhookRefusedError):
        webhook_take(body.replace("12500", "99900").encode(), signed, stripe.now)
    assert is_refused("signature")


def test_one_without_a_signature_is_refused(stripe: Stripe) -> None:
    for header in ("", "nonsense", "t=1,v0=ab", "v1=ab", "t=x,v1=ab"):
        with pytest.raises(WebhookRefusedError):
            webhook_take(b"\xff{}", header, stripe.now)
    assert is_refused("signature", 5)


def test_one_from_long_ago_or_from_the_future_is_refused(stripe: Stripe, paid: Payment) -> None:
    for late_s in (301, -301, 86_400, -86_400):
        with pytest.raises(WebhookRefusedError):
            take(event_of(stripe), stripe, late_s=late_s)
    assert is_refused("five minutes", 4)


def test_with_a_key_and_no_secret_nothing_starts() -> None:
    for secrets in ("", " , ", "whsec_", "whsec_test", f"{OTHER},test"):
        with pytest.raises(ImproperlyConfigured, match="STRIPE_WEBHOOK_SECRETS"):
            stripe_secrets("sk_live_1", secrets)
    assert stripe_secrets("", "") == []
    assert stripe_secrets("sk_live_1", f"{OTHER}, {WEBHOOK_SECRET}") == [OTHER, WEBHOOK_SECRET]


def test_while_secrets_change_both_are_taken(stripe: Stripe, paid: Payment) -> None:
    with override_settings(STRIPE_WEBHOOK_SECRETS=[OTHER, WEBHOOK_SECRET]):
        first = take(event_of(stripe), stripe, secret=OTHER)
        second = take(event_of(stripe), stripe)
    assert first == second


def test_one_of_another_world_is_refused(stripe: Stripe, paid: Payment) -> None:
    for change, reason in (
        ({"livemode": True}, "mode"),
        ({"account": "acct_of_another"}, "account"),
        ({"api_version": "2020-08-27"}, "API version"),
        ({"data": "nothing"}, "no event"),
    ):
        WebhookRefusal.objects.all().delete()
        with pytest.raises(WebhookRefusedError):
            take(event_of(stripe) | change, stripe)
        assert is_refused(reason)


def test_refusals_are_counted_by_day_with_the_last_of_each(stripe: Stripe) -> None:
    begun = stripe.now
    for hours in (0, 1, 24):
        stripe.now = begun + timedelta(hours=hours)
        with pytest.raises(WebhookRefusedError):
            webhook_take(b"{}", "", stripe.now)
    rows = WebhookRefusal.objects.order_by("day").values_list("day", "count", "last_at")
    assert list(rows) == [
        (begun.date(), 2, begun + timedelta(hours=1)), (stripe.now.date(), 1, stripe.now),
    ]  # fmt: skip


def test_one_that_comes_again_credits_nothing(cast: Cast, stripe: Stripe, paid: Payment) -> None:
    for _time in range(3):
        event = work(take(event_of(stripe), stripe), stripe)
    assert event.state == EventState.DONE
    webhook_replay(actor=cast.oskar, event=event, now=stripe.now)
    assert work(event, stripe).state == EventState.DONE
    assert prepaid(cast) == 100


def test_what_an_event_says_is_not_believed(cast: Cast, stripe: Stripe) -> None:
    """Signed or not: the object itself is fetched, and it is not paid."""
    payment = top_up_begin(
        actor=cast.olivia, organization=cast.acme, amount=Decimal(100), now=stripe.now
    )
    event = {
        "id": "evt_1", "object": "event", "type": "checkout.session.completed", "livemode": False,
        "created": int(stripe.now.timestamp()), "api_version": stripe_client.API_VERSION,
        "data": {"object": {"id": payment.stripe_checkout_session, "object": "checkout.session",
                            "payment_status": "paid", "status": "complete"}},
    }  # fmt: skip
    assert work(take(event, stripe), stripe).state == EventState.DONE
    assert prepaid(cast) == 0


def test_a_payment_that_is_not_what_we_asked_for_is_not_credited(
    cast: Cast, stripe: Stripe, paid: Payment
) -> None:
    event = take(event_of(stripe), stripe)
    was = Payment.objects.filter(pk=paid.pk).values().get()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"total": 126, "vat": 26}, "amount"),
        ({"currency": "SEK"}, "currency"),
        ({"provider": Provider.MANUAL, "reference": "1"}, "not to be made by card"),
        ({"paid_at": stripe.now, "stripe_payment_intent": "pi_1"}, "paid already"),
    ]
    for change, reason in changes:
        Payment.objects.filter(pk=paid.pk).update(**{**was, **change})
        webhook_replay(actor=cast.oskar, event=event, now=stripe.now)
        assert work(event, stripe).state == EventState.REFUSED
        assert reason in event.note
    assert prepaid(cast) == 0


def test_an_object_of_another_account_or_of_nobody_is_not_credited(
    cast: Cast, stripe: Stripe, paid: Payment
) -> None:
    event = event_of(stripe)
    event["data"]["object"]["id"] = "pi_of_another_account"
    assert work(take(event, stripe), stripe).state == EventState.REFUSED
    made = stripe.fake.client().v1.payment_intents.create(
        params={"amount": 12500, "currency": "eur", "payment_method": "pm_card_visa",
                "confirm": True,
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    )  # fmt: skip
    event |= {"id": "evt_2"}
    event["data"]["object"]["id"] = made.id
    assert work(take(event, stripe), stripe).state == EventState.IGNORED
    assert prepaid(cast) == 0


def test_one_of_which_nothing_follows_is_kept_and_left(stripe: Stripe, paid: Payment) -> None:
    event = take(event_of(stripe) | {"type": "radar.early_fraud_warning.created"}, stripe)
    assert event.state == EventState.IGNORED


def test_one_is_tried_again_when_stripe_does_not_answer(
    cast: Cast, stripe: Stripe, paid: Payment
) -> None:
    faults = [Fault.DROPPED]
    stripe.fake.faults = lambda request, now: faults.pop() if faults else None
    event = work(take(event_of(stripe), stripe), stripe)
    assert (event.state, event.attempts) == (EventState.RECEIVED, 1)
    stripe.pass_time(seconds=30)
    assert work(event, stripe).state == EventState.DONE
    assert prepaid(cast) == 100


def test_events_whose_webhooks_never_came_are_fetched(
    cast: Cast, stripe: Stripe, paid: Payment
) -> None:
    assert events_backfill(stripe.pass_time(minutes=5)) > 0
    inbox_work(stripe.now)
    assert prepaid(cast) == 100
    assert events_backfill(stripe.pass_time(hours=1)) == 0


def test_stripe_is_answered_at_once_and_others_are_not(
    client: Client, stripe: Stripe, paid: Payment
) -> None:
    url, body = reverse("stripe_webhook"), json.dumps(event_of(stripe))
    with override_settings(STRIPE_WEBHOOK_SECRETS=[OTHER]):
        answer = client.post(url, body, "application/json", headers={"stripe-signature": "x"})
    assert answer.status_code == 400
    assert client.get(url).status_code == 405
