"""Mails about payments: to those who pay, once, each with what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core import mail

from billing.models import DunningStage, Invoice, NoticeKind, Payment, PaymentKind, Provider
from billing.payments.notices import notice_leave
from console.payment_mails import notices_mail
from tests.billing.payments.drafts import draft_make
from tests.conftest import Cast

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("commits_at_once")


def paid_automatically(cast: Cast) -> Payment:
    return Payment.objects.create(
        organization=cast.acme, kind=PaymentKind.AUTO_TOP_UP, provider=Provider.STRIPE,
        net=Decimal(100), vat=Decimal(25), total=Decimal(125), failure="Your card has expired.",
        reference=str(Payment.objects.count()),
    )  # fmt: skip


def told(kind: NoticeKind, cast: Cast, *, stage: DunningStage | None = None) -> tuple[str, str]:
    """Subject and text of the one mail, which is to the owner and sent once."""
    payment = None if stage is not None else paid_automatically(cast)
    invoice = Invoice.objects.filter(organization=cast.acme).first()
    if invoice is None:
        invoice = draft_make(cast.acme, "10.00")
        invoice.number, invoice.due_at = "R-2027-0001", NOON
        invoice.save()
    for _twice in range(2):
        notice_leave(
            cast.acme, kind, str(stage), NOON, payment=payment, invoice=invoice, stage=stage
        )
        notices_mail()
    (message,) = mail.outbox
    mail.outbox.clear()
    assert message.to == ["olivia@acme.test"]
    return str(message.subject), str(message.body)


def test_the_people_of_money_are_told_once(cast: Cast) -> None:
    for kind, subject, text in (
        (NoticeKind.PAYMENT_FAILED, "a card payment failed", "Your card has expired."),
        (NoticeKind.NEEDS_ACTION, "confirm a payment", "€125.00 to be confirmed"),
        (NoticeKind.AUTO_TOP_UP_OFF, "automatic top-up is off", "three times in a row"),
        (NoticeKind.SETTLED, "paid, thank you", "Nothing is late any more"),
    ):
        said = told(kind, cast)
        assert said[0] == f"Acme: {subject}"
        assert text in said[1]
        assert "/o/acme/billing/" in said[1]


def test_who_is_late_reads_what_follows(cast: Cast) -> None:
    for stage, subject, text in (
        (DunningStage.TOLD, "invoice R-2027-0001 is due", "€12.50 is open"),
        (DunningStage.WARNED, "invoice R-2027-0001 is 7 days late", "After 14 days"),
        (DunningStage.RESTRICTED, "restricted until invoice R-2027-0001 is paid", "no API keys"),
        (DunningStage.SUSPENDED, "suspended until invoice R-2027-0001 is paid", "are refused"),
    ):
        said = told(NoticeKind.LATE, cast, stage=stage)
        assert said[0] == f"Acme: {subject}"
        assert text in said[1]
        assert "10 Mar 2027" in said[1]
