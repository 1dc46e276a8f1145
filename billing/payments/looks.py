"""Objects of Stripe, fetched and compared with what we asked for, and what follows from them.

Whatever an event says, this is what counts: so neither its order nor its repetition matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from billing import stripe_client
from billing.invoices import invoice_dun, invoice_finalise
from billing.models import (
    Invoice,
    InvoiceState,
    NoticeKind,
    Payment,
    PaymentKind,
    PaymentState,
    Provider,
    Refund,
    StripeCustomer,
)
from billing.payments.auto import auto_failed, auto_needs_action
from billing.payments.booking import invoice_settle, payment_settle
from billing.payments.errors import MismatchError, NotOursError, same
from billing.payments.notices import notice_leave
from billing.payments.refunding import refund_fail, refund_finish
from billing.stripe_client import Thing, major, minor

HANDLED: Final = (
    "checkout.session.", "payment_intent.succeeded", "payment_intent.processing",
    "payment_intent.payment_failed", "payment_intent.requires_action", "payment_intent.canceled",
    "invoice.paid", "invoice.payment_failed", "charge.refunded", "charge.refund.", "refund.",
    "payment_method.detached", "customer.updated",
)  # fmt: skip
"""What events are about that something may follow from."""
SETTLING: Final = frozenset({
    InvoiceState.FINALISED, InvoiceState.PAST_DUE, InvoiceState.UNCOLLECTIBLE, InvoiceState.PAID,
})  # fmt: skip


log = structlog.get_logger()


def look(kind: str, thing_id: str, now: datetime) -> None:
    """Fetch an object and do what follows from it.

    Raises NotOursError, MismatchError and what `stripe_client.fetch` raises.
    """
    if kind not in _LOOKS:
        raise NotOursError(f"Nothing follows from a {kind or 'thing without a name'}.")
    _LOOKS[kind](thing_id, now)


def payment_refresh(payment: Payment, now: datetime) -> None:
    """Look whether it was paid meanwhile, for whoever waits for it. StripeError without answer."""
    if payment.stripe_checkout_session:
        look("checkout.session", payment.stripe_checkout_session, now)
    elif payment.stripe_payment_intent:
        look("payment_intent", payment.stripe_payment_intent, now)


def _intent(thing_id: str, now: datetime) -> None:
    intent_apply(stripe_client.fetch("payment_intent", thing_id, "payment_method"), now)


def _session(thing_id: str, now: datetime) -> None:
    session = stripe_client.fetch("checkout.session", thing_id)
    if intent := session.get("payment_intent"):
        _intent(_id_of(intent), now)
    session_apply(session)


def _invoice(thing_id: str, now: datetime) -> None:
    invoice_apply(stripe_client.fetch("invoice", thing_id, "payments"), now)


def _refund(thing_id: str, now: datetime) -> None:
    refund_apply(stripe_client.fetch("refund", thing_id))


def _charge(thing_id: str, now: datetime) -> None:
    """What was paid back of it."""
    for thing in stripe_client.listed("refund", charge=thing_id):
        refund_apply(thing)


def _payment_method(thing_id: str, now: datetime) -> None:
    """A card that belongs to nobody any more pays for nobody."""
    if stripe_client.fetch("payment_method", thing_id).get("customer") is None:
        StripeCustomer.objects.filter(payment_method=thing_id).update(payment_method="", label="")


def _customer(thing_id: str, now: datetime) -> None:
    """The card that was chosen in the portal pays from now on."""
    chosen = "invoice_settings.default_payment_method"
    settings = stripe_client.fetch("customer", thing_id, chosen).get("invoice_settings") or {}
    if method := settings.get("default_payment_method"):
        _keep(StripeCustomer.objects.filter(stripe_id=thing_id), method)


@transaction.atomic
def intent_apply(intent: Thing, now: datetime) -> None:
    """The one way to credit: `intent` is as Stripe has just answered it, not what an event says."""
    payment = _payment_of(intent)
    _compare(payment, intent)
    match intent["status"]:
        case "succeeded":
            same("amount", minor(payment.total), intent["amount_received"])
            if payment_settle(payment, actor=None, source_id=intent["id"], now=now):
                _keep_card(payment, intent.get("payment_method"))
        case "processing" if payment.is_open:
            _note(payment, PaymentState.PENDING, intent)
        case "requires_action" if payment.kind == PaymentKind.AUTO_TOP_UP and payment.is_open:
            _note(payment, PaymentState.NEEDS_ACTION, intent)
            auto_needs_action(payment, now)
        case "canceled" if payment.state in {PaymentState.CREATED, PaymentState.PENDING}:
            _given_up(payment, now)
        case "requires_payment_method" if intent.get("last_payment_error"):
            _declined(payment, intent, now)


def _compare(payment: Payment, intent: Mapping[str, Any]) -> None:
    if payment.provider != Provider.STRIPE:
        raise MismatchError("This payment was not to be made by card.")
    customer = StripeCustomer.objects.filter(organization=payment.organization_id).first()
    same("customer", customer and customer.stripe_id, _id_of(intent.get("customer")))
    same("currency", payment.currency.lower(), intent["currency"])
    same("amount", minor(payment.total), intent["amount"])


def _declined(payment: Payment, intent: Mapping[str, Any], now: datetime) -> None:
    """At a checkout another card may be tried; nobody does when none is there."""
    why = str(intent["last_payment_error"].get("message") or "The card was declined.")
    if payment.kind == PaymentKind.AUTO_TOP_UP and payment.state != PaymentState.NEEDS_ACTION:
        if payment.is_open:
            payment.stripe_payment_intent = payment.stripe_payment_intent or intent["id"]
            auto_failed(payment, why, now)
    elif payment.is_open:
        payment.failure = why[:300]
        payment.save(update_fields=["failure"])


def _given_up(payment: Payment, now: datetime) -> None:
    """Somebody has ended a charge there; of one that waits for its holder a checkout takes over."""
    if payment.kind == PaymentKind.AUTO_TOP_UP:
        auto_failed(payment, "The charge was cancelled.", now, PaymentState.CANCELLED)


def _note(payment: Payment, state: PaymentState, intent: Mapping[str, Any]) -> None:
    payment.state, payment.stripe_payment_intent = state, intent["id"]
    payment.save(update_fields=["state", "stripe_payment_intent"])


def _keep_card(payment: Payment, method: object) -> None:
    """The card that paid is the one that pays automatically from now on."""
    if isinstance(method, dict):
        _keep(StripeCustomer.objects.filter(organization=payment.organization_id), method)


def _keep(customer: QuerySet[StripeCustomer], method: Mapping[str, Any]) -> None:
    card = method.get("card") or {}
    label = f"{card.get('brand', 'card')} •••• {card.get('last4', '')}".strip().capitalize()
    customer.update(payment_method=method["id"], label=label)


@transaction.atomic
def session_apply(session: Thing) -> None:
    """One that has expired: nobody can pay there any more."""
    if session["status"] != "expired":
        return
    payment = _payment_of(session)
    if payment.is_open and payment.stripe_checkout_session == session["id"]:
        payment.checkout_url = payment.stripe_checkout_session = ""
        if payment.kind == PaymentKind.TOP_UP:
            payment.state = PaymentState.CANCELLED
        payment.save(update_fields=["state", "checkout_url", "stripe_checkout_session"])


def _payment_of(thing: Mapping[str, Any]) -> Payment:
    pk = _uuid((thing.get("metadata") or {}).get("payment"))
    found = Payment.objects.select_for_update(of=("self",)).select_related("organization")
    if pk is None or not (payment := found.filter(pk=pk).first()):
        raise NotOursError("It belongs to no payment that was begun here.")
    return payment


@transaction.atomic
def invoice_apply(thing: Thing, now: datetime) -> None:
    """What became of an invoice that we have sent. While it is a draft, its items still come."""
    invoice = _invoice_of(thing)
    if thing["status"] == "draft":
        return
    customer = StripeCustomer.objects.filter(organization=invoice.organization_id).first()
    same("customer", customer and customer.stripe_id, _id_of(thing.get("customer")))
    same("currency", invoice.currency.lower(), thing["currency"])
    same("total", minor(invoice.total), thing["total"])
    if url := thing.get("hosted_invoice_url"):
        Invoice.objects.filter(pk=invoice.pk).exclude(hosted_url=url).update(hosted_url=url)
    if invoice.state == InvoiceState.PUSHED and thing["status"] != "void":  # final there, unheard
        invoice = invoice_finalise(actor=None, invoice=invoice, now=now)
    if thing["status"] == "paid":
        _paid(invoice, thing, now)
    elif thing["status"] == "open" and thing.get("attempt_count"):
        _unpaid(invoice, thing, now)


def _paid(invoice: Invoice, thing: Thing, now: datetime) -> None:
    """All that came is booked: where it was paid by bank or credited too, the rest is owed back."""
    amount = major(thing["amount_paid"])
    known = Payment.objects.filter(invoice=invoice, provider=Provider.STRIPE).exists()
    if known or not amount:
        return
    charge = _charged_by(thing)
    if not charge and not invoice.to_pay:  # Stripe was told that the bank has brought it
        return
    if amount < invoice.to_pay:
        raise MismatchError(f"The amount paid is {amount}, of ours {invoice.to_pay} are open.")
    if amount > invoice.to_pay:
        log.error("invoice.paid_twice", invoice=str(invoice.pk), open=str(invoice.to_pay))
    if invoice.state not in SETTLING:
        raise MismatchError(f"It is paid, and ours is {invoice.state}.")
    payment = invoice_settle(
        invoice, actor=None, amount=amount, provider=Provider.STRIPE, reference=thing["id"], now=now
    )
    payment.stripe_payment_intent = charge
    payment.save(update_fields=["stripe_payment_intent"])


def _charged_by(invoice: Mapping[str, Any]) -> str:
    """The charge that paid an invoice, by which it can go back."""
    payments = (invoice.get("payments") or {}).get("data", [])
    charges = (one["payment"].get("payment_intent") for one in payments if one["status"] == "paid")
    return _id_of(next(charges, None))


def _unpaid(invoice: Invoice, thing: Thing, now: datetime) -> None:
    """A card was tried and refused: it is late from now on, once for each try."""
    invoice_dun(invoice, now)
    source = f"{invoice.pk}:{thing['attempt_count']}"
    notice_leave(invoice.organization, NoticeKind.PAYMENT_FAILED, source, now, invoice=invoice)


def _invoice_of(thing: Mapping[str, Any]) -> Invoice:
    pk = _uuid((thing.get("metadata") or {}).get("invoice"))
    found = Invoice.objects.select_for_update(of=("self",)).select_related("organization")
    if pk is None or not (invoice := found.filter(pk=pk).first()):
        raise NotOursError("It is no invoice of ours.")
    same("invoice", invoice.stripe_id or thing["id"], thing["id"])
    return invoice


@transaction.atomic
def refund_apply(thing: Thing) -> None:
    pk = _uuid((thing.get("metadata") or {}).get("refund"))
    found = Refund.objects.select_for_update(of=("self",)).select_related("payment")
    if pk is None or not (refund := found.filter(pk=pk).first()):
        raise NotOursError("It was not paid back from here.")
    same("amount", minor(refund.total), thing["amount"])
    same("currency", refund.payment.currency.lower(), thing["currency"])
    if thing["status"] == "succeeded":
        refund_finish(refund, thing["id"])
    elif thing["status"] in {"failed", "canceled"}:
        refund_fail(refund, str(thing.get("failure_reason") or thing["status"]))


def _id_of(thing: Any) -> str:
    """Of an object, or of what stands for it."""
    return str(thing["id"]) if isinstance(thing, dict) else str(thing or "")


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


_LOOKS: Final[Mapping[str, Callable[[str, datetime], None]]] = {
    "payment_intent": _intent,
    "checkout.session": _session,
    "invoice": _invoice,
    "refund": _refund,
    "charge": _charge,
    "payment_method": _payment_method,
    "customer": _customer,
}
