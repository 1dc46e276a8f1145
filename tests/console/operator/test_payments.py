"""Payments, who is late, and what Stripe was told and told us."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import (
    EventState,
    Invoice,
    InvoiceKind,
    InvoiceState,
    OutboxItem,
    OutboxState,
    Payment,
    Provider,
    Reconciliation,
    StripeSync,
    WebhookEvent,
)
from billing.payments.booking import invoice_settle
from tests.conftest import Cast
from tests.console.money_rows import MoneyRows, money_made
from tests.console.operator.conftest import text_of

URL = "/operator/payments/"
STRIPE = "/operator/stripe/"


@pytest.fixture
def rows(cast: Cast) -> MoneyRows:
    return money_made(cast)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (URL, "No payments yet."),
        (f"{URL}late/", "Nobody is late."),
        (STRIPE, "Stripe is not set up."),
        (f"{STRIPE}webhooks/", "No event came yet."),
        (f"{STRIPE}reconciliation/", "There is nothing to compare with."),
    ],
)
def test_what_is_empty_says_what_will_be_there(operator: Client, page: str, said: str) -> None:
    assert said in text_of(operator.get(page))


def test_a_payment_is_found_and_shows_what_went_back(operator: Client, rows: MoneyRows) -> None:
    found = text_of(operator.get(f"{URL}?q=bg 7&state=paid"))
    assert "€125.00" in found
    assert "€12.50 paid back" in found
    assert "No payment is like this." in text_of(operator.get(f"{URL}?state=failed"))
    page = text_of(operator.get(f"{URL}{rows.payment.pk}/"))
    assert "Paid too much" in page
    booked = operator.get("/operator/books/transfers/?q=manual:BG 7").context["page"].rows
    assert sum(one.amount for one in booked) == rows.payment.total
    assert "?q=manual%3ABG%207" in page
    assert "€12.50" in page


def test_some_of_a_payment_goes_back_with_a_credit_note(operator: Client, rows: MoneyRows) -> None:
    page = f"{URL}{rows.payment.pk}/refund/"
    assert operator.get(page).context["form"].initial["amount"] == 90

    too_much = operator.post(page, {"amount": "90.01", "reason": "All"})
    operator.post(page, {"amount": "40", "reason": "Half"})

    assert too_much.status_code == 422
    payment = Payment.objects.get(pk=rows.payment.pk)
    assert payment.refunded == 62.5
    assert payment.invoice
    assert payment.invoice.credit_notes.count() == 2


def test_what_was_paid_too_much_is_told_and_given_back(operator: Client, rows: MoneyRows) -> None:
    sheet = f"{URL}{rows.payment.pk}/excess/"
    typed = {"way": "bank", "reference": "OUT 3"}
    assert "Nothing of this payment was too much" in text_of(operator.post(sheet, typed))
    late = rows.late
    payment = invoice_settle(
        late, actor=None, amount=late.to_pay + 7, provider=Provider.MANUAL,
        reference="BG 8", now=timezone.now(),
    )  # fmt: skip
    problems = operator.get("/operator/").context["problems"]
    assert "1 payment was too much." in [problem.what for problem in problems]
    assert "€7.00 too much" in text_of(operator.get(f"{URL}?state=excess"))
    page = f"{URL}{payment.pk}/"
    assert "Give back what was too much" in text_of(operator.get(page))
    assert operator.post(f"{page}excess/", {"way": "card"}).status_code == 422
    assert operator.post(f"{page}excess/", {"way": "bank"}).status_code == 422

    assert operator.post(f"{page}excess/", typed).status_code == 302

    shown = text_of(operator.get(page))
    assert "Paid too much (OUT 3)" in shown
    assert "Give back what was too much" not in shown
    assert "No payment is like this." in text_of(operator.get(f"{URL}?state=excess"))


def test_who_is_late_is_listed_with_what_comes_next(operator: Client, rows: MoneyRows) -> None:
    page = text_of(operator.get(f"{URL}late/"))
    assert "Rival" in page
    assert "Restricted" in page
    assert "€100.00" in page
    assert "Suspended in 10 days" in page
    assert "Nobody is at this stage." in text_of(operator.get(f"{URL}late/?stage=7"))


def test_a_call_that_stripe_refused_is_sent_again(operator: Client, rows: MoneyRows) -> None:
    page = text_of(operator.get(f"{STRIPE}?state=failed&q=acme"))
    assert "No such country." in page
    call = f"{STRIPE}calls/{rows.call.pk}/"
    assert "Send again" in text_of(operator.get(call))

    operator.post(f"{call}again/")
    again = text_of(operator.post(f"{call}again/", follow=True))

    item = OutboxItem.objects.get(pk=rows.call.pk)
    assert (item.state, item.version) == (OutboxState.PENDING, 2)
    assert "Only what was refused can be sent again." in again


def test_an_event_is_shown_and_looked_at_again(operator: Client, rows: MoneyRows) -> None:
    log = text_of(operator.get(f"{STRIPE}webhooks/?q=pi_1"))
    assert "payment_intent.succeeded" in log
    assert "Its signature is wrong." in log
    event = f"{STRIPE}webhooks/evt_1/"
    assert "&quot;evt_1&quot;" in text_of(operator.get(event))

    operator.post(f"{event}again/")

    assert WebhookEvent.objects.get().state == EventState.RECEIVED


def test_differences_are_open_until_they_are_over(operator: Client, rows: MoneyRows) -> None:
    page = f"{STRIPE}reconciliation/"
    assert "Another amount" in text_of(operator.get(page))
    one = Reconciliation.objects.get()
    one.resolved_at = one.last_seen_at
    one.save()
    assert "No difference is open." in text_of(operator.get(page))
    assert "pi_2" in text_of(operator.get(f"{page}?state=over"))


def test_what_waits_for_a_person_is_told_on_the_overview(operator: Client, rows: MoneyRows) -> None:
    month = rows.late.period_end
    Invoice.objects.create(
        organization=rows.payment.organization, kind=InvoiceKind.USAGE, currency="EUR",
        state=InvoiceState.HALTED, period_start=month, period_end=month,
    )  # fmt: skip
    StripeSync.objects.update_or_create(id=1, defaults={"down_since": rows.late.due_at})

    problems = operator.get("/operator/").context["problems"]

    told = " ".join(problem.what for problem in problems)
    assert "Stripe does not answer since" in told
    assert "1 invoice is halted." in told
    assert "Stripe refused 1 call." in told
    assert "1 amount differs from Stripe’s." in told
    assert "1 price is proposed." in told
