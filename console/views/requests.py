"""The customer's requests: the log, its export, and one request."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.models import Outcome, UsageDay, UsageEvent, UsageHour
from billing.usage import complete_until
from console.access import member_page
from console.audit_exports import export_told
from console.exports import csv_stream
from console.filters import Filter, filter_read
from console.forms import LOG_RANGES, Days, LogForm
from console.http import OrganizationRequest
from console.reports import group_names
from console.request_log import SCAN, Asked, LogPage, Place, RequestLog
from console.request_rows import CSV_ROWS, csv_pieces, places_of, rows_of
from console.request_story import is_fresh, story_of
from tenants.models import Organization


@require_safe
@member_page
def requests(request: OrganizationRequest) -> HttpResponse:
    """The log: a page of it, or the one request that an id names."""
    form = LogForm(request.GET)
    is_valid = form.is_valid()
    log = log_of(request.organization)
    if found := named(log, form.search):
        return redirect("request_detail", request.organization.slug, found.request_id)
    filters = _filters(request, form)
    page = page_asked(request, log, asked_of(form, filters))
    context = {
        **log_context(form, filters, page),
        "complete_until": complete_until(),
        "earlier": None if page.events or form.search else _last_day(request.organization),
    }
    status = None if is_valid else HTTPStatus.UNPROCESSABLE_CONTENT
    return render(request, "console/requests/requests.html", context, status=status)


@require_safe
@member_page
def requests_csv(request: OrganizationRequest) -> HttpResponseBase:
    """The requests that the page's address asks for, with exact amounts."""
    form = LogForm(request.GET)
    if not form.is_valid():
        return bad_question(form)
    asked = asked_of(form, _filters(request, form))
    export_told(request, "requests.export", request.organization)
    name = f"requests-{request.organization.slug}.csv"
    return csv_stream(name, csv_pieces(log_of(request.organization), asked))


@require_safe
@member_page
def request_detail(request: OrganizationRequest, request_id: UUID) -> HttpResponse:
    """One request; of one that may still come, a page that says so and looks again."""
    events = UsageEvent.objects.for_organization(request.organization)
    event = events.select_related("api_key__project").filter(request_id=request_id).first()
    if event is None:
        return not_booked(request, request_id)
    context = {"story": story_of(event), "event": event, "key": event.api_key}
    return found_now(request, render(request, "console/requests/request.html", context))


def not_booked(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Raises Http404 for an id that is not of the last minutes."""
    if not is_fresh(request_id):
        raise Http404
    return render(request, "console/requests/not_booked.html", {"request_id": request_id})


def found_now(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The page that waited for it is loaded anew."""
    if request.headers.get("HX-Request"):
        response["HX-Refresh"] = "true"
    return response


def log_of(organization: Organization) -> RequestLog[UsageEvent]:
    return RequestLog(
        UsageEvent.objects.for_organization(organization),
        UsageHour.objects.for_organization(organization),
    )


def named(log: RequestLog[UsageEvent], search: str) -> UsageEvent | None:
    """The request whose id was typed."""
    request_id = uuid_in(search)
    return log.events.filter(request_id=request_id).first() if request_id else None


def uuid_in(search: str) -> UUID | None:
    try:
        return UUID(search)
    except ValueError:
        return None


def asked_of(form: LogForm, filters: list[Filter]) -> Asked:
    chosen = {one.name: one.value for one in filters if one.value}
    if form.search:
        chosen["client_request_id"] = form.search
    return Asked(*form.span, chosen)


def page_asked(
    request: HttpRequest, log: RequestLog[UsageEvent], asked: Asked
) -> LogPage[UsageEvent]:
    """The page that the address names by a place in the log; else the newest."""
    if newer := Place.read(request.GET.get("newer", "")):
        return log.page(asked, newer, "newer")
    return log.page(asked, Place.read(request.GET.get("older", "")))


def log_context(
    form: LogForm, filters: list[Filter], page: LogPage[UsageEvent]
) -> dict[str, object]:
    chosen = sum(bool(one.value) for one in filters)
    return {
        "form": form,
        "filters": filters,
        "chosen": chosen,
        "is_filtered": form.search or chosen,
        "ranges": [(name, label) for name, (_length, label) in LOG_RANGES.items()],
        "page": page,
        "rows": rows_of(page.events),
        "places": places_of(page.events),
        "scan": SCAN,
        "csv_rows": CSV_ROWS,
    }


def bad_question(form: LogForm) -> HttpResponse:
    text = form.errors.as_text()
    status = HTTPStatus.UNPROCESSABLE_CONTENT
    return HttpResponse(text, content_type="text/plain", status=status)


def outcome_filter(request: HttpRequest) -> Filter:
    return filter_read(
        request, "outcome", Outcome.choices, label=_("Ending"), every=_("All endings")
    )


def _filters(request: OrganizationRequest, form: LogForm) -> list[Filter]:
    start, end = form.span
    days = UsageDay.objects.for_organization(request.organization)
    used = days.filter(day__gte=start.date(), day__lte=end.date()).order_by("model")
    models = used.values_list("model", flat=True).distinct()
    return [
        filter_read(
            request,
            "model",
            [(model, model) for model in models],
            label=_("Model"),
            every=_("All models"),
        ),
        _names_filter(request, "api_key", _("API key"), _("All keys")),
        _names_filter(request, "project", _("Project"), _("All projects")),
        outcome_filter(request),
    ]


def _names_filter(request: OrganizationRequest, name: str, label: str, every: str) -> Filter:
    names = group_names(request.organization, "project" if name == "project" else "api_key")
    choices = [(id_, f"{one} {note}".strip()) for id_, (one, note) in names.items()]
    return filter_read(request, name, choices, label=label, every=every)


def _last_day(organization: Organization) -> Days | None:
    """The last day that had requests."""
    hours = UsageHour.objects.for_organization(organization).order_by("-hour")
    last = hours.values_list("hour", flat=True).first()
    return Days(last.date(), last.date()) if last else None
