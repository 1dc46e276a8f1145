"""Credit that is bought by card: begun here, paid at Stripe, credited once it was verified."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from billing.ledger import wallet_read
from billing.models import (
    Currency,
    EventState,
    Invoice,
    OutboxItem,
    Payment,
    PaymentState,
    StripeCustomer,
    WebhookEvent,
)
from billing.payments import payment_refresh, portal_url, top_up_begin
from billing.plans import currency_set
from billing.profiles import profile_set
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


def test_who_says_meanwhile_who_they_are_pays_the_vat_that_follows(
    cast: Cast, stripe: Stripe
) -> None:
    first = begin(cast, stripe)
    profile_set(
        actor=cast.olivia, organization=cast.acme, legal_name="Acme", address="1", postcode="1",
        city="Oslo", country="NO",
    )  # fmt: skip
    second = begin(cast, stripe)
    assert (first.total, second.total) == (Decimal(125), Decimal(100))


def test_a_currency_stays_while_a_payment_in_it_may_come(cast: Cast, stripe: Stripe) -> None:
    payment = begin(cast, stripe)
    to = {"actor": cast.oskar, "organization": cast.acme, "currency": Currency.SEK}
    with pytest.raises(ValidationError, match="under way"):
        currency_set(**to)  # type: ignore[arg-type]
    Payment.objects.update(state=PaymentState.CANCELLED)
    currency_set(**to)  # type: ignore[arg-type]
    stripe.fake.pay(payment.checkout_url)
    stripe.deliver()
    assert prepaid(cast.acme) == 0, "100 EUR are not 100 SEK"
    assert WebhookEvent.objects.get(type="payment_intent.succeeded").state == EventState.REFUSED
