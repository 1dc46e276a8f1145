"""Payments that reached the bank, entered by operators: of an invoice, or for credit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.ledger.credit import MOST
from billing.models import Invoice, Op, Payment, Provider
from billing.payments.amounts import CENT
from billing.payments.booking import credit_settle, invoice_settle
from billing.payments.queue import outbox_add
from billing.plans import currency_of
from billing.written import money_written
from tenants.models import Organization, User

LONGEST: Final = 90
"""Letters of a reference: with `manual:` before it, it is the source of what is booked."""


def payment_enter(
    *,
    actor: User,
    organization: Organization,
    amount: Decimal,
    reference: str,
    currency: str = "",
    invoice: Invoice | None = None,
    now: datetime | None = None,
) -> Payment:
    """Enter what came: `amount` with VAT, of an invoice, or for credit. A reference is used once.

    ValidationError for an amount, a reference or a currency that cannot be, and for more than is
    open of the invoice.
    """
    _check(organization, amount, reference, currency)
    now = now or timezone.now()
    try:
        with transaction.atomic():
            if invoice is None:
                return credit_settle(
                    organization, actor=actor, amount=amount, reference=reference.strip(), now=now
                )
            return _paid(actor, organization, invoice, amount, reference, now)
    except IntegrityError as error:
        if "payment_reference_once" not in str(error):
            raise
        raise ValidationError(
            {"reference": _("This reference was entered already: each payment has its own.")}
        ) from error


def _check(organization: Organization, amount: Decimal, reference: str, currency: str) -> None:
    ours = currency_of(organization.pk)
    if currency and currency != ours:
        raise ValidationError(
            _("Its books are in %(ours)s: a payment in %(theirs)s cannot be entered."),
            params={"ours": ours, "theirs": currency},
        )
    if not (amount.is_finite() and 0 < amount <= MOST and amount == amount.quantize(CENT)):
        raise ValidationError(
            {"amount": _("Enter an amount above 0 and of at most 9 million, with two decimals.")}
        )
    if not 0 < len(reference.strip()) <= LONGEST:
        words = {"most": LONGEST}
        raise ValidationError(
            {"reference": _("Enter the bank’s reference, in at most %(most)s letters.") % words}
        )


def _paid(
    actor: User,
    organization: Organization,
    invoice: Invoice,
    amount: Decimal,
    reference: str,
    now: datetime,
) -> Payment:
    """What Stripe was to collect, it is told not to."""
    mine = Invoice.objects.for_organization(organization).select_for_update()
    invoice = mine.get(pk=invoice.pk)
    if amount > invoice.to_pay:
        raise ValidationError(
            {"amount": _("Of this invoice only %(open)s is open: enter at most that.")
             % {"open": money_written(invoice.to_pay, invoice.currency)}}
        )  # fmt: skip
    payment = invoice_settle(
        invoice, actor=actor, amount=amount, provider=Provider.MANUAL,
        reference=reference.strip(), now=now,
    )  # fmt: skip
    invoice.refresh_from_db()
    if invoice.stripe_id and not invoice.to_pay:
        payload = {"id": invoice.stripe_id, "paid_out_of_band": True}
        outbox_add(organization, Op.PAY_ELSEWHERE, f"invoice:{invoice.pk}", payload, now)
    return payment
