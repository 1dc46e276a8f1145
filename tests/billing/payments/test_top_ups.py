"""Credit that is bought by card: begun here, paid at Stripe, credited once it was verified."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from billing.ledger import wallet_read
from billing.models import Invoice, OutboxItem, Payment, PaymentState, StripeCustomer
from billing.payments import payment_refresh, portal_url, top_up_begin
from tenants.models import Organization
from tests.billing.payments.conftest import Stripe
from tests.conftest import Cast


def begin(cast: Cast, stripe: Stripe, amount: str = "100") -> Payment:
    return top_up_begin(
        actor=cast.olivia, organization=cast.acme, amount=Decimal(amount), now=stripe.now
    )


def prepaid(organization: Organization) -> Decimal:
    return wallet_read([organization.pk])[organization.pk].prepaid


def test_a_paid_checkout_is_credit_without_its_vat_and_an_invoice(
    cast: Cast, stripe: Stripe
) -> None:
    payment = begin(cast, stripe)
    assert payment.total == Decimal("125.00")
    assert prepaid(cast.acme) == 0
    stripe.fake.pay(payment.checkout_url)
    stripe.deliver()
    payment.refresh_from_db()
    assert payment.state == PaymentState.PAID
    assert prepaid(cast.acme) == 100
    invoice = Invoice.objects.get()
    assert payment.invoice == invoice
    sums = (invoice.subtotal, invoice.vat_amount, invoice.to_pay)
    assert sums == (Decimal(100), Decimal(25), Decimal(0))
    assert StripeCustomer.objects.get(organization=cast.acme).label == "Visa •••• 4242"


def test_whoever_waits_for_it_need_not_wait_for_a_webhook(cast: Cast, stripe: Stripe) -> None:
    payment = begin(cast, stripe)
    stripe.fake.pay(payment.checkout_url)
    payment_refresh(payment, stripe.now)
    assert prepaid(cast.acme) == 100
    stripe.deliver()
    assert prepaid(cast.acme) == 100


def test_to_begin_the_same_twice_goes_on_with_what_was_begun(cast: Cast, stripe: Stripe) -> None:
    first, second = begin(cast, stripe), begin(cast, stripe)
    assert first.checkout_url == second.checkout_url
    assert len(stripe.fake.all("checkout.session")) == 1
    assert begin(cast, stripe, "50").pk != first.pk


def test_a_checkout_that_nobody_pays_is_cancelled(cast: Cast, stripe: Stripe) -> None:
    payment = begin(cast, stripe)
    stripe.pass_time(hours=25)
    stripe.deliver()
    payment.refresh_from_db()
    assert payment.state == PaymentState.CANCELLED
    assert prepaid(cast.acme) == 0


def test_an_amount_that_is_none_is_refused(cast: Cast, stripe: Stripe) -> None:
    for amount in ("-10", "0", "4.99", "10000.01", "12.345", "NaN", "Infinity"):
        with pytest.raises(ValidationError):
            begin(cast, stripe, amount)
    assert not OutboxItem.objects.exists()


def test_without_stripe_no_card_is_taken(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="bank transfer"):
        top_up_begin(actor=cast.olivia, organization=cast.acme, amount=Decimal(100))


def test_the_portal_is_there_after_a_first_payment(cast: Cast, stripe: Stripe) -> None:
    with pytest.raises(ValidationError, match="card once"):
        portal_url(actor=cast.olivia, organization=cast.acme)
    begin(cast, stripe)
    assert portal_url(actor=cast.olivia, organization=cast.acme).startswith("http")
