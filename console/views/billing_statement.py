"""The customer's statement: what came onto the balance in a month, and what left it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing.budgets import span_of
from billing.models import Period
from billing.statements import Statement, StatementLine, statement_read
from console.access import member_page
from console.audit_exports import export_told
from console.currencies import shown_currency
from console.exports import CSV, attachment
from console.filters import Filter
from console.http import OrganizationRequest
from console.months import month_filter
from console.reports import money_places
from console.statement_documents import documents_of

WORDS: Final[dict[tuple[str, str], str | Promise]] = {
    ("batch", "usage"): _("Usage"),
    ("payment", "top_up"): _("Payment in advance"),
    ("payment", "vat"): _("VAT of a payment in advance"),
    ("promo", "grant"): _("Credit granted"),
    ("expiry", "expiry"): _("Credit expired"),
    ("payment", "invoice"): _("Payment of an invoice"),
    ("invoice", "vat"): _("VAT of an invoice"),
    ("invoice", "discount"): _("Volume discount"),
    ("invoice", "rounded up"): _("Rounding of an invoice"),
    ("invoice", "rounded down"): _("Rounding of an invoice"),
    ("credit_note", "issue"): _("Credit note"),
    ("refund", "refund"): _("Refund"),
    ("write_off", "write_off"): _("Invoice written off"),
    ("payment", "recovered"): _("Invoice not written off any more"),
    ("credit_note", "recovered"): _("Invoice not written off any more"),
}
"""What a line is for, by its source."""


@require_safe
@member_page
def statement(request: OrganizationRequest) -> HttpResponse:
    month, found = _asked(request)
    documents = documents_of(request.organization, found.lines)
    lines = [
        (
            said_of(one),
            documents.get((one.source_type, one.source_id)),
            money_places(abs(one.amount)),
            one,
        )
        for one in found.lines
    ]
    context = {"statement": found, "lines": lines[::-1], "month": month}
    return render(request, "console/billing/statement.html", context)


@require_safe
@member_page
def statement_csv(request: OrganizationRequest) -> HttpResponse:
    """The lines with exact amounts, between the balances that they lead from and to."""
    month, found = _asked(request)
    export_told(request, "statement.export", request.organization, month=month.value)
    name = f"statement-{request.organization.slug}-{month.value}.csv"
    response = HttpResponse(content_type=CSV, headers=attachment(name))
    csv.writer(response).writerows(_rows(found))
    return response


def said_of(line: StatementLine) -> str:
    return str(WORDS.get((line.source_type, line.code), line.code.replace("_", " ").capitalize()))


def _asked(request: OrganizationRequest) -> tuple[Filter, Statement]:
    month = month_filter(request, timezone.now())
    start = datetime.fromisoformat(f"{month.value}-01T00:00:00+00:00")
    return month, statement_read(request.organization, span_of(Period.MONTH, start))


def _rows(found: Statement) -> Iterator[Sequence[object]]:
    yield ["day", "for", "reference", f"amount_{shown_currency().lower()}"]
    yield ["", "opening", "", f"{found.opening:.12f}"]
    for line in found.lines:
        yield [line.day, line.code, line.source_id, f"{line.amount:.12f}"]
    yield ["", "closing", "", f"{found.closing:.12f}"]
