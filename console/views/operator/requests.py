"""The requests of all organizations: the log, its export, and one request. No content."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.models import UsageEvent, UsageEventId
from console.access import operator_page
from console.audit_exports import export_told
from console.audit_reasons import reason_first
from console.currencies import amounts_in
from console.exports import csv_stream
from console.filters import Filter, filter_read
from console.http import OperatorRequest
from console.operator_forms import OperatorLogForm
from console.request_log import RequestLog
from console.request_rows import csv_pieces
from console.request_story import story_of
from console.views.requests import (
    asked_of,
    bad_question,
    found_now,
    log_context,
    log_of,
    not_booked,
    outcome_filter,
    page_asked,
    uuid_in,
)
from inference.models import Backend, Model


@require_safe
@operator_page
def operator_requests(request: OperatorRequest) -> HttpResponse:
    """The log: a page of it, or the one request that an id names."""
    form = OperatorLogForm(request.GET)
    is_valid = form.is_valid()
    if form.tenant and (asked := reason_first(request, form.tenant)):
        return asked
    if found := event_of(uuid_in(form.search)):
        return redirect("operator_request", found.request_id)
    filters = _filters(request)
    page = page_asked(request, _log(form), asked_of(form, filters))
    context = log_context(form, filters, page) | {"tenant": form.tenant}
    status = None if is_valid else HTTPStatus.UNPROCESSABLE_CONTENT
    return render(request, "console/operator/requests.html", context, status=status)


@require_safe
@operator_page
def operator_requests_csv(request: OperatorRequest) -> HttpResponseBase:
    """The requests that the page's address asks for, with exact amounts."""
    form = OperatorLogForm(request.GET)
    if not form.is_valid():
        return bad_question(form)
    if form.tenant and (why := reason_first(request, form.tenant)):
        return why
    export_told(request, "requests.export", form.tenant)
    asked = asked_of(form, _filters(request))
    return csv_stream("requests.csv", csv_pieces(_log(form), asked, for_operator=True))


@require_safe
@operator_page
def operator_request(request: OperatorRequest, request_id: UUID) -> HttpResponse:
    """One request; of one that may still come, a page that says so and looks again."""
    event = event_of(request_id)
    if event is None:
        return not_booked(request, request_id)
    if asked := reason_first(request, event.organization):
        return asked
    context = {
        "story": story_of(event),
        "event": event,
        "key": event.api_key,
        "tenant": event.organization,
    }
    with amounts_in(event.currency):
        return found_now(request, render(request, "console/requests/request.html", context))


def event_of(request_id: UUID | None) -> UsageEvent | None:
    """The event of any organization."""
    if request_id is None:
        return None
    ids = UsageEventId.objects.filter(request_id=request_id)
    owner = ids.values_list("organization_id", flat=True).first()
    if owner is None:
        return None
    events = UsageEvent.objects.filter(organization_id=owner, request_id=request_id)
    return events.select_related("organization", "api_key__project").first()


def _log(form: OperatorLogForm) -> RequestLog[UsageEvent]:
    return log_of(form.tenant) if form.tenant else RequestLog(UsageEvent.objects.all(), hours=None)


def _filters(request: OperatorRequest) -> list[Filter]:
    models = Model.objects.order_by("public_id").values_list("public_id", flat=True)
    backends = Backend.objects.order_by("name").values_list("name", flat=True)
    return [
        filter_read(
            request, "model", [(m, m) for m in models], label=_("Model"), every=_("All models")
        ),
        filter_read(
            request,
            "backend",
            [(name, name) for name in backends],
            label=_("Backend"),
            every=_("All backends"),
        ),
        outcome_filter(request),
    ]
