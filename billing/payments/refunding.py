"""Money that goes back: the books keep it as owed until it arrived.

A credit note says why, but of what was paid too much: that was never due.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.invoices import credit_note_issue, credit_note_settled
from billing.ledger import refund_book
from billing.models import (
    AccountKind,
    CreditNote,
    CreditNoteState,
    Invoice,
    InvoiceKind,
    Op,
    Payment,
    PaymentState,
    Provider,
    Refund,
    RefundState,
)
from billing.payments.amounts import parted
from billing.payments.booking import credit_settle
from billing.payments.queue import outbox_add
from billing.stripe_client import minor
from billing.written import money_written
from tenants import audit
from tenants.models import User


class Rest(models.TextChoices):
    """What becomes of what was paid of a credit note."""

    BACK = "back", gettext_lazy("Goes back the way it came")
    CREDIT = "credit", gettext_lazy("Stays on the balance, as credit")


@transaction.atomic
def payment_refund(
    *, actor: User, payment: Payment, amount: Decimal, reason: str, now: datetime | None = None
) -> Refund:
    """Take back `amount`, net, and pay it back with its VAT, the way it came.

    ValidationError for more than is left of the payment, and for credit that is used already. What
    came by bank is noted as paid back: an operator transfers it.
    """
    now = now or timezone.now()
    locked = Payment.objects.select_for_update(of=("self",)).select_related("organization")
    payment = locked.get(pk=payment.pk)
    if payment.invoice is None:
        raise ValidationError(_("Nothing of this payment can be paid back: it was not booked."))
    note = credit_note_issue(
        actor=actor, invoice=payment.invoice, amount=amount, reason=reason, now=now
    )
    if note.from_open:
        raise ValidationError(
            _("A part of its invoice is still open: give a credit note, which comes off that.")
        )
    if note.total > payment.refundable:
        raise ValidationError(
            _("Of this payment at most %(left)s can be paid back."),
            params={"left": money_written(payment.refundable, payment.currency)},
        )
    return _refund(actor, payment, note, now)


@transaction.atomic
def invoice_credit(
    *,
    actor: User,
    invoice: Invoice,
    amount: Decimal,
    reason: str,
    rest: Rest = Rest.BACK,
    now: datetime | None = None,
) -> CreditNote:
    """Take back `amount`, net, of an invoice; what becomes of the `rest` that was paid see there.

    ValidationError for more than is left of it, for more than any one payment of it brought where
    that goes back, and for credit of an invoice of credit.
    """
    now = now or timezone.now()
    locked = Payment.objects.select_for_update(of=("self",)).select_related("organization")
    payments = list(locked.filter(invoice=invoice).order_by("pk"))
    note = credit_note_issue(actor=actor, invoice=invoice, amount=amount, reason=reason, now=now)
    if not (owed := note.total - note.from_open):
        return note
    if rest == Rest.CREDIT:
        _to_credit(actor, payments, note, now)
        return note
    payment = next((one for one in payments if one.refundable >= owed), None)
    if payment is None:
        raise ValidationError(
            _("No payment of it was as much as goes back: credit what each has paid by itself.")
        )
    _refund(actor, payment, note, now)
    return note


@transaction.atomic
def refund_again(*, actor: User, refund: Refund, now: datetime | None = None) -> Refund:
    """Try one that failed once more. What was paid too much waits on its payment instead."""
    refund = Refund.objects.select_for_update().get(pk=refund.pk)
    if refund.credit_note is None:
        raise ValidationError(
            _("Give it back anew on the page of its payment: it was paid too much.")
        )
    payment = Payment.objects.select_for_update().get(pk=refund.payment_id)
    tried = Refund.objects.filter(credit_note=refund.credit_note_id)
    if tried.exclude(state=RefundState.FAILED).exists():
        raise ValidationError(_("It was paid back, or is under way."))
    payment.refunded -= refund.total
    return _refund(actor, payment, refund.credit_note, now or timezone.now())


def _to_credit(actor: User, payments: Iterable[Payment], note: CreditNote, now: datetime) -> None:
    """What they brought is a payment in advance from now on."""
    if note.invoice.kind == InvoiceKind.TOP_UP:
        raise ValidationError(_("This invoice is of credit: what it took goes back as it came."))
    owed = left = note.total - note.from_open
    for payment in payments:
        part = min(payment.refundable, left)
        payment.refunded, left = payment.refunded + part, left - part
        payment.save(update_fields=["refunded"])
        payment_close(payment)
    credit_settle(
        note.organization, actor=actor, amount=owed, reference=f"credit_note:{note.number}",
        now=now, out_of=AccountKind.OWED,
    )  # fmt: skip
    credit_note_settled(note, CreditNoteState.PREPAID)


def _refund(actor: User, payment: Payment, note: CreditNote, now: datetime) -> Refund:
    owed = note.total - note.from_open
    net, vat = (note.net, note.vat) if owed == note.total else parted(owed, payment.vat_rate)
    refund = Refund.objects.create(
        organization=payment.organization, payment=payment, credit_note=note, net=net,
        vat=vat, reason=note.reason[:200], created_by=actor, created_at=now,
    )  # fmt: skip
    payment.refunded += refund.total
    payment.save(update_fields=["refunded"])
    audit.record(
        actor=actor, action="payment.refund", target=refund, organization=payment.organization,
        amount=str(refund.total), currency=payment.currency, reason=refund.reason,
    )  # fmt: skip
    if payment.provider == Provider.MANUAL:
        refund_finish(refund, "")
    else:
        refund_send(refund, payment, now)
    return refund


def refund_send(refund: Refund, payment: Payment, now: datetime) -> None:
    if not payment.stripe_payment_intent:
        raise ValidationError(
            _("Stripe does not say by which charge this was paid: pay it back there.")
        )
    payload = {
        "payment_intent": payment.stripe_payment_intent,
        "amount": minor(refund.total),
        "reason": "requested_by_customer",
        "metadata": {"refund": str(refund.pk), "payment": str(payment.pk)},
    }
    outbox_add(payment.organization, Op.REFUND, f"refund:{refund.pk}", payload, now)


def refund_finish(refund: Refund, stripe_id: str) -> None:
    """It arrived: it is owed no more. `refund` is locked."""
    if refund.state == RefundState.DONE:
        return
    payment = refund.payment
    refund.state, refund.stripe_id, refund.failure = RefundState.DONE, stripe_id, ""
    refund.save(update_fields=["state", "stripe_id", "failure"])
    by_bank = refund.reference or payment.provider == Provider.MANUAL
    refund_book(
        organization=refund.organization,
        amount=refund.total,
        source_id=str(refund.pk),
        out_of=AccountKind.BANK if by_bank else AccountKind.CLEARING,
    )
    if refund.credit_note:
        credit_note_settled(refund.credit_note, CreditNoteState.REFUNDED)
    payment_close(payment)


def payment_close(payment: Payment) -> None:
    """Nothing of it is left, once all was given back."""
    if payment.refunded == payment.total:
        Payment.objects.filter(pk=payment.pk).update(state=PaymentState.REFUNDED)


def refund_fail(refund: Refund, why: str) -> None:
    """It did not arrive: what is owed stays owed, until it is tried again. `refund` is locked."""
    if refund.state == RefundState.PENDING:
        refund.state, refund.failure = RefundState.FAILED, why[:300]
        refund.save(update_fields=["state", "failure"])
        if refund.credit_note_id is None:
            Payment.objects.filter(pk=refund.payment_id).update(
                excess=F("excess") + refund.total, refunded=F("refunded") - refund.total
            )
