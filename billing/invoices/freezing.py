"""From a month that has ended to an invoice: its lines are frozen, then it gets its VAT."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from itertools import batched
from typing import Final
from uuid import UUID

import structlog
from django.db import connection, transaction

from billing.exchange import NoRate, vat_in_sek
from billing.invoices.lines import Line, Paid, Summed, settled_lines, usage_lines
from billing.invoices.requests import RatedOtherwise, requests_of
from billing.ledger import books_lock
from billing.models import (
    BillingProfile,
    Books,
    Invoice,
    InvoiceLine,
    InvoiceState,
)
from billing.profiles import buyer_of, seller_of, vat_amount, vat_decide
from billing.volume import discount_lines
from tenants import audit

_BATCHES: Final = 10_000
_DRAWN: Final = """
SELECT payer.kind, sum(transfer.amount)
FROM billing_transfer transfer JOIN billing_account payer ON payer.id = transfer.debit_id
WHERE transfer.batch_id = ANY(%s) AND payer.organization_id = %s
GROUP BY 1
"""

log = structlog.get_logger()


class Contradiction(ValueError):  # noqa: N818 - a state of things
    """The requests and the books do not say the same."""


def invoice_freeze(invoice: Invoice, now: datetime) -> Invoice:
    """From here on nothing enters its period any more; its lines and its root are set.

    What the requests cost must be what the books have drawn: else the invoice is halted, for a
    person to look at.
    """
    invoice_shut(invoice)
    try:
        summed = Summed(requests_of(invoice))
        lines = _lines(invoice, summed)
    except (RatedOtherwise, Contradiction, LookupError) as error:
        return _halt(invoice, str(error))
    return _keep(invoice, summed, lines, now)


@transaction.atomic
def invoice_shut(invoice: Invoice) -> None:
    """Nothing more enters its period: whoever books usage waits for this, or this for them."""
    books = books_lock([invoice.organization_id])[invoice.organization_id]
    if books.closed_until is None or books.closed_until < invoice.period_end:
        Books.objects.filter(pk=books.pk).update(closed_until=invoice.period_end)


@transaction.atomic
def invoice_draft(invoice: Invoice, now: datetime) -> Invoice:
    """Say who buys, who sells, and which VAT comes with it, as of now.

    It is halted while the rate is not known at which its VAT is to be told in SEK.
    """
    locked = invoice_lock(invoice)
    if locked.state not in {InvoiceState.FROZEN, InvoiceState.DRAFT}:
        return locked
    profile = BillingProfile.objects.for_organization(locked.organization).first()
    vat = vat_decide(profile, now.date())
    locked.subtotal = sum((line.amount for line in locked.lines.all()), Decimal(0))
    locked.vat_rate, locked.vat_treatment, locked.vat_note = vat
    locked.vat_amount = vat_amount(locked.subtotal, vat.rate)
    locked.total = locked.subtotal + locked.vat_amount
    try:
        vat_in_sek(locked, now.date())
    except NoRate as lacking:
        return _halt(locked, str(lacking))
    locked.seller, locked.buyer = seller_of(), buyer_of(profile, locked.organization)
    locked.state = InvoiceState.DRAFT
    locked.save()
    return locked


@transaction.atomic
def invoice_halt(*, invoice: Invoice, reason: str) -> Invoice:
    """Nothing more is done with it by itself. One that has a number is left as it is."""
    locked = invoice_lock(invoice)
    if locked.number or locked.state in {InvoiceState.HALTED, InvoiceState.VOID}:
        return locked
    locked.state, locked.halted_because = InvoiceState.HALTED, reason[:300]
    locked.save(update_fields=["state", "halted_because"])
    log.error("invoice.halted", invoice=str(locked.pk), reason=reason)
    audit.record(
        actor=None,
        action="invoice.halt",
        target=locked,
        organization=locked.organization,
        reason=reason,
    )
    return locked


def invoice_lock(invoice: Invoice) -> Invoice:
    """The row as it is now, locked until the transaction ends."""
    found = Invoice.objects.select_for_update(of=("self",)).select_related("organization")
    return found.get(pk=invoice.pk)


def _lines(invoice: Invoice, summed: Summed) -> list[Line]:
    usage = usage_lines(summed.groups, invoice.period_start, invoice.currency)
    paid = _paid(invoice.organization_id, summed.batches)
    cost = sum((line.exact for line in usage), Decimal(0))
    if cost != sum(paid):
        raise Contradiction(f"The requests cost {cost}, and {sum(paid)} is booked for them.")
    discounts = discount_lines(invoice.organization, usage)
    return settled_lines(usage, discounts, paid, invoice.currency)


def _paid(organization_id: UUID, batches: Collection[UUID]) -> Paid:
    """What was drawn for these batches, as the books have it."""
    sums = dict.fromkeys(Paid._fields, Decimal(0))
    with connection.cursor() as cursor:
        for some in batched(batches, _BATCHES, strict=False):
            cursor.execute(_DRAWN, [list(some), organization_id])
            for kind, amount in cursor.fetchall():
                sums[kind] += amount
    return Paid(**sums)


@transaction.atomic
def _keep(invoice: Invoice, summed: Summed, lines: Sequence[Line], now: datetime) -> Invoice:
    locked = invoice_lock(invoice)
    if locked.state not in {InvoiceState.OPEN, InvoiceState.CLOSING}:
        return locked  # another was faster
    InvoiceLine.objects.bulk_create(
        InvoiceLine(invoice=locked, organization_id=locked.organization_id, position=position,
                    **asdict(line))
        for position, line in enumerate(lines, 1)
    )  # fmt: skip
    locked.root, locked.event_count = summed.tree.root, summed.tree.count
    locked.state, locked.frozen_at = InvoiceState.FROZEN, now
    locked.save(update_fields=["root", "event_count", "state", "frozen_at"])
    audit.record(
        actor=None,
        action="invoice.freeze",
        target=locked,
        organization=locked.organization,
        root=locked.root,
        events=locked.event_count,
    )
    return locked


def _halt(invoice: Invoice, reason: str) -> Invoice:
    return invoice_halt(invoice=invoice, reason=reason)
