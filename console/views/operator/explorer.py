"""Usage by any two of organization, project, key, model and time."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.access import operator_page
from console.audit_exports import export_told
from console.audit_reasons import reason_first
from console.currencies import amounts_in, currencies_used
from console.explorer import DIMENSIONS, Exploration, csv_pieces
from console.exports import csv_stream
from console.forms import MEASURES, PRESETS
from console.http import OperatorRequest
from console.operator_forms import ExplorerForm
from inference.models import Model


@require_safe
@operator_page
def operator_explorer(request: OperatorRequest) -> HttpResponse:
    """The sums as a table, with a chart where one of the two is time."""
    form = ExplorerForm(request.GET)
    is_valid = form.is_valid()
    asked = form.question
    if asked.organization and (why := reason_first(request, asked.organization)):
        return why
    has_choice = asked.measure == "cost" and asked.organization is None
    currencies = currencies_used() if has_choice else []
    context = {
        "form": form,
        "found": Exploration(asked),
        "asked": asked,
        "currencies": currencies if len(currencies) > 1 else [],
        "dimensions": DIMENSIONS,
        "measures": MEASURES,
        "presets": PRESETS,
        "models": Model.objects.order_by("public_id").values_list("public_id", flat=True),
    }
    status = None if is_valid else HTTPStatus.UNPROCESSABLE_CONTENT
    with amounts_in(asked.currency):
        return render(request, "console/operator/explorer.html", context, status=status)


@require_safe
@operator_page
def operator_explorer_csv(request: OperatorRequest) -> HttpResponseBase:
    """All pairs with all their sums, exactly, and in every currency."""
    form = ExplorerForm(request.GET)
    if not form.is_valid():
        text, status = form.errors.as_text(), HTTPStatus.UNPROCESSABLE_CONTENT
        return HttpResponse(text, content_type="text/plain", status=status)
    asked = form.question
    if asked.organization and (why := reason_first(request, asked.organization)):
        return why
    export_told(request, "usage.export", asked.organization)
    name = f"usage-by-{asked.rows}-and-{asked.columns}-{asked.days.first}-{asked.days.last}.csv"
    return csv_stream(name, csv_pieces(asked))
