"""What was paid too much of an invoice: back to the card, by bank, or credit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from billing.ledger import books_check, invoices_check
from billing.models import (
    Invoice,
    InvoiceKind,
    Payment,
    PaymentState,
    Provider,
    Refund,
    RefundState,
)
from billing.payments import (
    Way,
    excess_return,
    payment_refund,
    refund_again,
    stripe_reconcile,
    ways_of,
)
from tenants.models import AuditEntry
from tests.billing.ledger.reading import balances
from tests.billing.payments.conftest import NOON, Stripe
from tests.billing.payments.test_pushing import pay_twice
from tests.conftest import Cast


@pytest.fixture
def twice(cast: Cast, stripe: Stripe) -> Payment:
    """12.50 by card, after the bank had brought as much."""
    pay_twice(cast, stripe)
    payment = Payment.objects.get(provider=Provider.STRIPE)
    assert (payment.excess, payment.refundable) == (Decimal("12.50"), Decimal(0))
    assert balances(cast.acme) == {"owed": Decimal("12.50")}
    return payment


def give_back(cast: Cast, payment: Payment, way: Way, reference: str = "") -> Payment:
    return excess_return(actor=cast.oskar, payment=payment, way=way, reference=reference, now=NOON)


def is_even() -> bool:
    return books_check() == invoices_check() == []


def test_it_goes_back_to_the_card_once(cast: Cast, stripe: Stripe, twice: Payment) -> None:
    assert ways_of(twice) == [Way.CARD, Way.BANK, Way.CREDIT]
    give_back(cast, twice, Way.CARD)
    with pytest.raises(ValidationError, match="was given back"):
        give_back(cast, twice, Way.CREDIT)
    assert balances(cast.acme) == {"owed": Decimal("12.50")}, "until it is there"
    for _twice in range(2):
        stripe.deliver()
    assert [(one["amount"], one["status"]) for one in stripe.fake.all("refund")] == [
        (1250, "succeeded")
    ]
    refund = Refund.objects.get()
    assert (refund.state, refund.total) == (RefundState.DONE, Decimal("12.50"))
    twice.refresh_from_db()
    assert (twice.state, twice.excess) == (PaymentState.REFUNDED, Decimal(0))
    assert (balances(cast.acme), balances(None).get("clearing")) == ({}, None)
    assert is_even()
    assert stripe_reconcile(stripe.now) == []
    entry = AuditEntry.objects.get(action="payment.excess_return")
    assert (entry.actor, entry.data["amount"], entry.data["way"]) == (cast.oskar, "12.50", "card")


def test_what_the_card_does_not_take_waits_for_another_way(
    cast: Cast, stripe: Stripe, twice: Payment
) -> None:
    stripe.fake.client().v1.refunds.create(
        params={"payment_intent": twice.stripe_payment_intent, "amount": 1250}
    )
    give_back(cast, twice, Way.CARD)
    stripe.deliver()
    refund = Refund.objects.get()
    assert refund.state == RefundState.FAILED
    with pytest.raises(ValidationError, match="anew on the page"):
        refund_again(actor=cast.oskar, refund=refund)
    with pytest.raises(ValidationError, match="reference of the transfer"):
        give_back(cast, twice, Way.BANK, " ")
    give_back(cast, twice, Way.BANK, "OUT-7")
    assert Refund.objects.get(reference="OUT-7").state == RefundState.DONE
    assert balances(cast.acme) == {}
    assert "bank" not in balances(None), "as much came as went"
    assert is_even()


def test_it_becomes_credit_with_vat_and_an_invoice(
    cast: Cast, stripe: Stripe, twice: Payment
) -> None:
    give_back(cast, twice, Way.CREDIT)
    assert balances(cast.acme) == {"prepaid": Decimal(10)}
    bought = Invoice.objects.get(kind=InvoiceKind.TOP_UP)
    assert (bought.total, bought.vat_amount) == (Decimal("12.5"), Decimal("2.5"))
    made = Payment.objects.get(invoice=bought)
    payment_refund(actor=cast.oskar, payment=made, amount=Decimal(10), reason="Asked", now=NOON)
    assert balances(cast.acme) == {}
    assert is_even()


def test_without_stripe_no_card_is_offered(
    cast: Cast, stripe: Stripe, twice: Payment, settings: Any
) -> None:
    settings.STRIPE_API_KEY = ""
    assert ways_of(twice) == [Way.BANK, Way.CREDIT]
    with pytest.raises(ValidationError, match="another way"):
        give_back(cast, twice, Way.CARD)
