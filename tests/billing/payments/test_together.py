"""Several at once, each in a transaction of its own: first without the lock, then with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import Decimal
from threading import Barrier, BrokenBarrierError, Event
from typing import Any
from unittest.mock import patch

import pytest
from django.db import IntegrityError, connection
from django.db.models import QuerySet

from billing import stripe_client
from billing.models import AutoTopUp, Invoice, Op, Payment, WebhookEvent
from billing.payments import (
    auto,
    auto_top_ups_step,
    inbox,
    inbox_work,
    invoices_push,
    looks,
    outbox,
    outbox_send,
    payment_refresh,
    pushing,
    top_up_begin,
    top_ups,
)
from tenants.models import AuditEntry, Organization
from tests.billing.payments.conftest import Stripe
from tests.billing.payments.drafts import draft_make
from tests.billing.payments.test_auto_top_ups import automatic, paid_by, turn_on
from tests.billing.payments.test_inbox import take
from tests.billing.payments.test_outbox import customer
from tests.billing.payments.test_top_ups import begin, prepaid
from tests.conftest import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], object]) -> list[Exception]:
    """Each in a thread and a connection of its own; what went wrong."""
    start = Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait(60)
            act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as threads:
        done = [threads.submit(run, act) for act in acts]
        return [error for one in done if isinstance(error := one.exception(120), Exception)]


@contextmanager
def meeting(module: Any, name: str, *, surely: bool = False) -> Iterator[None]:
    """The first who calls it waits there for a second one: for a moment, or until it comes."""
    act, barrier, met = getattr(module, name), Barrier(2), Event()

    def waiting(*given: Any, **named: Any) -> Any:
        if not met.is_set():
            with suppress(BrokenBarrierError):
                barrier.wait(60 if surely else 0.4)
            met.set()
        return act(*given, **named)

    with patch.object(module, name, waiting):
        yield


@contextmanager
def no_locks(module: Any, name: str) -> Iterator[None]:
    """Two meet where only one of them could be."""
    with (
        patch.object(QuerySet, "select_for_update", lambda self, **options: self),
        meeting(module, name, surely=True),
    ):
        yield


def test_two_workers_make_a_call_once(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[str]()
    send = stripe_client.send

    def counting(op: Op, payload: Any, key: str) -> Any:
        calls.append(key)
        return send(op, payload, key)

    monkeypatch.setattr(stripe_client, "send", counting)
    first, second = (customer(one, stripe) for one in (cast.acme, cast.rival))
    with no_locks(outbox, "_leased"):
        at_once(*[lambda: outbox_send(stripe.now, cast.acme)] * 2)
    assert calls == [first.idem_key] * 2, "without the lock both make it"
    with meeting(outbox, "_leased"):
        assert not at_once(*[lambda: outbox_send(stripe.now, cast.rival)] * 2)
    assert calls[2:] == [second.idem_key]
    assert len(stripe.fake.all("customer")) == 2


def test_whoever_clicks_twice_pays_once(cast: Cast, stripe: Stripe) -> None:
    def click(organization: Organization, amount: int = 100) -> None:
        top_up_begin(
            actor=cast.oskar, organization=organization, amount=Decimal(amount), now=stripe.now
        )

    def begun(organization: Organization) -> int:
        return Payment.objects.for_organization(organization).filter(net=100).count()

    click(cast.acme, 10)
    click(cast.rival, 10)
    with no_locks(top_ups, "priced"):
        at_once(*[lambda: click(cast.acme)] * 2)
    assert begun(cast.acme) == 2, "without the lock there are two checkouts"
    with meeting(top_ups, "priced"):
        assert not at_once(*[lambda: click(cast.rival)] * 2)
    assert begun(cast.rival) == 1


def test_two_workers_top_up_automatically_once(cast: Cast, stripe: Stripe) -> None:
    paid_by(cast, stripe, "4242424242424242")
    turn_on(cast)
    with no_locks(auto, "spent_in_month"):
        errors = at_once(*[lambda: auto_top_ups_step(stripe.now)] * 2)
    assert [type(error) for error in errors] == [IntegrityError], "without the lock both begin it"
    outbox_send(stripe.now)
    AutoTopUp.objects.update(threshold=1000, monthly_cap=1000)
    with meeting(auto, "spent_in_month"):
        assert not at_once(*[lambda: auto_top_ups_step(stripe.now)] * 2)
    assert len(automatic()) == 2


def test_a_payment_that_two_look_at_is_booked_once(cast: Cast, stripe: Stripe) -> None:
    """A webhook's worker, and the page of whoever waits."""

    def look_twice(payment: Payment) -> int:
        """How often it was said to be booked."""
        assert not at_once(*[lambda: payment_refresh(payment, stripe.now)] * 2)
        return AuditEntry.objects.filter(action="payment.book", target_id=str(payment.pk)).count()

    first, second = begin(cast, stripe, "10"), begin(cast, stripe, "20")
    for payment in (first, second):
        stripe.fake.pay(payment.checkout_url)
    with no_locks(looks, "_compare"):
        assert look_twice(first) == 2, "without the lock both book it"
    with meeting(looks, "_compare"):
        assert look_twice(second) == 1
    assert prepaid(cast.acme) == 30
    assert Invoice.objects.count() == 2


def test_a_webhook_that_comes_twice_at_once_is_kept_and_worked_off_once(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = list[str]()
    monkeypatch.setattr(inbox, "look", lambda kind, pk, now: looked.append(pk))
    first, second = begin(cast, stripe, "10"), begin(cast, stripe, "20")
    for payment in (first, second):
        stripe.fake.pay(payment.checkout_url)
    one, two = stripe.fake.events("payment_intent.succeeded")
    assert not at_once(*[lambda: take(one, stripe)] * 2)
    with no_locks(WebhookEvent, "save"):
        at_once(*[lambda: inbox_work(stripe.now)] * 2)
    assert looked == [one["data"]["object"]["id"]] * 2, "without the lock both look"
    assert not at_once(*[lambda: take(two, stripe)] * 2)
    with meeting(WebhookEvent, "save"):
        assert not at_once(*[lambda: inbox_work(stripe.now)] * 2)
    assert looked[2:] == [two["data"]["object"]["id"]]
    assert WebhookEvent.objects.count() == 2


def test_two_that_push_an_invoice_send_it_once(cast: Cast, stripe: Stripe) -> None:
    pushed = list[int]()

    def push() -> None:
        pushed.append(invoices_push(stripe.now))

    draft_make(cast.acme, "10")
    with no_locks(pushing, "customer_require"):
        at_once(push, push)
    assert pushed == [1, 1], "without the lock both push it"
    draft_make(cast.rival, "10")
    with meeting(pushing, "customer_require"):
        assert not at_once(push, push)
    assert sorted(pushed[2:]) == [0, 1]
    outbox_send(stripe.now)
    assert len(stripe.fake.all("invoice")) == 2
