"""What follows from what Stripe answered to a call, in the transaction that notes the answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction

from billing import stripe_client
from billing.models import (
    CreditNote,
    Op,
    OutboxItem,
    Payment,
    PaymentKind,
    PaymentState,
    Refund,
    StripeCustomer,
)
from billing.payments import pushing
from billing.payments.auto import auto_charging, auto_failed, auto_needs_action
from billing.payments.errors import WRONG, NeedlessError
from billing.payments.looks import intent_apply, invoice_apply, refund_apply, session_apply
from billing.payments.refunding import refund_fail
from billing.stripe_client import StripeRefusedError, Thing

OUTSIDE: Final = "out_of_band_amount"
"""What of a credit note goes back otherwise than by it."""

log = structlog.get_logger()


def amended(item: OutboxItem, now: datetime) -> bool:
    """Whether `item` is another call from now on, by what has happened at Stripe.

    What was paid there is booked before a credit note of it is sent, which then says that the money
    goes back by another way: it is owed. Raises what `stripe_client.fetch` raises.
    """
    if item.op != Op.CREDIT_NOTE or OUTSIDE in item.payload:
        return False
    invoice = stripe_client.fetch("invoice", item.payload["invoice"], "payments")
    if invoice["status"] != "paid":
        return False
    try:
        invoice_apply(invoice, now)
    except WRONG as error:
        raise StripeRefusedError(str(error)) from error
    cents = sum(line["unit_amount"] for line in item.payload["lines"])
    item.payload = {**item.payload, OUTSIDE: cents}
    return True


def vet(item: OutboxItem, payload: Mapping[str, Any]) -> None:
    """Whether it is still to be sent. NeedlessError or StripeRefusedError when it is not."""
    match item.op:
        case Op.CHECKOUT:
            if not Payment.objects.get(pk=_of(item)).is_open:
                raise NeedlessError("It is paid already, or given up.")
        case Op.CHARGE:
            auto_charging(Payment.objects.get(pk=_of(item)))
        case Op.FINALIZE:
            pushing.compare(_of(item), payload["id"])


def answered(item: OutboxItem, thing: Thing, now: datetime) -> None:
    try:
        with transaction.atomic():
            _answered(item, thing, now)
    except WRONG as error:
        log.error("stripe.mismatch", op=item.op, entity=item.entity, error=str(error))
        item.error = str(error)[:500]
        item.save(update_fields=["error"])


def _answered(item: OutboxItem, thing: Thing, now: datetime) -> None:
    match item.op:
        case Op.CUSTOMER:
            customers = StripeCustomer.objects.filter(organization=item.organization_id)
            customers.filter(stripe_id=None).update(stripe_id=thing["id"])
        case Op.CHECKOUT:
            _opened(_payment(item), thing)
            session_apply(thing)  # found late, it may have expired
        case Op.CHARGE:
            intent_apply(thing, now)
        case Op.CANCEL if thing["status"] == "succeeded":
            intent_apply(thing, now)
        case Op.INVOICE:
            pushing.sent(_of(item), thing["id"])
        case Op.FINALIZE:
            pushing.finalised(_of(item))
            invoice_apply(thing, now)
        case Op.CREDIT_NOTE:
            CreditNote.objects.filter(pk=_of(item)).update(stripe_id=thing["id"])
        case Op.REFUND:
            refund_apply(thing)


def refused(item: OutboxItem, error: StripeRefusedError, now: datetime) -> None:
    match item.op:
        case Op.CHECKOUT:
            _not_opened(_payment(item), str(error))
        case Op.CHARGE:
            _not_charged(_payment(item), error, now)
        case Op.INVOICE | Op.ITEM | Op.FINALIZE:
            pushing.halt(_of(item), str(error))
        case Op.REFUND:
            refund_fail(Refund.objects.select_for_update().get(pk=_of(item)), str(error))


def _opened(payment: Payment, session: Thing) -> None:
    payment.stripe_checkout_session = session["id"]
    payment.checkout_url = session.get("url") or "" if payment.is_open else ""
    payment.save(update_fields=["stripe_checkout_session", "checkout_url"])


def _not_opened(payment: Payment, why: str) -> None:
    if payment.is_open and payment.kind == PaymentKind.TOP_UP:
        payment.state, payment.failure = PaymentState.FAILED, why[:300]
        payment.save(update_fields=["state", "failure"])


def _not_charged(payment: Payment, error: StripeRefusedError, now: datetime) -> None:
    if not payment.is_open:
        return
    payment.stripe_payment_intent = str(error.about.get("id", ""))
    if error.code == "authentication_required":
        payment.state, payment.failure = PaymentState.NEEDS_ACTION, str(error)[:300]
        payment.save(update_fields=["state", "failure", "stripe_payment_intent"])
        auto_needs_action(payment, now)
    else:
        auto_failed(payment, str(error), now)


def _payment(item: OutboxItem) -> Payment:
    locked = Payment.objects.select_for_update(of=("self",)).select_related("organization")
    return locked.get(pk=_of(item))


def _of(item: OutboxItem) -> UUID:
    """What `kind:id` or `kind:id:part` names."""
    return UUID(item.entity.split(":")[1])
