"""How much may be paid at once, and what VAT comes with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from billing.models import BillingProfile, Payment, PaymentKind
from billing.plans import currency_of
from billing.profiles import vat_amount, vat_decide
from billing.written import money_written
from tenants.models import Organization

CENT: Final = Decimal("0.01")
LEAST: Final[Mapping[str, Decimal]] = {"EUR": Decimal(5), "SEK": Decimal(50)}
MOST: Final[Mapping[str, Decimal]] = {"EUR": Decimal(10_000), "SEK": Decimal(100_000)}


def amount_check(organization: Organization, amount: Decimal) -> None:
    """ValidationError unless so much credit, net, can be bought at once."""
    currency = currency_of(organization.pk)
    least, most = LEAST[currency], MOST[currency]
    if not (amount.is_finite() and least <= amount <= most):
        raise ValidationError(
            _("Enter an amount from %(least)s to %(most)s."),
            params={
                "least": money_written(least, currency, 0),
                "most": money_written(most, currency, 0),
            },
        )
    if amount != amount.quantize(CENT):
        raise ValidationError(_("Enter at most two decimals."))


def priced(
    organization: Organization, kind: PaymentKind, net: Decimal, now: datetime, **fields: Any
) -> Payment:
    """A payment that is to be saved: `net` with the VAT of whom it is for."""
    profile = BillingProfile.objects.for_organization(organization).first()
    decided = vat_decide(profile, now.date())
    vat = vat_amount(net, decided.rate)
    return Payment(
        organization=organization, kind=kind, net=net, vat=vat, total=net + vat,
        vat_rate=decided.rate, vat_treatment=decided.treatment,
        currency=currency_of(organization.pk), created_at=now, **fields,
    )  # fmt: skip


def parted(total: Decimal, vat_rate: Decimal) -> tuple[Decimal, Decimal]:
    """Net and VAT of what was paid with it; the rate in percent."""
    net = (total * 100 / (100 + vat_rate)).quantize(CENT, ROUND_HALF_UP)
    return net, total - net
