"""Invoices become final: they get a number and are booked, and do not change any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.exchange import NoRate, vat_in_sek
from billing.invoices.freezing import invoice_halt, invoice_lock
from billing.invoices.series import INVOICES, STATEMENTS, number_next
from billing.ledger import invoice_book, invoice_unbook, write_off_book
from billing.models import (
    BillingProfile,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceState,
    LineKind,
    Payment,
    VatTreatment,
)
from billing.profiles import buyer_of, seller_of, vat_decide
from billing.vat import Vat
from tenants import audit
from tenants.models import User

READY: Final = frozenset({InvoiceState.DRAFT, InvoiceState.PUSHED})
SENT: Final = frozenset({InvoiceState.PUSHING, InvoiceState.PUSHED})
"""Stripe may make it final, and collect it, at any moment."""


@transaction.atomic
def invoice_finalise(
    *, actor: User | None, invoice: Invoice, now: datetime | None = None
) -> Invoice:
    """Give it its number, and book it. One that has a number is returned as it is.

    Raises ValidationError for one that is not ready.
    """
    moment = now or timezone.now()
    locked = invoice_lock(invoice)
    if locked.number:
        return locked
    if locked.state not in READY:
        raise ValidationError(_("Only a draft can be made final."))
    locked.state, locked.finalised_at = InvoiceState.FINALISED, moment
    locked.due_at = moment + timedelta(days=settings.INVOICE_DUE_DAYS)
    if not locked.total:
        locked.state, locked.paid_at, locked.due_at = InvoiceState.PAID, moment, None
    invoice_book(locked)
    series = STATEMENTS if locked.is_statement else INVOICES
    locked.number = number_next(series, moment.year)
    locked.save()
    _tell(actor, "invoice.finalise", locked, number=locked.number, total=str(locked.total))
    return locked


@transaction.atomic
def invoice_release(*, actor: User, invoice: Invoice, reason: str) -> Invoice:
    """Try a halted invoice again, once a person has looked at why."""
    locked = invoice_lock(invoice)
    if locked.state != InvoiceState.HALTED:
        raise ValidationError(_("This invoice is not halted."))
    locked.halted_because = ""
    if locked.kind == InvoiceKind.TOP_UP:
        _top_up_finish(locked, timezone.now())
    else:
        locked.state = InvoiceState.FROZEN if locked.root else InvoiceState.CLOSING
        locked.save(update_fields=["state", "halted_because"])
    _tell(actor, "invoice.release", locked, reason=reason)
    return locked


@transaction.atomic
def invoice_void(*, actor: User | None, invoice: Invoice, reason: str) -> Invoice:
    """Take back one of which nothing is paid or credited; its usage can be invoiced again.

    Raises ValidationError for any other.
    """
    locked = invoice_lock(invoice)
    if locked.kind != InvoiceKind.USAGE or locked.state == InvoiceState.VOID:
        raise ValidationError(_("This invoice cannot be made void."))
    if locked.state in SENT:
        raise ValidationError(_("It is on its way to Stripe: wait until it is final or halted."))
    if locked.state == InvoiceState.UNCOLLECTIBLE:
        raise ValidationError(_("It is written off: give a credit note instead."))
    if locked.paid or locked.credited or locked.state == InvoiceState.PAID:
        raise ValidationError(_("It is paid or credited: give a credit note instead."))
    if locked.number:
        invoice_unbook(locked)
    locked.state = InvoiceState.VOID
    locked.save(update_fields=["state"])
    _tell(actor, "invoice.void", locked, number=locked.number, reason=reason)
    return locked


@transaction.atomic
def invoice_dun(invoice: Invoice, now: datetime) -> Invoice:
    """It is past due from now on, if it is still open."""
    locked = invoice_lock(invoice)
    if locked.state == InvoiceState.FINALISED and not locked.is_trifle:
        locked.state = InvoiceState.PAST_DUE
        locked.save(update_fields=["state"])
        due = locked.due_at and locked.due_at.isoformat()
        _tell(None, "invoice.past_due", locked, number=locked.number, due=due)
    return locked


@transaction.atomic
def invoice_write_off(*, actor: User | None, invoice: Invoice, reason: str) -> Invoice:
    """Nobody expects it to be paid any more: what is open is a bad debt in the books.

    A payment or a credit note that comes all the same takes that back.
    """
    locked = invoice_lock(invoice)
    if locked.state not in {InvoiceState.FINALISED, InvoiceState.PAST_DUE} or not locked.to_pay:
        raise ValidationError(_("Only an open invoice can be uncollectible."))
    write_off_book(locked)
    locked.state = InvoiceState.UNCOLLECTIBLE
    locked.save(update_fields=["state"])
    facts = {"number": locked.number, "amount": str(locked.to_pay), "reason": reason}
    _tell(actor, "invoice.write_off", locked, **facts)
    return locked


def invoices_age(now: datetime) -> int:
    """Those whose day has passed are past due; how many that were."""
    late = Invoice.objects.filter(state=InvoiceState.FINALISED, due_at__lt=now)
    return sum(invoice_dun(one, now).state == InvoiceState.PAST_DUE for one in late)


@transaction.atomic
def top_up_invoice(*, payment: Payment, now: datetime) -> Invoice:
    """The invoice of credit that `payment`, which is booked, has bought: it is paid at once.

    While it lacks the rate for its VAT in SEK, it is halted and has no number.
    """
    found = Invoice.objects.filter(kind=InvoiceKind.TOP_UP, source_id=str(payment.pk))
    if known := found.filter(organization=payment.organization).first():
        return known
    profile = BillingProfile.objects.for_organization(payment.organization).first()
    made = Invoice.objects.create(
        organization=payment.organization,
        kind=InvoiceKind.TOP_UP,
        state=InvoiceState.DRAFT,
        source_id=str(payment.pk),
        period_start=now.date(),
        period_end=now.date() + timedelta(days=1),
        currency=payment.currency,
        buyer=buyer_of(profile, payment.organization),
        seller=seller_of(),
    )
    InvoiceLine.objects.create(
        invoice=made, organization=payment.organization, position=1, kind=LineKind.TOP_UP,
        exact=payment.net, amount=payment.net, text="Prepaid credit",
    )  # fmt: skip
    vat = _vat_of(payment, vat_decide(profile, now.date()))
    made.vat_rate, made.vat_treatment, made.vat_note = vat
    made.subtotal, made.vat_amount, made.total = payment.net, payment.vat, payment.total
    made.paid, made.paid_at = payment.total, now
    made.save()
    return _top_up_finish(made, now)


def _top_up_finish(invoice: Invoice, now: datetime) -> Invoice:
    """Its VAT is of the day of the payment."""
    try:
        vat_in_sek(invoice, invoice.period_start)
    except NoRate as lacking:
        return invoice_halt(invoice=invoice, reason=str(lacking))
    invoice.state, invoice.finalised_at = InvoiceState.PAID, now
    invoice.number = number_next(INVOICES, now.year)
    invoice.save()
    _tell(None, "invoice.finalise", invoice, number=invoice.number, total=str(invoice.total))
    return invoice


def _vat_of(payment: Payment, now: Vat) -> Vat:
    """As it was decided when the payment began; what it has to say only if that is still so."""
    treatment = VatTreatment(payment.vat_treatment or now.treatment)
    return Vat(payment.vat_rate, treatment, now.note if now.treatment == treatment else "")


def _tell(actor: User | None, action: str, invoice: Invoice, **facts: Any) -> None:
    audit.record(
        actor=actor, action=action, target=invoice, organization=invoice.organization, **facts
    )
