"""Ours against Stripe's: what is missing is fetched, and what differs is kept until it does not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing.ledger import BooksError, books_check
from billing.models import (
    DifferenceKind,
    Payment,
    Reconciliation,
    StripeCustomer,
    StripeSync,
)
from billing.payments import payment_refund, reconciling, stripe_reconcile
from console.fakestripe import Fault
from tests.billing.ledger.reading import balances
from tests.billing.payments.conftest import Stripe
from tests.billing.payments.drafts import draft_make
from tests.billing.payments.test_pushing import push
from tests.billing.payments.test_top_ups import begin, prepaid
from tests.conftest import Cast


@pytest.fixture
def payment(cast: Cast, stripe: Stripe) -> Payment:
    """Paid and known; two days have passed."""
    payment = begin(cast, stripe)
    stripe.fake.pay(payment.checkout_url)
    stripe.deliver()
    stripe.pass_time(days=2)
    payment.refresh_from_db()
    return payment


def differences(stripe: Stripe) -> list[tuple[str, str]]:
    stripe_reconcile(stripe.pass_time(minutes=1))
    rows = Reconciliation.objects.filter(resolved_at=None).order_by("subject")
    return [(row.subject, row.kind) for row in rows]


def test_what_agrees_is_compared_and_fees_are_booked(
    cast: Cast, stripe: Stripe, payment: Payment
) -> None:
    push(stripe, draft_make(cast.acme, "10.00"))
    payment_refund(
        actor=cast.oskar, payment=payment, amount=Decimal(10), reason="Asked", now=stripe.now
    )
    stripe.deliver()
    for _hour in range(2):
        assert differences(stripe) == []
    assert StripeSync.objects.get().compared > 2
    (charge, *_rest) = stripe.fake.all("balance_transaction")
    assert balances(None)["fee_expense"] == -Decimal(charge["fee"]) / 100
    assert not books_check()


def test_a_lost_week_of_webhooks_is_caught_up_with(cast: Cast, stripe: Stripe) -> None:
    payment = begin(cast, stripe)
    stripe.fake.pay(payment.checkout_url)
    stripe.pass_time(days=7)
    assert prepaid(cast.acme) == 0
    assert stripe_reconcile(stripe.now, is_long=True) == []
    assert prepaid(cast.acme) == 100


def test_what_differs_is_open_until_it_does_not(stripe: Stripe, payment: Payment) -> None:
    was = Payment.objects.filter(pk=payment.pk).values().get()
    changes: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
        ({"total": 126, "vat": 26}, [("payment", "value")]),
        ({"net": 101, "total": 126}, [("credit", "value"), ("payment", "value")]),
        ({"stripe_payment_intent": "pi_of_nobody"},
         [("credit", "missing"), ("payment", "extra"), ("payment", "missing")]),
    ]  # fmt: skip
    for change, found in changes:
        Payment.objects.filter(pk=payment.pk).update(**{**was, **change})
        for _hour in range(2):
            assert sorted(differences(stripe)) == found
    Payment.objects.filter(pk=payment.pk).update(**was)
    assert stripe_reconcile(stripe.pass_time(minutes=1), is_long=True) == []
    assert Reconciliation.objects.count() == 5


def test_what_is_younger_than_two_hours_may_still_come(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = begin(cast, stripe)
    stripe.fake.pay(payment.checkout_url)
    Payment.objects.filter(pk=payment.pk).update(currency="SEK")
    assert differences(stripe) == [("payment", DifferenceKind.LAG)]
    stripe.pass_time(hours=2)
    assert differences(stripe) == [("payment", DifferenceKind.MISSING)]


def test_a_customer_and_money_back_that_are_not_ours_are_found(
    cast: Cast, stripe: Stripe, payment: Payment
) -> None:
    StripeCustomer.objects.update(stripe_id="cus_of_another")
    stripe.fake.client().v1.refunds.create(
        params={"payment_intent": payment.stripe_payment_intent, "amount": 100}
    )
    found = [("customer", DifferenceKind.EXTRA), ("refund", DifferenceKind.EXTRA)]
    assert differences(stripe) == found


def test_an_outage_finds_nothing_and_closes_nothing(stripe: Stripe, payment: Payment) -> None:
    Payment.objects.filter(pk=payment.pk).update(total=126, vat=26)
    assert differences(stripe) == [("payment", DifferenceKind.VALUE)]
    stripe.fake.faults = lambda request, now: Fault.DROPPED
    assert stripe_reconcile(stripe.pass_time(hours=1)) == []
    assert Reconciliation.objects.get().resolved_at is None


def test_what_differs_stays_open_however_old_it_gets(stripe: Stripe, payment: Payment) -> None:
    Payment.objects.filter(pk=payment.pk).update(total=126, vat=26)
    found = [("payment", DifferenceKind.VALUE)]
    assert differences(stripe) == found
    stripe.pass_time(days=5)
    assert differences(stripe) == found, "an hourly run does not look back so far"
    Payment.objects.filter(pk=payment.pk).update(total=125, vat=25)
    stripe_reconcile(stripe.pass_time(hours=1), is_long=True)
    assert Reconciliation.objects.get().resolved_at is not None


def test_one_that_the_books_refuse_keeps_no_other_from_being_compared(
    cast: Cast, stripe: Stripe, payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.fake.pay(begin(cast, stripe, "50").checkout_url)
    with monkeypatch.context() as broken:
        broken.setattr(reconciling, "look", _refused)
        stripe.pass_time(hours=3)
        assert differences(stripe) == [("payment", DifferenceKind.MISSING)]
    assert differences(stripe) == []


def _refused(*_given: object) -> None:
    raise BooksError("Not balanced.")
