"""What Stripe's events said of people is not kept for ever; that they came is."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from billing.erasure import organizations_erase
from billing.models import EventState, Payment, WebhookEvent
from billing.payments import bodies, bodies_empty, payment_refund, webhook_replay
from tenants import services
from tenants.models import Organization
from tests.billing.ledger.reading import balances
from tests.billing.payments.conftest import Stripe
from tests.billing.payments.test_inbox import event_of, take, work
from tests.billing.payments.test_top_ups import begin
from tests.conftest import Cast

EMPTY = {"data": {"object": {"object": "payment_intent"}}}


@pytest.fixture
def paid(cast: Cast, stripe: Stripe) -> Payment:
    payment = begin(cast, stripe)
    stripe.fake.pay(payment.checkout_url)
    stripe.deliver()
    payment.refresh_from_db()
    return payment


def full() -> set[str]:
    return set(WebhookEvent.objects.filter(emptied_at=None).values_list("state", flat=True))


def test_old_events_lose_their_bodies_and_count_once_all_the_same(
    cast: Cast, stripe: Stripe, paid: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BATCH", 2)
    event = WebhookEvent.objects.get(pk=event_of(stripe)["id"])
    refused = WebhookEvent.objects.exclude(pk=event.pk).first()
    assert refused
    refused.state = EventState.REFUSED
    refused.save()
    count = WebhookEvent.objects.count()
    sent = event_of(stripe)

    assert bodies_empty(stripe.pass_time(days=90)) == 0
    assert bodies_empty(stripe.pass_time(seconds=1)) == count - 1

    assert full() == {EventState.REFUSED}, "somebody is still to look at it"
    event.refresh_from_db()
    assert event.body == EMPTY
    assert take(sent, stripe).body == EMPTY, "it is sent again, and known"
    before = balances(cast.acme)
    webhook_replay(actor=cast.oskar, event=event, now=stripe.now)
    assert work(event, stripe).state == EventState.DONE
    assert balances(cast.acme) == before


def test_what_was_told_of_an_organization_goes_when_it_is_erased(
    cast: Cast, stripe: Stripe, paid: Payment
) -> None:
    payment_refund(
        actor=cast.oskar, payment=paid, amount=Decimal(10), reason="Asked", now=stripe.now
    )
    for _twice in range(2):
        stripe.deliver()
    other = WebhookEvent.objects.create(
        id="evt_of_rival", type="customer.updated", object_id="cus_of_rival",
        body={"data": {"object": {"object": "customer", "id": "cus_of_rival"}}},
        happened_at=stripe.now, received_at=stripe.now, next_at=stripe.now, state=EventState.DONE,
    )  # fmt: skip
    services.organization_delete(actor=cast.olivia, organization=cast.acme)
    Organization.objects.filter(pk=cast.acme.pk).update(erase_at=timezone.now())

    assert organizations_erase() == 1

    told = WebhookEvent.objects.filter(emptied_at=None)
    assert list(told) == [other]
