"""Revenue and margin, and what a backend costs."""

from __future__ import annotations

from datetime import date

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from console.access import operator_page
from console.currencies import amounts_in, currencies_used
from console.filters import filter_read
from console.http import OperatorRequest
from console.margins import BY, Margins, month_lines
from console.money_forms import BackendCostForm
from console.months import month_filter
from console.sheets import Sheet, sent, sheet_answer
from inference.costs import backend_cost_set
from inference.models import Backend


@require_safe
@operator_page
def operator_revenue(request: OperatorRequest) -> HttpResponse:
    """A month: what was earned, what backends cost, and what is left."""
    now = timezone.now()
    month = month_filter(request, now)
    by = filter_read(request, "by", BY, label=_("By"))
    of = [(one, one) for one in currencies_used()]
    currency = filter_read(request, "currency", of, label=_("Currency"))
    margins = Margins(date.fromisoformat(f"{month.value}-01"), currency.value, now)
    context = {
        "margins": margins,
        "lines": _lines(margins, by.value),
        "month": month,
        "by": by,
        "currency": currency,
        "filters": [month, currency] if len(of) > 1 else [month],
    }
    with amounts_in(currency.value):
        return render(request, "console/operator/revenue.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_backend_cost(request: OperatorRequest, backend: str) -> HttpResponse:
    """What an hour of it costs, from a day on."""
    found = get_object_or_404(Backend, name=backend)
    form = BackendCostForm.of(found, sent(request))
    sheet = Sheet(
        title=_("Cost of %(name)s") % {"name": found.name},
        sub=_("For the margin on the page of revenue. It is charged to nobody."),
        act=_("Save"),
        back=reverse("operator_backend", args=[found.name]),
        keep=_("Cancel"),
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: backend_cost_set(actor=request.user, backend=found, **form.cleaned_data),
        said=_("Saved."),
    )


def _lines(margins: Margins, by: str) -> object:
    if by == "month":
        return month_lines(margins.month, margins.currency, margins.now)
    return margins.by_organization if by == "organization" else margins.by_model
