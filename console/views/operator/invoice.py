"""One invoice: its lines, what was paid and credited, and the acts that change its state."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Protocol
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing import invoices as services
from billing.models import CreditNote, Invoice, InvoiceKind, InvoiceState
from billing.payments import invoice_credit, payment_enter
from console.access import operator_page
from console.audit_exports import export_told
from console.audit_reasons import reason_first
from console.exports import CSV, text_stream
from console.http import OperatorRequest
from console.money_forms import CreditNoteForm, InvoicePaymentForm, UsageCreditForm
from console.organization_forms import ReasonForm
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from console.templatetags.ui import money_in
from console.views.operator.invoices import DUE, InvoiceRow
from tenants.models import User

FINALISED: Final = frozenset({
    InvoiceState.FINALISED, InvoiceState.PAST_DUE, InvoiceState.PAID, InvoiceState.UNCOLLECTIBLE,
})  # fmt: skip
PAYABLE: Final = FINALISED - {InvoiceState.PAID}
_LASTING: Final = services.SENT | {
    InvoiceState.PAID, InvoiceState.VOID, InvoiceState.UNCOLLECTIBLE,
}  # fmt: skip
"""Of these none becomes void."""


@require_safe
@operator_page
def operator_invoice(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    found = _invoice(invoice)
    state = InvoiceState(found.state)
    context = {
        "row": InvoiceRow(found),
        "invoice": found,
        "tenant": found.organization,
        "lines": found.lines.order_by("position"),
        "notes": found.credit_notes.all(),
        "may_finalise": state == InvoiceState.DRAFT,
        "may_release": state == InvoiceState.HALTED,
        "may_pay": state in PAYABLE and found.to_pay,
        "may_credit": state in FINALISED and found.credited < found.total,
        "may_write_off": state in DUE and found.to_pay,
        "may_void": found.kind == InvoiceKind.USAGE
        and state not in _LASTING
        and not (found.paid or found.credited),
    }
    return render(request, "console/operator/invoice.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_invoice_finalise(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    """Give it its number: from then on it cannot change."""
    found = _invoice(invoice)
    sheet = Sheet(
        title=_("Finalise this invoice"),
        sub=_("It gets the next number, its customer a mail, and it can never change again."),
        act=_("Finalise"),
        back=_page(found),
        keep=_("Not now"),
        facts=_facts(found),
        warning=found.halted_because,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.invoice_finalise(actor=request.user, invoice=found),
        said=_("The invoice is finalised."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_invoice_release(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    """Let one that was halted go on."""
    found = _invoice(invoice)
    sheet = Sheet(
        title=_("Let this invoice go on"),
        sub=_("It is tried again. What made it halt, if it is still so, halts it again."),
        act=_("Let it go on"),
        back=_page(found),
        keep=_("Not now"),
        facts=_facts(found),
        warning=found.halted_because,
    )
    return _with_reason(request, found, sheet, services.invoice_release)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_invoice_void(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    """Take back an invoice of which nothing was paid."""
    found = _invoice(invoice)
    sheet = Sheet(
        title=_("Void this invoice"),
        sub=_("Nothing of it is to be paid, and its number stays used. Its usage is invoiced anew "
              "within ten minutes: mend before what was wrong."),
        act=_("Void"),
        back=_page(found),
        keep=_("Keep it"),
        facts=_facts(found),
        is_danger=True,
    )  # fmt: skip
    return _with_reason(request, found, sheet, services.invoice_void)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_invoice_write_off(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    """Expect no more that it is paid."""
    found = _invoice(invoice)
    sheet = Sheet(
        title=_("Write this invoice off"),
        sub=_(
            "What is open of it is a bad debt from now on, and its VAT is not due. A payment that "
            "comes all the same takes this back."
        ),
        act=_("Write off"),
        back=_page(found),
        keep=_("Not now"),
        facts=_facts(found),
        is_danger=True,
    )
    return _with_reason(request, found, sheet, services.invoice_write_off)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_credit_note(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    """Take back a part of it, or all that is left."""
    found = _invoice(invoice)
    may_stay = found.paid and found.kind == InvoiceKind.USAGE
    form = (UsageCreditForm if may_stay else CreditNoteForm).of(found, sent(request))
    sheet = Sheet(
        title=_("Credit note for %(number)s") % {"number": found},
        sub=_("It has a number of its own, and cannot be taken back. What goes back goes the way "
              "it came; what came by bank you transfer yourself."),
        act=_("Issue credit note"),
        back=_page(found),
        keep=_("Cancel"),
        facts=_facts(found),
    )  # fmt: skip

    return sheet_answer(
        request,
        sheet,
        form,
        lambda: invoice_credit(actor=request.user, invoice=found, **form.cleaned_data),
        said=_("The credit note is issued."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_invoice_payment(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    """A payment of it that came in by bank."""
    found = _invoice(invoice)
    form = InvoicePaymentForm.of(found, sent(request))
    sheet = Sheet(
        title=_("Payment of %(number)s") % {"number": found},
        sub=_("As it stands on the bank's account. The books keep it."),
        act=_("Enter payment"),
        back=_page(found),
        keep=_("Cancel"),
        facts=_facts(found),
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: payment_enter(
            actor=request.user,
            organization=found.organization,
            invoice=found,
            **form.cleaned_data,
        ),
        said=_("The payment is entered."),
    )


@require_safe
@operator_page
def operator_invoice_pdf(request: OperatorRequest, invoice: UUID) -> HttpResponse:
    found = _invoice(invoice)
    if not found.number:
        raise Http404
    return _pdf(services.invoice_pdf(found), found.number)


@require_safe
@operator_page
def operator_credit_note_pdf(request: OperatorRequest, note: UUID) -> HttpResponse:
    found = get_object_or_404(CreditNote.objects.select_related("invoice"), pk=note)
    return _pdf(services.credit_note_pdf(found), found.number)


@require_safe
@operator_page
def operator_invoice_usage(request: OperatorRequest, invoice: UUID) -> HttpResponseBase:
    """Each request that it bills: data of a customer, so for a reason."""
    found = _invoice(invoice)
    if asked := reason_first(request, found.organization):
        return asked
    export_told(request, "invoice.export", found.organization, number=found.number)
    return text_stream(f"{found.number}-usage.csv", CSV, services.usage_csv(found))


class Act(Protocol):
    """A service that changes an invoice, and keeps why."""

    def __call__(self, *, actor: User, invoice: Invoice, reason: str) -> object: ...


def _with_reason(
    request: OperatorRequest, invoice: Invoice, sheet: Sheet, act: Act
) -> HttpResponse:
    form = ReasonForm(sent(request))
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: act(actor=request.user, invoice=invoice, reason=form.cleaned_data["reason"]),
        said=_("Done."),
    )


def _invoice(pk: UUID) -> Invoice:
    return get_object_or_404(Invoice.objects.select_related("organization"), pk=pk)


def _page(invoice: Invoice) -> str:
    return reverse("operator_invoice", args=[invoice.pk])


def _facts(invoice: Invoice) -> list[tuple[str, object]]:
    def of(amount: Decimal) -> str:
        return money_in(amount, invoice.currency)

    return [
        (_("Organization"), invoice.organization),
        (_("Excl. VAT"), of(invoice.subtotal)),
        (_("VAT"), f"{of(invoice.vat_amount)}, {invoice.get_vat_treatment_display()}"),
        (_("Total"), of(invoice.total)),
        (_("Left to pay"), of(invoice.to_pay)),
        (_("Left to credit, excl. VAT"), of(services.creditable(invoice))),
    ]


def _pdf(content: bytes, number: str) -> HttpResponse:
    headers = {"Content-Disposition": f'inline; filename="{number}.pdf"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)
