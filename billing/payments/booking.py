"""Payments that were verified, into the books: each once, and nowhere else."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.invoices import top_up_invoice
from billing.ledger import payment_book, top_up_book
from billing.models import (
    AccountKind,
    Invoice,
    Payment,
    PaymentKind,
    PaymentState,
    Provider,
)
from billing.payments.amounts import parted, priced
from billing.payments.auto import auto_settled
from billing.payments.dunning import dunning_look
from billing.payments.errors import MismatchError, same
from billing.plans import currency_of
from tenants import audit
from tenants.models import Organization, User

_INTO: Final = {Provider.STRIPE: AccountKind.CLEARING, Provider.MANUAL: AccountKind.BANK}


def payment_settle(
    payment: Payment,
    *,
    actor: User | None,
    source_id: str,
    now: datetime,
    out_of: AccountKind | None = None,
) -> bool:
    """Credit is there from now on. `payment` is locked; False when it was booked before.

    `source_id` is the provider's name of the payment. The money came to us, or lay `out_of` where
    it is. MismatchError when it was paid by another.
    """
    if payment.paid_at:
        if source_of(payment) != source_id:
            raise MismatchError(f"It was paid already, by {source_of(payment)}.")
        return False
    same("currency", currency_of(payment.organization_id), payment.currency)
    if payment.provider == Provider.STRIPE:
        payment.stripe_payment_intent = source_id
    payment.state, payment.paid_at, payment.failure = PaymentState.PAID, now, ""
    payment.checkout_url = ""
    top_up_book(
        actor=actor,
        organization=payment.organization,
        net=payment.net,
        vat=payment.vat,
        source_id=source_id,
        into=out_of or _INTO[Provider(payment.provider)],
    )
    payment.invoice = top_up_invoice(payment=payment, now=now)
    payment.save()
    _tell(payment, actor)
    auto_settled(payment)
    dunning_look(payment.organization, now)
    return True


def invoice_settle(
    invoice: Invoice,
    *,
    actor: User | None,
    amount: Decimal,
    provider: Provider,
    reference: str,
    now: datetime,
) -> Payment:
    """An invoice is paid, or a part of it. `reference` names the payment, and makes it once.

    `invoice` is locked. What is more than is open of it is the `excess` of the payment.
    """
    net, vat = parted(amount, invoice.vat_rate)
    payment = Payment.objects.create(
        organization=invoice.organization, invoice=invoice, net=net, vat=vat, total=amount,
        kind=PaymentKind.INVOICE, provider=provider, reference=reference, created_by=actor,
        currency=invoice.currency, vat_rate=invoice.vat_rate, vat_treatment=invoice.vat_treatment,
        state=PaymentState.PAID, created_at=now, paid_at=now,
        excess=max(amount - invoice.to_pay, Decimal(0)),
    )  # fmt: skip
    payment_book(
        organization=invoice.organization,
        invoice=invoice,
        amount=amount,
        source_id=f"{provider}:{reference}",
        into=_INTO[provider],
    )
    _tell(payment, actor)
    dunning_look(invoice.organization, now)
    return payment


def credit_settle(
    organization: Organization,
    *,
    actor: User,
    amount: Decimal,
    reference: str,
    now: datetime,
    out_of: AccountKind | None = None,
) -> Payment:
    """A payment in advance that no card made: net is what, with its VAT, comes to `amount`.

    It came to the bank, or lay `out_of` what is owed. `reference` names it, and makes it once.
    """
    made = priced(
        organization, PaymentKind.MANUAL, amount, now,
        provider=Provider.MANUAL, reference=reference, created_by=actor,
    )  # fmt: skip
    made.net, made.vat = parted(amount, made.vat_rate)
    made.total = amount
    made.save()
    payment_settle(made, actor=actor, source_id=source_of(made), now=now, out_of=out_of)
    return made


def source_of(payment: Payment) -> str:
    """What its transfers are for."""
    if payment.provider == Provider.STRIPE:
        return payment.stripe_payment_intent
    return f"{payment.provider}:{payment.reference}"


def _tell(payment: Payment, actor: User | None) -> None:
    audit.record(
        actor=actor,
        action="payment.book",
        target=payment,
        organization=payment.organization,
        amount=str(payment.total),
        currency=payment.currency,
        provider=payment.provider,
        reference=payment.reference or payment.stripe_payment_intent,
    )
