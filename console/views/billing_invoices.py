"""The customer's invoices: the list, one with its lines, and the files that prove it."""

from __future__ import annotations

import json
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing import invoices as services
from billing.models import CreditNote, Invoice, InvoiceKind
from console.access import member_page
from console.audit_exports import export_told
from console.exports import CSV, attachment, text_stream
from console.filters import filter_read
from console.http import OrganizationRequest


@require_safe
@member_page
def invoices(request: OrganizationRequest) -> HttpResponse:
    """Those of a year."""
    found = Invoice.objects.for_organization(request.organization).numbered()
    years = [str(day.year) for day in found.dates("period_start", "year", order="DESC")]
    choices = [(one, one) for one in years]
    year = filter_read(request, "year", choices, label=_("Year"), every=_("All years"))
    kind = filter_read(request, "kind", InvoiceKind.choices, label=_("Kind"), every=_("All kinds"))
    if year.value:
        found = found.filter(period_start__year=year.value)
    if kind.value:
        found = found.filter(kind=kind.value)
    context = {"invoices": found, "filters": [year, kind], "has_any": bool(years)}
    return render(request, "console/billing/invoices.html", context)


@require_safe
@member_page
def invoice(request: OrganizationRequest, invoice: UUID) -> HttpResponse:
    found = _found(request, invoice)
    context = {
        "invoice": found,
        "lines": found.lines.order_by("position"),
        "notes": found.credit_notes.all(),
        "seller": found.seller,
        "verifier_url": request.build_absolute_uri("/verify_invoice.py"),
    }
    return render(request, "console/billing/invoice.html", context)


@require_safe
@member_page
def invoice_pdf(request: OrganizationRequest, invoice: UUID) -> HttpResponse:
    found = _found(request, invoice)
    return _pdf(services.invoice_pdf(found), found.number)


@require_safe
@member_page
def credit_note_pdf(request: OrganizationRequest, note: UUID) -> HttpResponse:
    notes = CreditNote.objects.for_organization(request.organization)
    found = get_object_or_404(notes.select_related("invoice"), pk=note)
    return _pdf(services.credit_note_pdf(found), found.number)


@require_safe
@member_page
def invoice_usage(request: OrganizationRequest, invoice: UUID) -> StreamingHttpResponse:
    """Each request that the invoice bills, for `verify_invoice.py`."""
    found = _found(request, invoice)
    export_told(request, "invoice.export", request.organization, number=found.number)
    return text_stream(f"{found.number}-usage.csv", CSV, services.usage_csv(found))


@require_safe
@member_page
def invoice_bundle(request: OrganizationRequest, invoice: UUID) -> HttpResponse:
    """What is to be recomputed from `usage.csv`, for `verify_invoice.py`."""
    found = _found(request, invoice)
    text = json.dumps(services.usage_bundle(found), indent=2, ensure_ascii=False)
    name = f"{found.number}.json"
    return HttpResponse(text, content_type="application/json", headers=attachment(name))


@require_safe
def verify_invoice(request: HttpRequest) -> HttpResponse:
    """The program that recomputes an invoice: one file, nothing to install."""
    program = services.VERIFIER
    headers = attachment(program.name)
    return HttpResponse(program.read_bytes(), content_type="text/x-python", headers=headers)


def _found(request: OrganizationRequest, pk: UUID) -> Invoice:
    found = Invoice.objects.for_organization(request.organization).numbered()
    return get_object_or_404(found, pk=pk)


def _pdf(content: bytes, number: str) -> HttpResponse:
    headers = {"Content-Disposition": f'inline; filename="{number}.pdf"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)
