"""Exchange rates, at which invoices in euro tell their VAT in kronor."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.exchange import LASTS, exchange_rate_set
from billing.models import ExchangeRate, Invoice, InvoiceState
from console.access import operator_page
from console.http import OperatorRequest
from console.money_forms import ExchangeRateForm
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up

SHOWN = 100


@require_safe
@operator_page
def operator_exchange_rates(request: OperatorRequest) -> HttpResponse:
    """The newest first, and how many invoices are halted."""
    context = {
        "rates": ExchangeRate.objects.select_related("entered_by")[:SHOWN],
        "days": LASTS.days,
        "halted": Invoice.objects.filter(state=InvoiceState.HALTED).count(),
    }
    return render(request, "console/operator/exchange_rates.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_exchange_rate_add(request: OperatorRequest) -> HttpResponse:
    """Enter the rate of a day, or correct it."""
    form = ExchangeRateForm.of(ExchangeRate.objects.first(), sent(request))
    sheet = Sheet(
        title=_("Enter an exchange rate"),
        sub=_("Another rate of that day goes. Invoices keep the one that stands on them."),
        act=_("Enter"),
        back=reverse("operator_exchange_rates"),
        keep=_("Cancel"),
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: exchange_rate_set(actor=request.user, **form.cleaned_data),
        said=_("The rate is entered. Invoices that wait for it can go on."),
    )
