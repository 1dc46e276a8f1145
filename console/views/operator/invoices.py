"""Invoices of all customers by their state, and the VAT of a month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from django.db.models import Count, F, Q, Sum
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.models import Invoice, InvoiceKind, InvoiceState
from console.access import operator_page
from console.audit_exports import export_told
from console.exports import csv_stream
from console.filters import filter_read
from console.http import OperatorRequest
from console.months import month_filter
from console.vat_report import VatReport
from console.views.operator.paging import after_of, page_of

KINDS: Final = {
    InvoiceState.PAID: "ok",
    InvoiceState.FINALISED: "ok",
    InvoiceState.PAST_DUE: "bad",
    InvoiceState.HALTED: "bad",
    InvoiceState.UNCOLLECTIBLE: "bad",
    InvoiceState.VOID: "idle",
    InvoiceState.OPEN: "idle",
}
"""Their colours; those on their way are yellow."""
DUE: Final = (InvoiceState.FINALISED, InvoiceState.PAST_DUE)


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    invoice: Invoice

    @property
    def kind(self) -> str:
        return KINDS.get(InvoiceState(self.invoice.state), "warn")

    @property
    def word(self) -> str:
        """Of usage that credit paid for there is nothing to pay."""
        if self.invoice.state == InvoiceState.FINALISED and not self.invoice.to_pay:
            return _("Nothing to pay")
        return self.invoice.get_state_display()


class Due(NamedTuple):
    """What customers owe in one currency, and what of it is late."""

    currency: str
    open: Decimal
    late: Decimal


@require_safe
@operator_page
def operator_invoices(request: OperatorRequest) -> HttpResponse:
    """All invoices, the newest period first; `state` is one of them."""
    search = request.GET.get("q", "").strip()
    state = filter_read(
        request, "state", InvoiceState.choices, label=_("State"), every=_("Every state")
    )
    kind = filter_read(request, "kind", InvoiceKind.choices, label=_("Of"), every=_("Of all"))
    found = Invoice.objects.select_related("organization")
    if state.value:
        found = found.filter(state=state.value)
    if kind.value:
        found = found.filter(kind=kind.value)
    if search:
        named = Q(organization__name__icontains=search) | Q(organization__slug=search.lower())
        found = found.filter(named | Q(number__iexact=search) | Q(stripe_id=search))
    page = page_of(found, unique="id", order="-created_at", after=after_of(request))
    context = {
        "search": search,
        "filters": [state, kind],
        "is_filtered": search or state.value or kind.value,
        "page": page,
        "rows": [InvoiceRow(invoice) for invoice in page.rows],
        "due": dues(),
        "counts": _counts(),
        "next_close": _next_close(timezone.now()),
    }
    return render(request, "console/operator/invoices.html", context)


@require_safe
@operator_page
def operator_vat(request: OperatorRequest) -> HttpResponse:
    """What a return of VAT asks for."""
    month = month_filter(request, timezone.now())
    context = {"month": month, "report": VatReport(date.fromisoformat(f"{month.value}-01"))}
    return render(request, "console/operator/vat.html", context)


@require_safe
@operator_page
def operator_vat_csv(request: OperatorRequest) -> HttpResponseBase:
    month = month_filter(request, timezone.now())
    export_told(request, "vat.export", None)
    report = VatReport(date.fromisoformat(f"{month.value}-01"))
    return csv_stream(f"vat-{month.value}.csv", report.csv_pieces())


def dues() -> list[Due]:
    """By currency."""
    left = F("total") - F("credited") - F("paid")
    late = Sum(left, filter=Q(state=InvoiceState.PAST_DUE), default=Decimal(0))
    rows = Invoice.objects.filter(state__in=DUE).order_by("currency").values_list("currency")
    return [Due(*row) for row in rows.annotate(open=Sum(left), late=late)]


def _counts() -> dict[str, int]:
    """How many wait for something, by state."""
    done = (InvoiceState.PAID, InvoiceState.VOID)
    rows = Invoice.objects.exclude(state__in=done).order_by().values_list("state")
    return dict(rows.annotate(Count("pk")))


def _next_close(now: datetime) -> date:
    return (now.date().replace(day=1) + timedelta(days=32)).replace(day=1)
