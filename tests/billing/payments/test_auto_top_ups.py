"""Credit that buys itself: below the threshold, within the month's cap, one at a time."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError

from billing.ledger import wallet_read
from billing.limiting import terms_set
from billing.models import (
    AutoTopUp,
    AutoTopUpState,
    Mode,
    NoticeKind,
    Op,
    OutboxItem,
    OutboxState,
    Payment,
    PaymentKind,
    PaymentNotice,
    PaymentState,
    StripeCustomer,
)
from billing.payments import (
    auto_top_up_set,
    auto_top_ups_step,
    outbox_retry,
    outbox_send,
    payment_action,
    portal_url,
)
from billing.payments.auto import COOL, LAPSES
from billing.payments.looks import look
from billing.payments.metrics import payments_health
from console.fakestripe.hosted import hosted
from tests.billing.payments.conftest import Stripe
from tests.billing.payments.test_top_ups import begin, prepaid
from tests.conftest import Cast

ASKS = "4000002760003184"
DECLINES = "4000000000000341"


@pytest.fixture
def card(cast: Cast, stripe: Stripe) -> Payment:
    """Acme is prepaid, and 10 EUR were paid by a card that is kept."""
    return paid_by(cast, stripe, "4242424242424242")


def paid_by(cast: Cast, stripe: Stripe, number: str) -> Payment:
    terms_set(
        actor=cast.oskar, organization=cast.acme, plan=None, mode=Mode.PREPAID, credit_limit=None
    )
    payment = begin(cast, stripe, "10")
    stripe.fake.pay(payment.checkout_url, number)
    stripe.deliver()
    return payment


def turn_on(
    cast: Cast, *, threshold: str = "20", amount: str = "50", monthly_cap: str = "120"
) -> AutoTopUp:
    return auto_top_up_set(
        actor=cast.olivia, organization=cast.acme, is_on=True, threshold=Decimal(threshold),
        amount=Decimal(amount), monthly_cap=Decimal(monthly_cap),
    )  # fmt: skip


def step(cast: Cast, stripe: Stripe, **span: float) -> AutoTopUp:
    """A while passes; what it then does by itself, with Stripe's answers and webhooks."""
    stripe.pass_time(**span)
    auto_top_ups_step(stripe.now)
    outbox_send(stripe.now)
    stripe.deliver()
    return AutoTopUp.objects.get(organization=cast.acme)


def told(kind: NoticeKind) -> int:
    return PaymentNotice.objects.filter(kind=kind).count()


def automatic() -> list[Payment]:
    return list(Payment.objects.filter(kind=PaymentKind.AUTO_TOP_UP).order_by("created_at"))


def test_below_the_threshold_the_saved_card_pays(cast: Cast, stripe: Stripe, card: Payment) -> None:
    turn_on(cast)
    row = step(cast, stripe)
    assert prepaid(cast.acme) == 60
    assert (row.state, row.payment, row.sequence) == (AutoTopUpState.IDLE, None, 1)
    (payment,) = automatic()
    assert (payment.state, payment.total) == (PaymentState.PAID, Decimal("62.50"))
    assert step(cast, stripe, days=1).sequence == 1


def test_one_is_in_flight_at_a_time(cast: Cast, stripe: Stripe, card: Payment) -> None:
    turn_on(cast)
    assert auto_top_ups_step(stripe.now) == 1
    assert AutoTopUp.objects.get().state == AutoTopUpState.REQUESTED
    assert auto_top_ups_step(stripe.now) == 0
    assert len(automatic()) == 1


def test_in_a_month_no_more_is_bought_than_the_cap(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    turn_on(cast, threshold="1000", amount="50", monthly_cap="120")
    for _day in range(4):
        row = step(cast, stripe, days=1)
    assert prepaid(cast.acme) == 110
    assert "cap" in row.failure
    step(cast, stripe, days=25)
    assert prepaid(cast.acme) == 160


def test_a_card_that_declines_pauses_it_and_three_in_a_row_end_it(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    turn_on(cast)
    decline(stripe)
    row = step(cast, stripe)
    assert (row.state, row.failures) == (AutoTopUpState.IDLE, 1)
    assert step(cast, stripe, minutes=30).sequence == 1
    step(cast, stripe, seconds=COOL.total_seconds())
    row = step(cast, stripe, seconds=COOL.total_seconds())
    assert (row.is_on, row.failures, row.sequence) == (False, 3, 3)
    assert (told(NoticeKind.PAYMENT_FAILED), told(NoticeKind.AUTO_TOP_UP_OFF)) == (3, 1)
    assert {one.state for one in automatic()} == {PaymentState.FAILED}
    assert prepaid(cast.acme) == 10


def decline(stripe: Stripe) -> None:
    """The card that is kept is one that banks refuse from now on."""
    customer = StripeCustomer.objects.get()
    method = stripe.fake.client().v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", params={"customer": str(customer.stripe_id)}
    )
    StripeCustomer.objects.update(payment_method=method.id)


def test_what_the_bank_wants_confirmed_a_person_pays_at_a_checkout(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    ask(stripe)
    turn_on(cast)
    assert step(cast, stripe).state == AutoTopUpState.NEEDS_ACTION
    assert told(NoticeKind.NEEDS_ACTION) == 1
    (payment,) = automatic()
    assert payment.failure, "its page says why"
    payment = payment_action(actor=cast.olivia, payment=payment, now=stripe.now)
    stripe.fake.pay(payment.checkout_url)
    row = step(cast, stripe)
    assert (row.state, row.is_on) == (AutoTopUpState.IDLE, True)
    assert prepaid(cast.acme) == 60
    with pytest.raises(ValidationError, match="nothing to confirm"):
        payment_action(actor=cast.olivia, payment=payment, now=stripe.now)


def test_what_was_confirmed_unheard_is_paid_and_opens_no_checkout(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    """Stripe does not cancel a charge that has succeeded."""
    ask(stripe)
    turn_on(cast)
    step(cast, stripe)
    (payment,) = automatic()
    stripe.fake.client().v1.payment_intents.confirm(
        payment.stripe_payment_intent, params={"payment_method": "pm_card_visa"}
    )
    payment = payment_action(actor=cast.olivia, payment=payment, now=stripe.now)
    assert (payment.state, payment.checkout_url) == (PaymentState.PAID, "")
    assert prepaid(cast.acme) == 60
    assert len(stripe.fake.all("checkout.session")) == 1
    assert payments_health(stripe.now)["calls_refused"] == 0


def ask(stripe: Stripe) -> None:
    customer = StripeCustomer.objects.get()
    method = stripe.fake.client().v1.payment_methods.attach(
        "pm_card_authenticationRequired", params={"customer": str(customer.stripe_id)}
    )
    StripeCustomer.objects.update(payment_method=method.id)


def test_what_nobody_confirms_lapses_and_counts_if_it_is_paid_all_the_same(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    ask(stripe)
    turn_on(cast)
    step(cast, stripe)
    (payment,) = automatic()
    stripe.pass_time(seconds=LAPSES.total_seconds() - 60)
    payment = payment_action(actor=cast.olivia, payment=payment, now=stripe.now)
    AutoTopUp.objects.update(threshold=0)
    row = step(cast, stripe, seconds=60)
    assert (row.state, row.failures) == (AutoTopUpState.IDLE, 1)
    stripe.fake.pay(payment.checkout_url)
    stripe.deliver()
    assert prepaid(cast.acme) == 60


def test_amounts_that_make_no_sense_are_refused(cast: Cast, stripe: Stripe, card: Payment) -> None:
    wrong = [
        {"amount": "-5"}, {"monthly_cap": "49"}, {"monthly_cap": "1e20"}, {"threshold": "-1"},
        {"threshold": "NaN"}, {"threshold": "1e20"},
    ]  # fmt: skip
    for amounts in wrong:
        with pytest.raises(ValidationError):
            turn_on(cast, **amounts)


def test_it_needs_a_card_that_is_kept(cast: Cast, stripe: Stripe) -> None:
    with pytest.raises(ValidationError, match="by card once"):
        turn_on(cast)
    assert not OutboxItem.objects.exists()
    assert wallet_read([cast.acme.pk])[cast.acme.pk].prepaid == 0


def test_a_charge_that_was_ended_there_is_begun_anew_in_an_hour(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    turn_on(cast)
    auto_top_ups_step(stripe.now)
    OutboxItem.objects.filter(op=Op.CHARGE).update(state=OutboxState.DONE)
    (payment,) = automatic()
    intent = stripe.fake.client().v1.payment_intents.create(params={
        "amount": 6250, "currency": "eur", "metadata": {"payment": str(payment.pk)},
        "customer": str(StripeCustomer.objects.get().stripe_id),
    })  # fmt: skip
    stripe.fake.client().v1.payment_intents.cancel(intent.id)
    row = step(cast, stripe)
    payment.refresh_from_db()
    assert (payment.state, row.state) == (PaymentState.CANCELLED, AutoTopUpState.IDLE)
    step(cast, stripe, seconds=COOL.total_seconds())
    assert prepaid(cast.acme) == 60


def test_what_was_turned_off_before_it_was_sent_charges_nobody(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    turn_on(cast)
    auto_top_ups_step(stripe.now)
    AutoTopUp.objects.update(is_on=False)
    step(cast, stripe, days=1)
    assert prepaid(cast.acme) == 10
    assert len(stripe.fake.all("payment_intent")) == 1


def test_a_refused_charge_is_not_sent_again_beside_the_next(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    turn_on(cast)
    decline(stripe)
    step(cast, stripe)
    with pytest.raises(ValidationError, match="begin it anew"):
        outbox_retry(actor=cast.oskar, item=OutboxItem.objects.get(op=Op.CHARGE), now=stripe.now)


def test_an_old_payment_that_is_looked_at_again_brings_no_old_card_back(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    StripeCustomer.objects.update(payment_method="pm_newer", label="Visa •••• 1111")
    look("payment_intent", Payment.objects.get().stripe_payment_intent, stripe.now)
    assert StripeCustomer.objects.get().payment_method == "pm_newer"


def test_the_card_that_was_chosen_in_the_portal_pays_from_then_on(
    cast: Cast, stripe: Stripe, card: Payment
) -> None:
    portal = urlsplit(portal_url(actor=cast.olivia, organization=cast.acme)).path
    answer = hosted(stripe.fake, "POST", portal, {"act": "add", "number": "5555555555554444"})
    assert answer
    assert answer.status == 303

    stripe.deliver()

    kept = StripeCustomer.objects.get()
    assert kept.label == "Mastercard •••• 4444"
    turn_on(cast)
    auto_top_ups_step(stripe.now)
    stripe.deliver()
    (charge,) = stripe.fake.all("payment_intent")[1:]
    assert charge["payment_method"] == kept.payment_method
