"""Buying credit on the pages: VAT before paying, the way there and back, and without cards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from billing.ledger import wallet_read
from billing.models import (
    AutoTopUp,
    OutboxItem,
    Payment,
    PaymentState,
    Plan,
    Refund,
    RefundState,
    Terms,
)
from billing.payments import payment_enter, payment_refund
from billing.profiles import profile_set
from console.fakestripe import Fault
from console.fakestripe.faults import no_faults
from console.fakestripe.http import Refusal
from tests.billing.payments import conftest as doubles
from tests.billing.payments.conftest import Stripe
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.words import words_of

URL = "/o/acme/billing/top-up/"
stripe = doubles.stripe


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    return log_in_freshly(client, cast.olivia)


@pytest.fixture(autouse=True)
def _address(cast: Cast) -> None:
    profile_set(
        actor=cast.olivia, organization=cast.acme, legal_name="Acme AB", country="SE",
        address="Gatan 1", postcode="111 22", city="Stockholm",
    )  # fmt: skip


@pytest.fixture
def card(stripe: Stripe) -> Stripe:
    """Cards are taken, by a double whose clock is ours."""
    stripe.now = timezone.now()
    return stripe


def bought(client: Client, card: Stripe, amount: str = "100") -> Payment:
    """Credit, paid on Stripe's page."""
    answer = client.post(URL, {"amount": amount})
    payment = Payment.objects.get(state=PaymentState.CREATED)
    assert answer["Location"] == payment.checkout_url
    card.fake.pay(payment.checkout_url)
    return payment


def test_vat_is_shown_before_anything_is_paid(olivia: Client, card: Stripe) -> None:
    said = words_of(olivia.get(f"{URL}?amount=100"))

    assert "VAT 25 % €25.00" in said
    assert "Pay €125.00" in said
    assert Payment.objects.count() == 0


def test_an_address_is_asked_for_first(client: Client, cast: Cast, card: Stripe) -> None:
    page = log_in_freshly(client, cast.rita).get("/o/rival/billing/top-up/?amount=100")

    assert "/o/rival/billing/address/" in page.text
    assert "Pay €" not in page.text


def test_a_payment_is_booked_by_whoever_comes_back_from_it(
    olivia: Client, cast: Cast, card: Stripe
) -> None:
    payment = bought(olivia, card)

    said = words_of(olivia.get(f"{URL}{payment.pk}/"))

    assert "The credit is booked: the balance is €100.00." in said
    assert "To the invoice" in said
    assert wallet_read([cast.acme.pk])[cast.acme.pk].prepaid == 100


def test_until_it_is_paid_the_page_waits_and_leads_there(olivia: Client, card: Stripe) -> None:
    olivia.post(URL, {"amount": "50"})
    payment = Payment.objects.get()

    part = olivia.get(f"{URL}{payment.pk}/", headers={"HX-Request": "true"})

    assert 'hx-trigger="every 3s"' in part.text
    assert payment.checkout_url in part.text.replace("&amp;", "&")
    assert "<html" not in part.text


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("-5", "greater than or equal to 0.01"),
        ("1", "Enter an amount from €5 to €10 000."),
        ("1.234", "no more than 2 decimal places"),
        ("much", "Enter a number."),
    ],
)
def test_an_amount_that_is_none_is_refused_with_the_reason(
    olivia: Client, card: Stripe, amount: str, message: str
) -> None:
    answer = olivia.post(URL, {"amount": amount})

    assert answer.status_code == 422
    assert message in answer.text
    assert Payment.objects.count() == 0


def test_who_logged_in_long_ago_shows_again_that_it_is_they(
    client: Client, cast: Cast, card: Stripe
) -> None:
    log_in_freshly(client, cast.olivia, age_s=3600)

    answer = client.post(URL, {"amount": "100"})

    assert "reauthenticate" in answer["Location"]
    assert Payment.objects.count() == 0


def test_a_suspended_organization_can_still_pay(olivia: Client, cast: Cast, card: Stripe) -> None:
    cast.acme.state = "suspended"
    cast.acme.save(update_fields=["state"])

    assert bought(olivia, card).total == Decimal("125.00")


def test_automatic_top_ups_need_a_card_and_a_cap_that_holds_one(
    olivia: Client, cast: Cast, card: Stripe
) -> None:
    typed = {"is_on": "on", "threshold": "20", "amount": "100", "monthly_cap": "500"}
    without = olivia.post(f"{URL}automatic/", typed)
    olivia.get(f"{URL}{bought(olivia, card).pk}/")
    too_low = olivia.post(f"{URL}automatic/", typed | {"monthly_cap": "50"})
    assert (without.status_code, too_low.status_code) == (422, 422)
    assert "Enter at least the amount of one top-up." in too_low.text

    assert olivia.post(f"{URL}automatic/", typed)["Location"] == "/o/acme/billing/"

    assert AutoTopUp.objects.get().is_on
    said = words_of(olivia.get("/o/acme/billing/"))
    assert "Tops up with €100.00 below €20.00." in said
    assert "4242" in said


def test_the_card_is_changed_at_stripe(olivia: Client, card: Stripe) -> None:
    home = olivia.post("/o/acme/billing/payment-method/", follow=True)
    assert "Top up by card once" in home.text
    olivia.get(f"{URL}{bought(olivia, card).pk}/")

    assert "/portal/" in olivia.post("/o/acme/billing/payment-method/")["Location"]


def test_without_cards_the_page_says_how_to_pay_by_bank(olivia: Client, settings: Any) -> None:
    settings.SELLER_IBAN = "SE45 5000 0000 0583 9825 7466"

    said = words_of(olivia.get(f"{URL}?amount=100"))

    assert "Cards are not taken here." in said
    assert "SE45 5000 0000 0583 9825 7466 Reference acme Amount €125.00" in said


def test_a_payment_of_another_organization_does_not_exist(client: Client, cast: Cast) -> None:
    theirs = payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal(125), reference="bank 1"
    )
    log_in_freshly(client, cast.rita)

    assert client.get(f"/o/rival/billing/top-up/{theirs.pk}/").status_code == 404
    assert client.post(f"/o/rival/billing/top-up/{theirs.pk}/confirm/").status_code == 404


def test_while_stripe_is_silent_the_page_says_so_and_afterwards_it_goes_on(
    olivia: Client, card: Stripe
) -> None:
    card.fake.faults = lambda request, now: Fault.DROPPED
    answer = olivia.post(URL, {"amount": "100"})
    assert answer.status_code == 422
    assert "The payment service does not answer." in answer.text
    card.fake.faults = no_faults
    OutboxItem.objects.update(next_at=timezone.now())
    assert bought(olivia, card).total == Decimal("125.00")


def test_what_waits_to_be_sent_of_other_acts_holds_no_customer_up(
    olivia: Client, cast: Cast, card: Stripe
) -> None:
    """A refund of an operator's is sent with it, and what follows from that is booked."""
    payment = bought(olivia, card)
    olivia.get(f"{URL}{payment.pk}/")
    payment.refresh_from_db()
    payment_refund(actor=cast.oskar, payment=payment, amount=Decimal(40), reason="Asked")
    assert olivia.post(URL, {"amount": "50"})["Location"].startswith("http")
    assert Refund.objects.get().state == RefundState.DONE


def test_the_credit_of_a_plan_is_given_when_it_is_chosen(olivia: Client, cast: Cast) -> None:
    build, free = (Plan.objects.get(slug=slug) for slug in ("build", "free"))
    Terms.objects.create(organization=cast.acme, plan=build, mode="prepaid")
    Authenticator.objects.create(user=cast.olivia, type=Authenticator.Type.WEBAUTHN, data={})
    assert olivia.post("/o/acme/billing/plan/free/").status_code == 302
    assert wallet_read([cast.acme.pk])[cast.acme.pk].promo == free.promo_monthly


def test_whoever_enters_the_address_for_a_top_up_comes_back_to_it(
    client: Client, cast: Cast, card: Stripe
) -> None:
    rita = log_in_freshly(client, cast.rita)
    assert (
        "/o/rival/billing/address/?top_up=50" in rita.get("/o/rival/billing/top-up/?amount=50").text
    )
    typed = {
        "legal_name": "Rival AB", "address": "Gatan 2", "postcode": "111 22", "city": "Stockholm",
        "country": "SE",
    }  # fmt: skip
    saved = rita.post("/o/rival/billing/address/?top_up=50", typed)
    assert "Pay €62.50" in words_of(rita.get(saved["Location"]))


def test_whoever_comes_back_with_a_declined_card_reads_so(olivia: Client, card: Stripe) -> None:
    olivia.post(URL, {"amount": "50"})
    payment = Payment.objects.get()
    with pytest.raises(Refusal):
        card.fake.pay(payment.checkout_url, "4000000000000002")

    said = words_of(olivia.get(f"{URL}{payment.pk}/"))

    assert "Not paid yet Your card was declined. Nothing was charged" in said
    assert payment.checkout_url in olivia.get(f"{URL}{payment.pk}/").text
