"""Invoices that are ready to be sent, of usage that is in the books."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.db import transaction

from billing.ledger import usage_post
from billing.models import Component, Invoice, InvoiceKind, InvoiceLine, InvoiceState, LineKind
from tenants.models import Organization, new_id
from tests.billing.payments.conftest import NOON


def draft_make(organization: Organization, *nets: str, month: int = 2) -> Invoice:
    """With a line for each of `nets`, and VAT of 25 %."""
    amounts = [Decimal(net) for net in nets]
    subtotal = sum(amounts, Decimal(0))
    with transaction.atomic():
        usage_post(new_id(), {organization.pk: {Component.OUTPUT: subtotal}}, NOON)
    invoice = Invoice.objects.create(
        organization=organization, kind=InvoiceKind.USAGE, state=InvoiceState.DRAFT,
        period_start=date(2027, month, 1), period_end=date(2027, month + 1, 1), currency="EUR",
        subtotal=subtotal, vat_rate=25, vat_amount=subtotal / 4, total=subtotal * 5 / 4,
        vat_treatment="domestic",
    )  # fmt: skip
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=invoice, organization=organization, position=position, kind=LineKind.USAGE,
            model=f"model-{position}", exact=amount, amount=amount, text=f"Line {position}",
        )
        for position, amount in enumerate(amounts, start=1)
    )  # fmt: skip
    return invoice
