"""The document behind a line of a statement: an invoice or a credit note, by its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from billing.models import CreditNote, Invoice, Payment, Refund
from billing.payments.booking import source_of
from billing.statements import StatementLine
from tenants.models import Organization

type Source = tuple[str, str]
"""The type and the id of what a line is for."""


class Document(NamedTuple):
    """It is shown on the page of `invoice`."""

    number: str
    invoice: UUID


def documents_of(
    organization: Organization, lines: Iterable[StatementLine]
) -> Mapping[Source, Document]:
    """Of the lines that have one. At most four queries."""
    ids = dict[str, set[str]]()
    for line in lines:
        ids.setdefault(line.source_type, set()).add(line.source_id)
    return dict(
        [
            *_invoices(organization, ids.get("invoice", set()) | ids.get("write_off", set())),
            *_notes(organization, ids.get("credit_note", set())),
            *_payments(organization, ids.get("payment", set())),
            *_refunds(organization, ids.get("refund", set())),
        ]
    )


def _invoices(organization: Organization, ids: set[str]) -> Iterator[tuple[Source, Document]]:
    if ids:
        for one in Invoice.objects.for_organization(organization).filter(pk__in=_uuids(ids)):
            document = Document(one.number, one.pk)
            yield ("invoice", str(one.pk)), document
            yield ("write_off", str(one.pk)), document


def _notes(organization: Organization, ids: set[str]) -> Iterator[tuple[Source, Document]]:
    if ids:
        for one in CreditNote.objects.for_organization(organization).filter(pk__in=_uuids(ids)):
            yield ("credit_note", str(one.pk)), Document(one.number, one.invoice_id)


def _payments(organization: Organization, ids: set[str]) -> Iterator[tuple[Source, Document]]:
    if ids:
        by_hand = [one.partition(":")[2] for one in ids if ":" in one]
        found = Payment.objects.for_organization(organization).select_related("invoice")
        for one in found.filter(Q(stripe_payment_intent__in=ids) | Q(reference__in=by_hand)):
            if one.invoice:
                yield ("payment", source_of(one)), Document(one.invoice.number, one.invoice.pk)


def _refunds(organization: Organization, ids: set[str]) -> Iterator[tuple[Source, Document]]:
    if ids:
        found = Refund.objects.for_organization(organization).select_related("credit_note")
        for one in found.filter(pk__in=_uuids(ids)):
            if note := one.credit_note:
                yield ("refund", str(one.pk)), Document(note.number, note.invoice_id)


def _uuids(ids: set[str]) -> list[UUID]:
    """Without those that are names which another system gave."""
    found = list[UUID]()
    for one in ids:
        try:
            found.append(UUID(one))
        except ValueError:
            continue
    return found
