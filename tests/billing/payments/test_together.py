"""Several at once, each in a transaction of its own: first without the lock, then with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import Decimal
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.db.models import QuerySet

from billing import stripe_client
from billing.models import AutoTopUp, Invoice, Op, Payment
from billing.payments import (
    auto,
    auto_top_ups_step,
    looks,
    outbox,
    outbox_send,
    payment_refresh,
    top_up_begin,
    top_ups,
)
from tenants.models import AuditEntry, Organization
from tests.billing.payments.conftest import Stripe
from tests.billing.payments.test_auto_top_ups import automatic, paid_by, turn_on
from tests.billing.payments.test_outbox import customer
from tests.billing.payments.test_top_ups import begin, prepaid
from tests.conftest import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], object]) -> list[Exception]:
    """Each in a thread and a connection of its own; what went wrong."""
    start = Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait(10)
            act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as threads:
        done = [threads.submit(run, act) for act in acts]
        return [error for one in done if isinstance(error := one.exception(30), Exception)]


def meet(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """Whoever calls it waits there for a second one, for a moment."""
    act, barrier = getattr(module, name), Barrier(2)

    def waiting(*given: Any, **named: Any) -> Any:
        with suppress(BrokenBarrierError):
            barrier.wait(0.4)
        return act(*given, **named)

    monkeypatch.setattr(module, name, waiting)


@contextmanager
def no_locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "select_for_update", lambda self, **options: self)
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
    meet(monkeypatch, outbox, "_leased")
    first, second = (customer(one, stripe) for one in (cast.acme, cast.rival))
    with no_locks(monkeypatch):
        at_once(*[lambda: outbox_send(stripe.now, cast.acme)] * 2)
    assert calls == [first.idem_key] * 2, "without the lock both make it"
    meet(monkeypatch, outbox, "_leased")
    assert not at_once(*[lambda: outbox_send(stripe.now, cast.rival)] * 2)
    assert calls[2:] == [second.idem_key]
    assert len(stripe.fake.all("customer")) == 2


def test_whoever_clicks_twice_pays_once(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def click(organization: Organization, amount: int = 100) -> None:
        top_up_begin(
            actor=cast.oskar, organization=organization, amount=Decimal(amount), now=stripe.now
        )

    def begun(organization: Organization) -> int:
        return Payment.objects.for_organization(organization).filter(net=100).count()

    click(cast.acme, 10)
    click(cast.rival, 10)
    meet(monkeypatch, top_ups, "priced")
    with no_locks(monkeypatch):
        at_once(*[lambda: click(cast.acme)] * 2)
    assert begun(cast.acme) == 2, "without the lock there are two checkouts"
    meet(monkeypatch, top_ups, "priced")
    assert not at_once(*[lambda: click(cast.rival)] * 2)
    assert begun(cast.rival) == 1


def test_two_workers_top_up_automatically_once(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid_by(cast, stripe, "4242424242424242")
    turn_on(cast)
    meet(monkeypatch, auto, "spent_in_month")
    with no_locks(monkeypatch):
        errors = at_once(*[lambda: auto_top_ups_step(stripe.now)] * 2)
    assert [type(error) for error in errors] == [IntegrityError], "without the lock both begin it"
    outbox_send(stripe.now)
    AutoTopUp.objects.update(threshold=1000, monthly_cap=1000)
    meet(monkeypatch, auto, "spent_in_month")
    assert not at_once(*[lambda: auto_top_ups_step(stripe.now)] * 2)
    assert len(automatic()) == 2


def test_a_payment_that_two_look_at_is_booked_once(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook's worker, and the page of whoever waits."""

    def look_twice(payment: Payment) -> int:
        """How often it was said to be booked."""
        meet(monkeypatch, looks, "_compare")
        assert not at_once(*[lambda: payment_refresh(payment, stripe.now)] * 2)
        return AuditEntry.objects.filter(action="payment.book", target_id=str(payment.pk)).count()

    first, second = begin(cast, stripe, "10"), begin(cast, stripe, "20")
    for payment in (first, second):
        stripe.fake.pay(payment.checkout_url)
    with no_locks(monkeypatch):
        assert look_twice(first) == 2, "without the lock both book it"
    assert look_twice(second) == 1
    assert prepaid(cast.acme) == 30
    assert Invoice.objects.count() == 2
