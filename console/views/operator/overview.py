"""The operator's overview."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from billing.health import metering_health
from console.access import operator_page
from console.http import OperatorRequest
from console.margins import months_so_far
from console.reports import money_places
from console.views.operator import figures
from console.views.operator.audit import audit_problems
from console.views.operator.health import fleet_read
from console.views.operator.metering import metering_problems
from console.views.operator.money_problems import money_problems
from console.views.operator.trail import trail_read
from tenants.models import AuditEntry


@require_safe
@vary_on_headers("HX-Request")
@operator_page
def operator_overview(request: OperatorRequest) -> HttpResponse:
    """The whole page, or for htmx the parts of it that are live."""
    now = timezone.now()
    chosen = figures.chosen_range(request.GET)
    context = {"range": chosen, "now": now, **_live(now)}
    if request.htmx:
        return render(request, "console/operator/_overview_live.html", context)
    return render(request, "console/operator/overview.html", context | _settled(chosen, now))


def _live(now: datetime) -> dict[str, Any]:
    fleet, health = fleet_read(now), metering_health()
    return {
        "fleet": fleet,
        "health": health,
        "problems": [
            *audit_problems(),
            *metering_problems(health),
            *money_problems(),
            *fleet.problems,
        ],
        "pulse": figures.pulse_read(now),
        "today": figures.today_read(now),
    }


def _settled(chosen: figures.Range, now: datetime) -> dict[str, Any]:
    """What does not move by the second. Sums by the hour start with a whole one."""
    since = figures.floor(chosen.start(now), figures.HOUR)
    is_live = chosen.step == figures.MINUTE
    spenders = figures.organizations_top(since, now)
    return {
        "ranges": figures.RANGES.values(),
        "is_by_outcome": is_live,
        "breakdown": figures.requests_by_outcome(now)
        if is_live
        else figures.requests_by_model(chosen, now),
        "since": since,
        "organizations": spenders,
        "places": money_places(sum((one.amount for one in spenders), Decimal(0))),
        "margins": months_so_far(now),
        "trail": trail_read(AuditEntry.objects.of_platform(), 5),
    }
