"""Calls to Stripe: each is made once, whatever becomes of its answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.core.exceptions import ValidationError

from billing import stripe_client
from billing.models import Op, OutboxItem, OutboxState, StripeCustomer
from billing.payments import outbox, outbox_add, outbox_retry, outbox_send
from billing.payments.outbox import KEY_LASTS, LEASE, LONGEST_WAIT_S
from billing.payments.queue import CUSTOMER, key_of, outbox_renew
from billing.stripe_client import (
    StripeBusyError,
    StripeError,
    StripeRefusedError,
    StripeUnknownError,
)
from console.fakestripe import Fault
from console.fakestripe.http import Request
from tenants.models import Organization
from tests.billing.payments.conftest import Stripe
from tests.conftest import Cast


def failing(*faults: Fault | None) -> Callable[[Request, float], Fault | None]:
    """The first calls that make something go wrong so, the others do not."""
    left = list(faults)
    return lambda request, now: left.pop(0) if left and request.method == "POST" else None


def customer(organization: Organization, stripe: Stripe) -> OutboxItem:
    StripeCustomer.objects.create(organization=organization)
    return outbox_add(
        organization, Op.CUSTOMER, f"organization:{organization.pk}:0",
        {"name": organization.name, "metadata": {"organization": str(organization.pk)}},
        stripe.now,
    )  # fmt: skip


def send(item: OutboxItem, stripe: Stripe, **span: float) -> OutboxItem:
    stripe.pass_time(**span)
    outbox_send(stripe.now)
    item.refresh_from_db()
    return item


def test_whatever_becomes_of_an_answer_one_object_is_made(cast: Cast, stripe: Stripe) -> None:
    for fault in Fault:
        stripe.restart()
        OutboxItem.objects.all().delete()
        StripeCustomer.objects.all().delete()
        stripe.fake.faults = failing(fault)
        item = send(customer(cast.acme, stripe), stripe)
        assert item.state in {OutboxState.UNKNOWN, OutboxState.PENDING}, fault
        for _try in range(4):
            send(item, stripe, seconds=LONGEST_WAIT_S)
        assert item.state == OutboxState.DONE, fault
        (made,) = stripe.fake.all("customer")
        assert made["id"] == item.stripe_id == StripeCustomer.objects.get().stripe_id


def test_what_was_lost_is_looked_for_and_not_made_again(cast: Cast, stripe: Stripe) -> None:
    stripe.fake.faults = failing(Fault.ANSWER_LOST)
    item = send(customer(cast.acme, stripe), stripe)
    stripe.pass_time(days=2)  # its key is forgotten there
    assert send(item, stripe).state == OutboxState.DONE
    assert item.version == 1
    assert len(stripe.fake.all("customer")) == 1


def test_a_key_is_used_for_twenty_hours(cast: Cast, stripe: Stripe) -> None:
    stripe.fake.faults = failing(Fault.DROPPED, Fault.DROPPED)
    item = send(customer(cast.acme, stripe), stripe)
    send(item, stripe, seconds=LONGEST_WAIT_S)
    assert item.idem_key == key_of(item.op, item.entity, 1)
    stripe.pass_time(seconds=KEY_LASTS.total_seconds())
    assert send(item, stripe).state == OutboxState.DONE
    assert item.idem_key == key_of(item.op, item.entity, 2)


def test_a_stored_error_is_not_asked_for_again(cast: Cast, stripe: Stripe) -> None:
    stripe.fake.faults = failing(Fault.FAILED_BEFORE)
    item = send(customer(cast.acme, stripe), stripe)
    assert (item.state, item.version) == (OutboxState.UNKNOWN, 1)
    send(item, stripe, seconds=LONGEST_WAIT_S)
    assert (item.state, item.version) == (OutboxState.PENDING, 2)
    assert send(item, stripe, seconds=LONGEST_WAIT_S).state == OutboxState.DONE


def test_a_key_of_another_call_is_dead_and_people_are_to_look(cast: Cast, stripe: Stripe) -> None:
    item = customer(cast.acme, stripe)
    stripe.fake.client().v1.customers.create(
        params={"name": "Another"}, options={"idempotency_key": item.idem_key}
    )
    assert send(item, stripe).state == OutboxState.DEAD


def test_what_stripe_refuses_is_sent_again_by_people_only(cast: Cast, stripe: Stripe) -> None:
    wrong = {"customer": "cus_of_nobody", "return_url": "x"}
    item = outbox_add(cast.acme, Op.CHECKOUT, f"payment:{cast.acme.pk}:0", wrong, stripe.now)
    OutboxItem.objects.filter(pk=item.pk).update(op=Op.CUSTOMER)
    assert send(item, stripe).state == OutboxState.FAILED
    requests = stripe.fake.requests
    send(item, stripe, days=1)
    assert stripe.fake.requests == requests
    item.payload = {"name": "Acme"}
    item.save()
    outbox_retry(actor=cast.oskar, item=item, now=stripe.now)
    assert send(item, stripe).state == OutboxState.DONE
    with pytest.raises(ValidationError, match="refused"):
        outbox_retry(actor=cast.oskar, item=item, now=stripe.now)


def test_what_was_refused_is_renewed_as_it_is_to_be_now(cast: Cast, stripe: Stripe) -> None:
    def renew(**payload: str) -> OutboxItem:
        return outbox_renew(cast.acme, Op.CUSTOMER, "organization:1:0", payload, stripe.now)

    StripeCustomer.objects.create(organization=cast.acme)
    first = send(renew(return_url="x"), stripe)
    assert first.state == OutboxState.FAILED
    again = send(renew(name="Acme"), stripe)
    assert (again.pk, again.state, again.error) == (first.pk, OutboxState.DONE, "")
    assert [one["name"] for one in stripe.fake.all("customer")] == ["Acme"]
    assert renew(name="Another").payload == {"name": "Acme"}, "what was sent stays as it was"


def test_calls_are_made_in_the_order_in_which_they_were_added(cast: Cast, stripe: Stripe) -> None:
    at = [outbox_add(cast.acme, Op.CUSTOMER, f"x:{one}", {}, stripe.now).created_at
          for one in range(3)]  # fmt: skip
    assert at == sorted(set(at)), "at one moment of the clock each is later than the last"


def test_what_refers_to_what_was_never_made_is_refused(cast: Cast, stripe: Stripe) -> None:
    item = outbox_add(
        cast.acme, Op.INVOICE, f"x:{cast.acme.pk}", {"customer": CUSTOMER}, stripe.now
    )
    assert send(item, stripe).state == OutboxState.FAILED
    assert not stripe.fake.requests


def test_an_organizations_calls_wait_for_each_other_and_for_no_other(
    cast: Cast, stripe: Stripe
) -> None:
    stripe.fake.faults = failing(Fault.DROPPED)
    first = customer(cast.acme, stripe)
    stripe.pass_time(seconds=1)
    second = outbox_add(cast.acme, Op.CUSTOMER, "organization:2:0", {"name": "2"}, stripe.now)
    other = customer(cast.rival, stripe)
    for _run in range(2):
        outbox_send(stripe.now)
    states = {one.pk: one.state for one in OutboxItem.objects.all()}
    assert states == {
        first.pk: OutboxState.UNKNOWN, second.pk: OutboxState.PENDING, other.pk: OutboxState.DONE,
    }  # fmt: skip
    send(second, stripe, seconds=LONGEST_WAIT_S)
    assert [one["name"] for one in stripe.fake.all("customer")] == ["Rival", "Acme", "2"]


def test_what_a_worker_that_died_had_in_hand_is_looked_for(cast: Cast, stripe: Stripe) -> None:
    item = customer(cast.acme, stripe)
    stripe.fake.client().v1.customers.create(params={"metadata": {"outbox_id": str(item.pk)}})
    OutboxItem.objects.update(
        state=OutboxState.SENDING, first_sent_at=stripe.now, next_at=stripe.now + LEASE
    )
    assert send(item, stripe, seconds=30).state == OutboxState.SENDING
    assert send(item, stripe, seconds=30).state == OutboxState.DONE
    assert len(stripe.fake.all("customer")) == 1


@pytest.mark.parametrize(
    "error",
    [
        StripeUnknownError("No answer."), StripeUnknownError("500", is_stored=True),
        StripeBusyError("Later."), StripeRefusedError("Never."),
    ],
    ids=["silent", "stored", "busy", "refused"],
)  # fmt: skip
def test_who_wakes_up_after_another_has_taken_over_says_nothing_more(
    cast: Cast, stripe: Stripe, error: StripeError
) -> None:
    def sleep(*_call: object) -> None:
        sleeping.stop()
        stripe.pass_time(seconds=LEASE.total_seconds())
        outbox_send(stripe.now)
        raise error

    item, sleeping = customer(cast.acme, stripe), patch.object(stripe_client, "send", sleep)
    sleeping.start()
    outbox_send(stripe.now)
    item.refresh_from_db()
    assert (item.state, item.version, item.error) == (OutboxState.DONE, 1, "")
    assert len(stripe.fake.all("customer")) == 1


def test_who_wakes_up_before_it_has_sent_anything_sends_nothing(cast: Cast, stripe: Stripe) -> None:
    """What it would send was answered long ago, and its key is forgotten there."""

    def sleep(*_call: object) -> None:
        sleeping.stop()
        stripe.pass_time(days=3)
        outbox_send(stripe.now)
        stripe.pass_time(days=3)

    item, sleeping = customer(cast.acme, stripe), patch.object(outbox, "vet", sleep)
    sleeping.start()
    outbox_send(stripe.now)
    item.refresh_from_db()
    assert (item.state, item.error) == (OutboxState.DONE, "")
    assert len(stripe.fake.all("customer")) == 1


def test_an_outage_has_what_was_missed_fetched(cast: Cast, stripe: Stripe) -> None:
    from billing.models import StripeSync

    stripe.fake.faults = failing(Fault.DROPPED)
    item = send(customer(cast.acme, stripe), stripe)
    down = StripeSync.objects.get()
    assert down.down_since == stripe.now
    send(item, stripe, days=3)
    sync = StripeSync.objects.get()
    assert (sync.down_since, sync.is_behind) == (None, True)
    assert sync.events_until is not None
    assert sync.events_until <= stripe.now - timedelta(days=3)
