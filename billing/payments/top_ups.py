"""Top-ups by card: a checkout of Stripe's, whose payment is credited once it is verified there."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic, sleep
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing import stripe_client
from billing.models import (
    Op,
    OutboxItem,
    OutboxState,
    Payment,
    PaymentKind,
    PaymentState,
    Provider,
    StripeCustomer,
)
from billing.payments.amounts import amount_check, priced
from billing.payments.customers import customer_require
from billing.payments.outbox import outbox_send
from billing.payments.queue import CUSTOMER, outbox_add
from billing.stripe_client import StripeError, minor
from tenants import audit
from tenants.models import Organization, User, new_id
from tenants.tenancy import everything

PATIENCE_S: Final = 10
PAUSE_S: Final = 0.05
SAME: Final = timedelta(minutes=30)
"""Whoever begins the same again within this time goes on with what was begun."""


def top_up_begin(
    *,
    actor: User,
    organization: Organization,
    amount: Decimal,
    return_url: str = "",
    now: datetime | None = None,
) -> Payment:
    """A payment for credit of `amount`, net; its `checkout_url` is where to pay it, with VAT.

    `return_url` is where people come back to, with `{payment}` for its id. ValidationError for an
    amount that is not one, and while Stripe does not answer.
    """
    _require_on()
    amount_check(organization, amount)
    now = now or timezone.now()
    payment = _begun(actor, organization, amount, _back(organization, return_url), now)
    return _with_checkout(payment, now)


def payment_action(
    *, actor: User, payment: Payment, return_url: str = "", now: datetime | None = None
) -> Payment:
    """A payment that the bank wants confirmed, with the `checkout_url` where a person does that."""
    _require_on()
    now = now or timezone.now()
    with transaction.atomic():
        locked = Payment.objects.select_for_update(of=("self",)).select_related("organization")
        payment = locked.get(pk=payment.pk)
        if payment.state != PaymentState.NEEDS_ACTION:
            raise ValidationError(_("There is nothing to confirm any more."))
        if not payment.checkout_url:
            _checkout_again(payment, _back(payment.organization, return_url), now)
            _tell(actor, "payment.confirm", payment)
    return _with_checkout(payment, now)


def portal_url(*, actor: User, organization: Organization, return_url: str = "") -> str:
    """Where people change their cards, for some minutes. ValidationError before a first payment."""
    _require_on()
    customer = StripeCustomer.objects.for_organization(organization).first()
    if customer is None or not customer.stripe_id:
        raise ValidationError(_("Top up by card once: before that there is no card to change."))
    try:
        url = stripe_client.portal_open(
            customer.stripe_id, _back(organization, return_url), f"v1:portal:{new_id()}"
        )
    except StripeError as error:
        raise ValidationError(_silence()) from error
    with transaction.atomic():
        audit.record(actor=actor, action="portal.open", target=customer, organization=organization)
    return url


@transaction.atomic
def _begun(
    actor: User, organization: Organization, amount: Decimal, return_url: str, now: datetime
) -> Payment:
    customer_require(organization, now)
    payment = priced(
        organization, PaymentKind.TOP_UP, amount, now, provider=Provider.STRIPE, created_by=actor
    )
    begun = Payment.objects.for_organization(organization).filter(
        kind=PaymentKind.TOP_UP, state=PaymentState.CREATED, created_at__gt=now - SAME,
        **{name: getattr(payment, name) for name in ("net", "vat", "vat_treatment", "currency")},
    )  # fmt: skip
    if found := begun.first():
        return found
    payment.save()
    payload = _checkout_of(payment, return_url)
    outbox_add(organization, Op.CHECKOUT, f"payment:{payment.pk}:0", payload, now)
    _tell(actor, "payment.begin", payment)
    return payment


def _checkout_again(payment: Payment, return_url: str, now: datetime) -> None:
    """The charge that waits is ended first, so that it cannot be paid as well."""
    mine = OutboxItem.objects.for_organization(payment.organization).filter(op=Op.CHECKOUT)
    opened = mine.filter(entity__startswith=f"payment:{payment.pk}:").count()
    if payment.stripe_payment_intent and not opened:
        payload = {"id": payment.stripe_payment_intent}
        outbox_add(payment.organization, Op.CANCEL, f"payment:{payment.pk}", payload, now)
    entity = f"payment:{payment.pk}:{opened}"
    outbox_add(payment.organization, Op.CHECKOUT, entity, _checkout_of(payment, return_url), now)


def _with_checkout(payment: Payment, now: datetime) -> Payment:
    """A worker may be at the same calls just now: what it does is waited for."""
    ends = monotonic() + PATIENCE_S
    calls = OutboxItem.objects.for_organization(payment.organization)
    while True:
        with everything("what waits besides, and what follows from it, is the platform's"):
            outbox_send(now, payment.organization)
        # Asked before the payment is read: what ends in between is seen in the next round.
        is_sending = calls.filter(state=OutboxState.SENDING).exists()
        payment.refresh_from_db()
        if payment.paid_at or payment.checkout_url:
            return payment
        if monotonic() > ends or not is_sending:
            raise ValidationError(payment.failure or _silence())
        sleep(PAUSE_S)


def _checkout_of(payment: Payment, return_url: str) -> dict[str, Any]:
    known = {"payment": str(payment.pk), "organization": str(payment.organization_id)}
    lines = [(_("Prepaid credit"), payment.net)]
    if payment.vat:
        rate = f"{payment.vat_rate.normalize():f}"
        lines.append((_("VAT %(rate)s %%") % {"rate": rate}, payment.vat))
    return_url = return_url.replace("{payment}", str(payment.pk))
    return {
        "mode": "payment",
        "customer": CUSTOMER,
        "client_reference_id": str(payment.pk),
        "line_items": [_line(payment.currency, *line) for line in lines],
        "allowed_payment_method_types": ["card"],
        "payment_intent_data": {"setup_future_usage": "off_session", "metadata": known},
        "success_url": return_url,
        "cancel_url": return_url,
        "metadata": known,
    }


def _line(currency: str, name: str, amount: Decimal) -> dict[str, Any]:
    price = {
        "currency": currency.lower(),
        "unit_amount": minor(amount),
        "product_data": {"name": name},
    }
    return {"quantity": 1, "price_data": price}


def _back(organization: Organization, return_url: str) -> str:
    return return_url or f"{settings.CONSOLE_URL}/o/{organization.slug}/billing/"


def _require_on() -> None:
    if not stripe_client.is_on():
        raise ValidationError(_("Payment by card is not offered here: pay by bank transfer."))


def _silence() -> str:
    return _("The payment service does not answer. Nothing was charged: try again in a minute.")


def _tell(actor: User, action: str, payment: Payment) -> None:
    audit.record(
        actor=actor, action=action, target=payment, organization=payment.organization,
        amount=str(payment.total), currency=payment.currency,
    )  # fmt: skip
