"""The customer's usage: the page and its export."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.models import UsageHour
from billing.usage import UsageRow, complete_until
from console.access import member_page
from console.audit_exports import export_told
from console.currencies import shown_currency
from console.exports import CSV, attachment, cell
from console.forms import GROUPS, MEASURES, PRESETS, Days, UsageForm
from console.http import OrganizationRequest
from console.reports import UsageReport

CSV_COLUMNS: Final = (
    "requests", "failed_requests", "input_tokens", "cached_tokens", "output_tokens",
    "audio_seconds",
)  # fmt: skip


@require_safe
@member_page
def usage(request: OrganizationRequest) -> HttpResponse:
    form = UsageForm(request.GET)
    is_valid = form.is_valid()
    report = UsageReport(request.organization, form.range, form.grouped_by, form.measured_by)
    context = {
        "form": form,
        "report": report,
        "groups": GROUPS,
        "measures": MEASURES,
        "presets": PRESETS,
        "complete_until": complete_until(),
        "earlier": None if report.rows else _last_days_with_usage(request),
    }
    return render(request, "console/usage/usage.html", context, status=200 if is_valid else 422)


def _last_days_with_usage(request: OrganizationRequest) -> Days | None:
    """A range as long as a month that ends on the last day with usage, if there is any."""
    hours = UsageHour.objects.for_organization(request.organization)
    last = hours.order_by("-hour").values_list("hour", flat=True).first()
    return Days(last.date() - timedelta(days=29), last.date()) if last else None


@require_safe
@member_page
def usage_csv(request: OrganizationRequest) -> HttpResponse:
    """The rows behind the page, with exact amounts, for a spreadsheet or a script."""
    form = UsageForm(request.GET)
    if not form.is_valid():
        return HttpResponse(form.errors.as_text(), content_type="text/plain", status=422)
    export_told(request, "usage.export", request.organization, days=form.range.count)
    name = f"usage-{request.organization.slug}-{form.range.first}-{form.range.last}.csv"
    response = HttpResponse(content_type=CSV, headers=attachment(name))
    report = UsageReport(request.organization, form.range, form.grouped_by)
    csv.writer(response).writerows(_csv_rows(report))
    return response


def _csv_rows(report: UsageReport) -> Iterator[Sequence[object]]:
    moment, pattern = ("hour", "%Y-%m-%dT%H:%MZ") if report.days.by_hour else ("day", "%Y-%m-%d")
    yield [moment, report.group, *csv_columns()]
    for row in report.rows:
        yield [row.moment.strftime(pattern), *csv_cells(report, row)]


def csv_columns() -> list[str]:
    """The names of what `csv_cells` gives but the first, with the currency of the page."""
    return [*CSV_COLUMNS, f"amount_{shown_currency().lower()}"]


def csv_cells(report: UsageReport, row: UsageRow) -> Sequence[object]:
    """The name of the group of `row`, and its exact sums."""
    sums = row.sums
    return [
        cell(_csv_name(report, row.group)),
        sums.requests,
        sums.failed_requests,
        sums.input_tokens,
        sums.cached_tokens,
        sums.output_tokens,
        sums.audio_seconds,
        f"{sums.amount:.12f}",
    ]


def _csv_name(report: UsageReport, group: str) -> str:
    name, note = report.names.get(group, (group, ""))
    return f"{name} ({note})" if note else name
