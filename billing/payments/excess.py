"""What was paid too much of an invoice: it goes back, or becomes credit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import stripe_client
from billing.models import AccountKind, Payment, Refund
from billing.payments.booking import credit_settle
from billing.payments.refunding import payment_close, refund_finish, refund_send
from tenants import audit
from tenants.models import User


class Way(models.TextChoices):
    """How it is given back."""

    CARD = "card", gettext_lazy("Back to the card that paid")
    BANK = "bank", gettext_lazy("By a bank transfer that was made")
    CREDIT = "credit", gettext_lazy("On the balance, as credit")


def ways_of(payment: Payment) -> list[Way]:
    """Those that are open to `payment`, the nearest first."""
    by_card = stripe_client.is_on() and payment.stripe_payment_intent
    return [way for way in Way if way != Way.CARD or by_card]


@transaction.atomic
def excess_return(
    *, actor: User, payment: Payment, way: Way, reference: str = "", now: datetime | None = None
) -> Payment:
    """Give back all that was too much of `payment`. `reference` is that of the bank transfer.

    What becomes credit is a payment in advance, with its VAT and its invoice. ValidationError when
    nothing was too much, for a way that is not open, and for a transfer without a reference.
    """
    now = now or timezone.now()
    locked = Payment.objects.select_for_update(of=("self",)).select_related("organization")
    payment = locked.get(pk=payment.pk)
    amount = payment.excess
    if not amount:
        raise ValidationError(_("Nothing of this payment was too much, or it was given back."))
    if way not in ways_of(payment):
        raise ValidationError(_("Stripe cannot give it back: choose another way."))
    reference = reference.strip() if way == Way.BANK else ""
    if way == Way.BANK and not reference:
        raise ValidationError({"reference": _("Enter the bank’s reference of the transfer.")})
    payment.excess, payment.refunded = Decimal(0), payment.refunded + amount
    payment.save(update_fields=["excess", "refunded"])
    if way == Way.CREDIT:
        credit_settle(
            payment.organization, actor=actor, amount=amount, reference=f"excess:{payment.pk}",
            now=now, out_of=AccountKind.OWED,
        )  # fmt: skip
        payment_close(payment)
    else:
        _refund(actor, payment, amount, reference, now)
    audit.record(
        actor=actor, action="payment.excess_return", target=payment,
        organization=payment.organization, amount=str(amount), currency=payment.currency,
        way=str(way), reference=reference,
    )  # fmt: skip
    return payment


def _refund(actor: User, payment: Payment, amount: Decimal, reference: str, now: datetime) -> None:
    """It is no turnover, so no VAT goes back with it."""
    refund = Refund.objects.create(
        organization=payment.organization, payment=payment, net=amount, vat=Decimal(0),
        reason=_("Paid too much"), reference=reference, created_by=actor, created_at=now,
    )  # fmt: skip
    if reference:
        refund_finish(refund, "")
    else:
        refund_send(refund, payment, now)
