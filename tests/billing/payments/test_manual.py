"""Payments that reached the bank, and money that goes back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from billing.invoices import invoice_finalise
from billing.ledger import books_check, invoices_check
from billing.models import (
    Invoice,
    Op,
    OutboxItem,
    OutboxState,
    Payment,
    PaymentState,
    Refund,
    RefundState,
)
from billing.payments import (
    invoice_credit,
    outbox_retry,
    payment_enter,
    payment_refund,
    refund_again,
)
from tests.billing.ledger.reading import balances
from tests.billing.payments.conftest import NOON, Stripe
from tests.billing.payments.drafts import draft_make
from tests.billing.payments.test_top_ups import begin, prepaid
from tests.conftest import Cast


def enter(cast: Cast, amount: str = "125", reference: str = "B-1", **more: object) -> Payment:
    return payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal(amount), reference=reference,
        now=NOON, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def paid(cast: Cast, stripe: Stripe) -> Payment:
    payment = begin(cast, stripe)
    stripe.fake.pay(payment.checkout_url)
    stripe.deliver()
    payment.refresh_from_db()
    return payment


def test_what_came_by_bank_is_credit_without_its_vat(cast: Cast) -> None:
    payment = enter(cast)
    assert (payment.net, payment.vat) == (Decimal(100), Decimal(25))
    assert payment.state == PaymentState.PAID
    assert prepaid(cast.acme) == 100
    assert Invoice.objects.get().total == 125
    assert balances(None)["bank"] == -125
    assert not books_check()


def test_a_reference_is_one_payment(cast: Cast) -> None:
    enter(cast)
    with pytest.raises(ValidationError, match="entered already"):
        enter(cast, "125", " B-1 ")
    assert prepaid(cast.acme) == 100


def test_an_amount_that_is_none_and_other_money_are_refused(cast: Cast) -> None:
    for amount in ("-1", "0", "1.001", "NaN", "1e9", "1e40"):
        with pytest.raises(ValidationError):
            enter(cast, amount)
    with pytest.raises(ValidationError, match="at most 90"):
        enter(cast, reference="B" * 91)
    with pytest.raises(ValidationError, match="EUR"):
        enter(cast, currency="SEK")
    assert not Payment.objects.exists()


def test_credit_that_is_not_used_goes_back_with_its_vat(cast: Cast, stripe: Stripe) -> None:
    payment = paid(cast, stripe)
    payment_refund(
        actor=cast.oskar, payment=payment, amount=Decimal(40), reason="Asked", now=stripe.now
    )
    assert prepaid(cast.acme) == 60
    stripe.deliver()
    refund = Refund.objects.get()
    assert (refund.state, refund.total) == (RefundState.DONE, Decimal(50))
    (theirs,) = stripe.fake.all("refund")
    assert theirs["amount"] == 5000
    with pytest.raises(ValidationError):
        payment_refund(
            actor=cast.oskar, payment=payment, amount=Decimal(61), reason="Asked", now=stripe.now
        )
    payment_refund(
        actor=cast.oskar, payment=payment, amount=Decimal(60), reason="Asked", now=stripe.now
    )
    stripe.deliver()
    payment.refresh_from_db()
    assert payment.state == PaymentState.REFUNDED
    assert balances(None).get("clearing", Decimal(0)) == 0
    assert not books_check()


def test_what_does_not_arrive_stays_owed_until_it_is_tried_again(
    cast: Cast, stripe: Stripe
) -> None:
    payment = paid(cast, stripe)
    stripe.fake.client().v1.refunds.create(
        params={"payment_intent": payment.stripe_payment_intent, "amount": 12500}
    )
    refund = payment_refund(
        actor=cast.oskar, payment=payment, amount=Decimal(100), reason="Asked", now=stripe.now
    )
    stripe.deliver()
    refund.refresh_from_db()
    assert refund.state == RefundState.FAILED
    assert balances(cast.acme)["owed"] == 125
    again = refund_again(actor=cast.oskar, refund=refund, now=stripe.now)
    assert again.state == RefundState.PENDING
    with pytest.raises(ValidationError, match="under way"):
        refund_again(actor=cast.oskar, refund=refund, now=stripe.now)


def test_what_came_by_bank_goes_back_by_bank(cast: Cast) -> None:
    refund = payment_refund(
        actor=cast.oskar, payment=enter(cast), amount=Decimal(100), reason="Asked", now=NOON
    )
    assert refund.state == RefundState.DONE
    assert balances(None).get("bank", Decimal(0)) == 0


def test_of_an_invoice_that_is_still_open_nothing_goes_back(cast: Cast) -> None:
    """All of it would be paid back, and only a part of it was paid."""
    invoice = invoice_finalise(actor=cast.oskar, invoice=draft_make(cast.acme, "10.00"), now=NOON)
    payment = enter(cast, "5", invoice=invoice)
    with pytest.raises(ValidationError, match="still open"):
        payment_refund(
            actor=cast.oskar, payment=payment, amount=Decimal(4), reason="Asked", now=NOON
        )
    assert not Refund.objects.exists()


def test_the_longest_reference_is_booked(cast: Cast) -> None:
    enter(cast, reference="B" * 90)
    assert prepaid(cast.acme) == 100


def test_a_refund_that_failed_is_begun_anew_and_not_sent_again(cast: Cast, stripe: Stripe) -> None:
    """Both could arrive."""
    payment = paid(cast, stripe)
    payment_refund(
        actor=cast.oskar, payment=payment, amount=Decimal(100), reason="Asked", now=stripe.now
    )
    OutboxItem.objects.filter(op=Op.REFUND).update(state=OutboxState.FAILED)
    with pytest.raises(ValidationError, match="begin it anew"):
        outbox_retry(actor=cast.oskar, item=OutboxItem.objects.get(op=Op.REFUND), now=stripe.now)


def test_what_was_paid_of_what_is_credited_goes_back_and_the_rest_comes_off_what_is_open(
    cast: Cast,
) -> None:
    invoice = invoice_finalise(actor=cast.oskar, invoice=draft_make(cast.acme, "10.00"), now=NOON)
    enter(cast, "10", invoice=invoice)
    note = invoice_credit(
        actor=cast.oskar, invoice=invoice, amount=Decimal(4), reason="Slow", now=NOON
    )
    assert (note.from_open, Refund.objects.get().total) == (Decimal("2.5"), Decimal("2.5"))
    assert balances(cast.acme) == {}
    enter(cast, "125", "B-2")
    invoice_credit(actor=cast.oskar, invoice=invoice, amount=Decimal(6), reason="Slow", now=NOON)
    assert balances(None)["bank"] == -125
    assert books_check() == invoices_check() == []
