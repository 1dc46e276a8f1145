"""Automatic top-ups: credit that is bought by the saved card before it runs out.

idle ▸ requested ▸ charging ▸ idle, with the credit of a payment that was verified
                     ├ declined ▸ idle, paused for an hour; off after three in a row
                     └ to be confirmed ▸ a person pays it at a checkout, or it lapses
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, Sum
from django.utils.translation import gettext as _

from billing import stripe_client
from billing.ledger import wallet_read
from billing.ledger.credit import MOST
from billing.models import (
    AutoTopUp,
    AutoTopUpState,
    NoticeKind,
    Op,
    Payment,
    PaymentKind,
    PaymentState,
    Provider,
    StripeCustomer,
)
from billing.payments.amounts import amount_check, priced
from billing.payments.notices import notice_leave
from billing.payments.queue import CUSTOMER, outbox_add
from billing.stripe_client import StripeRefusedError, minor
from tenants import audit
from tenants.models import Organization, OrganizationState, User

COOL: Final = timedelta(hours=1)
TRIES: Final = 3
LAPSES: Final = timedelta(days=3)
"""A payment that nobody confirms for so long is given up."""


@transaction.atomic
def auto_top_up_set(
    *,
    actor: User,
    organization: Organization,
    is_on: bool,
    threshold: Decimal,
    amount: Decimal,
    monthly_cap: Decimal,
) -> AutoTopUp:
    """Buy credit of `amount` when less than `threshold` is left, all net.

    ValidationError for amounts that make no sense, and without a card that was kept.
    """
    if is_on:
        _require_card(organization)
    amount_check(organization, amount)
    if not (threshold.is_finite() and 0 <= threshold <= MOST):
        raise ValidationError({"threshold": _("Enter an amount from 0 to 9 million.")})
    if not (monthly_cap.is_finite() and monthly_cap >= amount):
        raise ValidationError({"monthly_cap": _("Enter at least the amount of one top-up.")})
    if monthly_cap > MOST:
        raise ValidationError({"monthly_cap": _("Enter at most 9 million.")})
    fields = {"threshold": threshold, "amount": amount, "monthly_cap": monthly_cap}
    AutoTopUp.objects.get_or_create(organization=organization, defaults=fields)
    row = AutoTopUp.objects.select_for_update().get(organization=organization)
    before = {name: str(getattr(row, name)) for name in ("is_on", *fields)}
    row.is_on, row.threshold, row.amount, row.monthly_cap = is_on, threshold, amount, monthly_cap
    row.failures, row.cool_until, row.failure, row.set_by = 0, None, "", actor
    row.save()
    after = {name: str(getattr(row, name)) for name in before}
    audit.record(
        actor=actor, action="auto_top_up.set", target=row, organization=organization,
        before=before, after=after,
    )  # fmt: skip
    return row


def auto_top_ups_step(now: datetime) -> int:
    """Begin one for each organization that is below its threshold; how many were begun."""
    if not stripe_client.is_on():
        return 0
    _lapse(now)
    rows = {row.pk: row for row in _ready(now)}
    wallets = wallet_read(rows)
    return sum(
        _begun(pk, now)
        for pk, row in rows.items()
        if (left := wallets[pk].available) is not None and left < row.threshold
    )


def _ready(now: datetime) -> list[AutoTopUp]:
    cool = Q(cool_until=None) | Q(cool_until__lte=now)
    rows = AutoTopUp.objects.filter(cool, is_on=True, state=AutoTopUpState.IDLE)
    return list(rows.filter(organization__state=OrganizationState.ACTIVE).order_by("pk"))


@transaction.atomic
def _begun(pk: UUID, now: datetime) -> bool:
    """One in flight: what was read before the lock is read again under it."""
    row = AutoTopUp.objects.select_for_update(of=("self",)).select_related("organization")
    one = row.get(pk=pk)
    left = wallet_read([one.pk])[one.pk].available
    if not (_is_ready(one, now) and left is not None and left < one.threshold):
        return False
    card = StripeCustomer.objects.for_organization(one.organization).exclude(payment_method="")
    customer = card.first()
    if customer is None:
        _off(one, _("There is no saved card any more."), now)
        return False
    if spent_in_month(one.organization, now) + one.amount > one.monthly_cap:
        one.failure = _("The monthly cap is reached.")
        one.cool_until = _next_month(now)
        one.save(update_fields=["failure", "cool_until"])
        return False
    _request(one, customer.payment_method, now)
    return True


def _is_ready(row: AutoTopUp, now: datetime) -> bool:
    is_cool = row.cool_until is None or row.cool_until <= now
    return row.is_on and row.state == AutoTopUpState.IDLE and is_cool


def _request(row: AutoTopUp, card: str, now: datetime) -> None:
    organization = row.organization
    row.sequence += 1
    payment = priced(
        organization, PaymentKind.AUTO_TOP_UP, row.amount, now,
        provider=Provider.STRIPE, reference=str(row.sequence),
    )  # fmt: skip
    payment.save()
    row.state, row.payment, row.failure = AutoTopUpState.REQUESTED, payment, ""
    row.save()
    payload = {
        "amount": minor(payment.total),
        "currency": payment.currency.lower(),
        "customer": CUSTOMER,
        "payment_method": card,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "off_session": True,
        "confirm": True,
        "description": f"Credit, automatic top-up {row.sequence}",
        "metadata": {"payment": str(payment.pk), "organization": str(organization.pk)},
    }
    outbox_add(organization, Op.CHARGE, f"payment:{payment.pk}", payload, now)


def spent_in_month(organization: Organization, now: datetime) -> Decimal:
    """Net, of this month of UTC, of what was bought or still may be."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    mine = Payment.objects.for_organization(organization).filter(kind=PaymentKind.AUTO_TOP_UP)
    kept = mine.exclude(state__in=[PaymentState.FAILED, PaymentState.CANCELLED])
    return kept.filter(created_at__gte=start).aggregate(sum=Sum("net"))["sum"] or Decimal(0)


def _next_month(now: datetime) -> datetime:
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (start + timedelta(days=32)).replace(day=1)


def auto_settled(payment: Payment) -> None:
    """Its payment was verified; the next may follow."""
    AutoTopUp.objects.filter(payment=payment).update(
        state=AutoTopUpState.IDLE, payment=None, failures=0, cool_until=None, failure=""
    )


def auto_charging(payment: Payment) -> None:
    """It is sent now. StripeRefusedError for one that nobody wants any more."""
    if not payment.is_open:
        raise StripeRefusedError("It is paid already, or given up.")
    if not AutoTopUp.objects.filter(organization=payment.organization_id, is_on=True).exists():
        raise StripeRefusedError(_("Automatic top-up was turned off."))
    AutoTopUp.objects.filter(payment=payment, state=AutoTopUpState.REQUESTED).update(
        state=AutoTopUpState.CHARGING
    )


def auto_needs_action(payment: Payment, now: datetime) -> None:
    """The bank wants a person to confirm it: the people of money are told where."""
    AutoTopUp.objects.filter(payment=payment).update(state=AutoTopUpState.NEEDS_ACTION)
    notice_leave(
        payment.organization, NoticeKind.NEEDS_ACTION, str(payment.pk), now, payment=payment
    )


def auto_failed(
    payment: Payment, why: str, now: datetime, state: PaymentState = PaymentState.FAILED
) -> None:
    """The card did not pay: pause, and after three in a row stop. `payment` is locked."""
    payment.state, payment.failure, payment.checkout_url = state, why[:300], ""
    payment.save(update_fields=["state", "failure", "checkout_url", "stripe_payment_intent"])
    row = AutoTopUp.objects.select_for_update(of=("self",)).filter(payment=payment).first()
    if row is None:
        return
    row.state, row.payment, row.failure = AutoTopUpState.IDLE, None, why[:300]
    row.failures += 1
    row.cool_until = now + COOL
    row.save()
    notice_leave(
        payment.organization, NoticeKind.PAYMENT_FAILED, str(payment.pk), now, payment=payment
    )
    if row.failures >= TRIES:
        _off(row, why, now)


def _off(row: AutoTopUp, why: str, now: datetime) -> None:
    row.is_on, row.failure = False, why[:300]
    row.save(update_fields=["is_on", "failure"])
    source = f"{row.pk}:{row.sequence}"
    notice_leave(row.organization, NoticeKind.AUTO_TOP_UP_OFF, source, now)
    audit.record(
        actor=None, action="auto_top_up.stop", target=row, organization=row.organization, why=why
    )


def _lapse(now: datetime) -> None:
    """Whoever was asked to confirm did not. Should it be paid all the same, it counts."""
    late = AutoTopUp.objects.filter(
        state=AutoTopUpState.NEEDS_ACTION, payment__created_at__lte=now - LAPSES
    )
    for pk in late.order_by("payment").values_list("payment", flat=True):
        with transaction.atomic():
            locked = Payment.objects.select_for_update(of=("self",)).select_related("organization")
            payment = locked.get(pk=pk)
            if payment.state == PaymentState.NEEDS_ACTION:
                auto_failed(payment, _("Nobody confirmed it."), now, PaymentState.CANCELLED)


def _require_card(organization: Organization) -> None:
    kept = StripeCustomer.objects.for_organization(organization).exclude(payment_method="")
    if not kept.exists():
        raise ValidationError(_("Top up by card once: the card that pays is then kept for this."))
