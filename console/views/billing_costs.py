"""The customer's cost explorer: what was spent, by day and group, and what will be."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.usage import complete_until
from console.access import member_page
from console.audit_exports import export_told
from console.billing_forms import SPANS, CostForm
from console.costs import CostReport
from console.exports import CSV, attachment
from console.forms import GROUPS
from console.http import OrganizationRequest
from console.views.usage import csv_cells, csv_columns


@require_safe
@member_page
def costs(request: OrganizationRequest) -> HttpResponse:
    form = CostForm(request.GET)
    is_valid = form.is_valid()
    context = {
        "form": form,
        "report": CostReport(request.organization, form.asked, form.grouped_by),
        "groups": GROUPS,
        "spans": SPANS,
        "complete_until": complete_until(),
    }
    return render(request, "console/billing/costs.html", context, status=200 if is_valid else 422)


@require_safe
@member_page
def costs_csv(request: OrganizationRequest) -> HttpResponse:
    """The rows behind the page, of both spans, with exact amounts."""
    form = CostForm(request.GET)
    if not form.is_valid():
        return HttpResponse(form.errors.as_text(), content_type="text/plain", status=422)
    report = CostReport(request.organization, form.asked, form.grouped_by)
    days = report.span.until_now
    export_told(request, "usage.export", request.organization, days=days.count)
    name = f"costs-{request.organization.slug}-{days.first}-{days.last}.csv"
    response = HttpResponse(content_type=CSV, headers=attachment(name))
    csv.writer(response).writerows(_rows(report))
    return response


def _rows(report: CostReport) -> Iterator[Sequence[object]]:
    yield ["span", "day", report.group, *csv_columns()]
    for span, part in (("this", report.now), ("before", report.before)):
        for row in part.rows:
            yield [span, f"{row.moment:%Y-%m-%dT%H:%MZ}", *csv_cells(part, row)]
