"""Money that came and was billed: credit, a top-up with its invoice, a month, and who pays."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from billing.exchange import exchange_rate_set
from billing.invoices import credit_note_issue, invoice_finalise
from billing.ledger import promo_grant, usage_post
from billing.models import (
    Component,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceState,
    Payment,
    Plan,
    VatTreatment,
)
from tenants.models import new_id
from tests.conftest import Cast
from tests.console.billing_places import top_up

USED = (
    ("gpt-oss-120b", Component.INPUT, 8_102_334_120, "0.15", "1215.35"),
    ("gpt-oss-120b", Component.OUTPUT, 1_320_118_402, "0.60", "792.07"),
    ("bge-m3", Component.INPUT, 902_118_773, "0.02", "18.04"),
)
"""Model, component, units, price and amount."""


def seed_money(cast: Cast) -> None:
    """Acme used a month on credit, then paid in advance and was given something."""
    exchange_rate_set(
        actor=cast.oskar, day=timezone.now().date(), rate=Decimal("11.0535"), source="Riksbank"
    )
    _use(cast)
    payment = top_up(cast, "1250", "OCR 1180")
    credit_note_issue(
        actor=cast.oskar, invoice=Invoice.objects.get(payments=payment),
        amount=Decimal(40), reason="The outage of 3 October",
    )  # fmt: skip
    for days, amount in ((40, "250"), (9, "5")):
        promo_grant(
            actor=cast.oskar, organization=cast.acme, amount=Decimal(amount), reason="Pilot",
            expires_at=timezone.now() + timedelta(days=days),
        )  # fmt: skip
    _month(cast, payment)
    Plan.objects.filter(slug__in=["free", "build", "scale"]).update(is_public=True)


def _use(cast: Cast) -> None:
    """What the month is of, before there is credit to pay for it."""
    costs = defaultdict[Component, Decimal](Decimal)
    for _model, component, _units, _price, amount in USED:
        costs[component] += Decimal(amount)
    with transaction.atomic():
        usage_post(new_id(), {cast.acme.pk: costs}, timezone.now())


def _month(cast: Cast, payment: Payment) -> None:
    """The invoice of the month before, as one that was closed would be."""
    first = (timezone.now().date().replace(day=1) - timedelta(days=1)).replace(day=1)
    bought = Invoice.objects.get(payments=payment)
    net = sum((Decimal(amount) for *_facts, amount in USED), Decimal(0))
    vat = (net / 4).quantize(Decimal("0.01"))
    made = Invoice.objects.create(
        organization=cast.acme, kind=InvoiceKind.USAGE, state=InvoiceState.DRAFT,
        period_start=first, period_end=(first + timedelta(days=32)).replace(day=1), currency="EUR",
        subtotal=net, vat_rate=25, vat_amount=vat, vat_treatment=VatTreatment.DOMESTIC,
        total=net + vat, root="5f1d" * 16, event_count=1_204_118, seller=bought.seller,
        buyer=bought.buyer,
    )  # fmt: skip
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            organization=cast.acme,
            invoice=made,
            position=at,
            month=first,
            model=model,
            component=component,
            quantity=units,
            unit_price=Decimal(price),
            unit_scale=component.unit_scale,
            exact=Decimal(amount),
            amount=Decimal(amount),
            text=f"{model}, {component.label.lower()}",
            root="a0" * 32,
        )
        for at, (model, component, units, price, amount) in enumerate(USED, 1)
    )
    invoice_finalise(actor=None, invoice=made)
