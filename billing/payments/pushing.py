"""Invoices at Stripe: made of items, compared with ours, and only then finalised.

A line is one item of its amount: multiplied there, a quantity and a price could round otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext as _

from billing import stripe_client
from billing.invoices import invoice_finalise
from billing.models import (
    UNFINISHED,
    CreditNote,
    Invoice,
    InvoiceState,
    Op,
    OutboxItem,
    OutboxState,
    StripeCustomer,
)
from billing.payments.customers import customer_require
from billing.payments.queue import CUSTOMER, made_by, outbox_add, outbox_renew
from billing.stripe_client import StripeRefusedError, minor

MOST_ITEMS: Final = 100
"""Of more lines there is one item a model; the whole list is on our document."""

log = structlog.get_logger()


class Item(NamedTuple):
    text: str
    cents: int


def invoices_push(now: datetime) -> int:
    """Begin to push each draft that a card can pay; how many."""
    if not stripe_client.is_on():
        return 0
    drafts = Invoice.objects.chargeable().filter(state=InvoiceState.DRAFT)
    drafts = drafts.order_by("period_start", "pk")
    return sum(_pushed(pk, now) for pk in list(drafts.values_list("pk", flat=True)))


@transaction.atomic
def _pushed(pk: UUID, now: datetime) -> bool:
    """All of it is in the outbox, in order; the invoice and its items wait for each other there.

    Of one that was halted and released, what Stripe has refused is sent again.
    """
    locked = Invoice.objects.select_for_update(of=("self",)).select_related("organization")
    invoice = locked.filter(pk=pk, state=InvoiceState.DRAFT).first()
    if invoice is None:
        return False
    organization, entity = invoice.organization, f"invoice:{invoice.pk}"
    customer = customer_require(organization, now)
    outbox_renew(organization, Op.INVOICE, entity, _invoice_of(invoice, customer), now)
    for position, item in enumerate(items_of(invoice)):
        payload = {
            "customer": CUSTOMER,
            "invoice": made_by(Op.INVOICE, entity),
            "currency": invoice.currency.lower(),
            "amount": item.cents,
            "description": item.text,
            "metadata": {"invoice": str(invoice.pk)},
        }
        outbox_renew(organization, Op.ITEM, f"{entity}:{position}", payload, now)
    payload = {"id": made_by(Op.INVOICE, entity), "auto_advance": True}
    outbox_renew(organization, Op.FINALIZE, entity, payload, now)
    invoice.state = InvoiceState.PUSHING
    invoice.save(update_fields=["state"])
    return True


def corrections_push(now: datetime) -> int:
    """Tell of invoices that were made void or written off, and of what was taken off open ones.

    Returns how many calls that are.
    """
    if not stripe_client.is_on():
        return 0
    return _voids_push(now) + _write_offs_push(now) + _notes_push(now)


def _voids_push(now: datetime) -> int:
    """What is final there becomes void, and what is a draft is deleted, once that is certain."""
    void = Invoice.objects.filter(state=InvoiceState.VOID).exclude(stripe_id="")
    called = OutboxItem.objects.filter(op=Op.FINALIZE, entity=_entity("invoice:"))
    is_final = Exists(called.filter(state=OutboxState.DONE))
    is_draft = ~Exists(called.filter(state__in=[*UNFINISHED, OutboxState.DONE]))
    count = 0
    for op, which in ((Op.VOID, is_final), (Op.DELETE, is_draft)):
        rows = list(_untold(void.filter(which), op, "invoice:").select_related("organization"))
        for row in rows:
            outbox_add(row.organization, op, f"invoice:{row.pk}", {"id": row.stripe_id}, now)
        count += len(rows)
    return count


def _write_offs_push(now: datetime) -> int:
    """Stripe tries no card of theirs any more; a payment that comes all the same counts."""
    lost = Invoice.objects.filter(state=InvoiceState.UNCOLLECTIBLE).exclude(stripe_id="")
    rows = list(_untold(lost, Op.WRITE_OFF, "invoice:").select_related("organization"))
    for row in rows:
        payload = {"id": row.stripe_id}
        outbox_add(row.organization, Op.WRITE_OFF, f"invoice:{row.pk}", payload, now)
    return len(rows)


def _notes_push(now: datetime) -> int:
    """What was paid already goes back as a refund, of which Stripe is told by that."""
    notes = CreditNote.objects.filter(from_open__gt=0, stripe_id="").exclude(invoice__stripe_id="")
    rows = list(
        _untold(notes, Op.CREDIT_NOTE, "credit_note:").select_related("organization", "invoice")
    )
    for row in rows:
        line = {
            "type": "custom_line_item", "quantity": 1, "unit_amount": minor(row.from_open),
            "description": row.reason[:200],
        }  # fmt: skip
        payload = {
            "invoice": row.invoice.stripe_id,
            "lines": [line],
            "memo": row.number,
            "metadata": {"credit_note": str(row.pk)},
        }
        outbox_add(row.organization, Op.CREDIT_NOTE, f"credit_note:{row.pk}", payload, now)
    return len(rows)


def _untold[M: Model](rows: QuerySet[M], op: Op, prefix: str) -> QuerySet[M]:
    """Those for which there is no call yet, the oldest first."""
    told = OutboxItem.objects.filter(op=op, entity=_entity(prefix))
    return rows.exclude(Exists(told)).order_by("pk")


def _entity(prefix: str) -> Concat:
    """What a call names the row of an outer query by."""
    return Concat(Value(prefix), Cast(OuterRef("pk"), TextField()))


def _invoice_of(invoice: Invoice, customer: StripeCustomer) -> dict[str, object]:
    collect: dict[str, object] = {"collection_method": "charge_automatically"}
    if customer.payment_method:
        collect["default_payment_method"] = customer.payment_method
    else:
        collect = {"collection_method": "send_invoice", "days_until_due": settings.INVOICE_DUE_DAYS}
    return {
        "customer": CUSTOMER,
        "currency": invoice.currency.lower(),
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        "metadata": {"invoice": str(invoice.pk), "organization": str(invoice.organization_id)},
        **collect,
    }


def items_of(invoice: Invoice) -> list[Item]:
    """Its lines and its VAT; together they are its total."""
    lines = list(invoice.lines.order_by("position"))
    items = [Item(line.text, minor(line.amount)) for line in lines if line.amount]
    if len(items) >= MOST_ITEMS:
        items = list(_by_model(invoice))
    if invoice.vat_amount:
        rate = f"{invoice.vat_rate.normalize():f}"
        items.append(Item(_("VAT %(rate)s %%") % {"rate": rate}, minor(invoice.vat_amount)))
    return items


def _by_model(invoice: Invoice) -> Iterator[Item]:
    lines = sorted(invoice.lines.all(), key=lambda line: (line.model, line.position))
    for model, group in groupby(lines, key=lambda line: line.model):
        if cents := sum(minor(line.amount) for line in group):
            yield Item(model or _("Discounts and credit"), cents)


def compare(pk: UUID, stripe_id: str) -> None:
    """StripeRefusedError unless the draft there is ours in every sum, so it never becomes final.

    Nor does that of one which has been halted or made void meanwhile.
    """
    invoice = Invoice.objects.get(pk=pk)
    if invoice.state in {InvoiceState.HALTED, InvoiceState.VOID}:
        raise StripeRefusedError(f"Ours is {invoice.state}: it is not to become final.")
    customer = StripeCustomer.objects.get(organization=invoice.organization_id)
    draft = stripe_client.fetch("invoice", stripe_id)
    lines = draft["lines"]
    cents = minor(invoice.total)
    ours = ("draft", customer.stripe_id, invoice.currency.lower(), cents, cents,
            len(items_of(invoice)))  # fmt: skip
    theirs = (draft["status"], draft["customer"], draft["currency"], draft["subtotal"],
              draft["total"], lines.get("total_count") or len(lines["data"]))  # fmt: skip
    if ours != theirs:
        raise StripeRefusedError(f"The draft at Stripe is {theirs}, ours is {ours}.")
    Invoice.objects.filter(pk=pk, state=InvoiceState.PUSHING).update(state=InvoiceState.PUSHED)


def sent(pk: UUID, stripe_id: str) -> None:
    Invoice.objects.filter(pk=pk).update(stripe_id=stripe_id)


def finalised(pk: UUID) -> None:
    """Ours follows theirs: it has a number from now on, and is owed."""
    invoice = Invoice.objects.get(pk=pk)
    if invoice.state in {InvoiceState.PUSHING, InvoiceState.PUSHED}:
        invoice_finalise(actor=None, invoice=invoice)


def halt(pk: UUID, why: str) -> None:
    """It waits for a person; nothing more of it is sent."""
    log.error("invoice.halted", invoice=str(pk), why=why)
    Invoice.objects.filter(pk=pk, state__in=[InvoiceState.PUSHING, InvoiceState.PUSHED]).update(
        state=InvoiceState.HALTED, halted_because=why[:300]
    )
