"""What was invoiced and is taken back, in whole or in part, with its VAT."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.invoices.freezing import invoice_lock
from billing.invoices.series import CREDIT_NOTES, number_next
from billing.ledger import credit_note_book
from billing.models import (
    CreditNote,
    CreditNoteLine,
    CreditNoteState,
    Invoice,
    InvoiceLine,
    InvoiceState,
)
from billing.written import money_written
from tenants import audit
from tenants.models import User

CENT: Final = Decimal("0.01")
_ZERO: Final = Decimal(0)


@transaction.atomic
def credit_note_issue(
    *,
    actor: User | None,
    invoice: Invoice,
    reason: str,
    amount: Decimal | None = None,
    lines: Sequence[tuple[InvoiceLine, Decimal]] = (),
    now: datetime | None = None,
) -> CreditNote:
    """Take back `amount`, net, or these parts of its lines; without either, all that is left.

    It comes off what is open, and the rest is owed. Raises ValidationError for a draft, for more
    than was invoiced, and for credit that was bought and is used already.
    """
    moment = now or timezone.now()
    locked = invoice_lock(invoice)
    net = _net(locked, amount, lines)
    if not reason.strip():
        raise ValidationError(_("Say why: the customer reads it."))
    vat = _part(locked, locked.vat_amount, net)
    note = CreditNote.objects.create(
        organization=locked.organization,
        invoice=locked,
        number=number_next(CREDIT_NOTES, moment.year),
        reason=reason.strip(),
        net=net,
        vat=vat,
        total=net + vat,
        from_open=min(net + vat, locked.to_pay),
        vat_sek=_part(locked, locked.vat_sek, net) if locked.vat_sek is not None else None,
        issued_by=actor,
        issued_at=moment,
    )
    CreditNoteLine.objects.bulk_create(
        CreditNoteLine(note=note, organization=note.organization, line=line, text=text, amount=part)
        for line, text, part in _parts(lines, reason.strip(), net)
    )
    credit_note_book(note)
    if note.from_open == note.total:
        note.state = CreditNoteState.APPLIED
    else:
        note.state = CreditNoteState.OWED
    note.save(update_fields=["state"])
    audit.record(
        actor=actor,
        action="credit_note.issue",
        target=note,
        organization=note.organization,
        reason=reason,
        number=note.number,
        invoice=locked.number,
        total=str(note.total),
    )
    return note


@transaction.atomic
def credit_note_settled(note: CreditNote, state: CreditNoteState) -> None:
    """What was owed of it was paid back, or is credit."""
    if CreditNote.objects.filter(pk=note.pk, state=CreditNoteState.OWED).update(state=state):
        note.state = state


def creditable(invoice: Invoice) -> Decimal:
    """What is left to credit, net."""
    return invoice.subtotal - _credited(invoice)


def _net(
    invoice: Invoice, amount: Decimal | None, lines: Sequence[tuple[InvoiceLine, Decimal]]
) -> Decimal:
    if not invoice.number or invoice.state == InvoiceState.VOID:
        raise ValidationError(_("Only what was invoiced can be credited: this has no number."))
    if not all(
        line.invoice_id == invoice.pk and part.is_finite() and 0 < part <= line.amount
        for line, part in lines
    ):
        raise ValidationError(_("Credit at most what each line of this invoice is."))
    left = creditable(invoice)
    asked = sum((part for _line, part in lines), _ZERO) if lines else amount
    net = left if asked is None else asked
    if not (net.is_finite() and 0 < net <= left and net == net.quantize(CENT)):
        raise ValidationError(
            _("Credit an amount above 0 and of at most %(left)s."),
            params={"left": money_written(left, invoice.currency)},
        )
    return net


def _part(invoice: Invoice, vat: Decimal, net: Decimal) -> Decimal:
    """So that all notes together have the `vat` of the invoice, to the cent."""
    before = _credited(invoice)

    def of(part: Decimal) -> Decimal:
        return (vat * part / invoice.subtotal).quantize(CENT, ROUND_HALF_UP)

    return of(before + net) - of(before)


def _credited(invoice: Invoice) -> Decimal:
    return invoice.credit_notes.aggregate(net=Sum("net"))["net"] or _ZERO


def _parts(
    lines: Sequence[tuple[InvoiceLine, Decimal]], reason: str, net: Decimal
) -> list[tuple[InvoiceLine | None, str, Decimal]]:
    if not lines:
        return [(None, reason, net)]
    return [(line, f"{line.model} {line.text}".strip(), part) for line, part in lines]
