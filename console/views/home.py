"""The customer's home."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any, Final

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.budgets import alerts_unseen
from billing.models import UsageDay, UsageHour
from console.access import may_act, member_page
from console.forms import DEFAULT_DAYS, Days
from console.http import OrganizationRequest
from console.policies import allowed_regions
from console.reports import UsageReport, money_places
from console.snippets import first_snippet
from console.views.keys import requests_of_last_day
from tenants.models import ApiKey

RECENT_KEYS: Final = 5
STEPS_SHOWN: Final = timedelta(days=7)
"""How long after the first request the first steps, all ticked, are still shown."""


@require_safe
@member_page
def org_home(request: OrganizationRequest) -> HttpResponse:
    """The first steps until they are taken, this month in numbers, and the newest keys.

    htmx asks for the steps alone, and for all of it again once the first request has arrived.
    """
    part = "#steps" if request.htmx else ""
    context = _steps(request) if part else _steps(request) | _month(request) | _keys(request)
    response = render(request, f"console/home/home.html{part}", context)
    if part and context["first"]:
        response["HX-Refresh"] = "true"
    return response


def _steps(request: OrganizationRequest) -> dict[str, Any]:
    usage = UsageHour.objects.for_organization(request.organization)
    started = usage.order_by("hour").values_list("hour", flat=True).first()
    is_new = started is None or started > timezone.now() - STEPS_SHOWN
    first = usage.sums() if is_new and started else None
    return {
        "is_new": is_new,
        "has_key": ApiKey.objects.for_organization(request.organization).listed().exists(),
        "first": first,
        "first_places": money_places(first.amount) if first else 2,
        "snippet": first_snippet(request.organization),
        "may_make": may_act(request, "key_create"),
    }


def _month(request: OrganizationRequest) -> dict[str, Any]:
    """The sums since the first of the month, and the last 30 days for the sparklines."""
    now = timezone.now().astimezone(UTC)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    usage = UsageDay.objects.for_organization(request.organization)
    sums = usage.within(start.date(), now.date()).sums()
    report = UsageReport(request.organization, Days.until_today(DEFAULT_DAYS), "model")
    return {
        "month": start,
        "sums": sums,
        "places": money_places(sums.amount),
        "daily": report.daily(),
        "report": report,
        "allowed_regions": allowed_regions(request.organization),
        "unseen": alerts_unseen(request.organization),
    }


def _keys(request: OrganizationRequest) -> dict[str, Any]:
    found = ApiKey.objects.for_organization(request.organization).active().listed()
    requests = requests_of_last_day(request)
    recent = found.select_related("project").order_by("-id")[:RECENT_KEYS]
    return {"keys": [(key, getattr(requests.get(str(key.id)), "requests", 0)) for key in recent]}
