"""Pages of no organization: probes, theme, the front door and errors."""

from __future__ import annotations

from typing import Any, Final

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from billing.metrics import MeteringCollector
from billing.payments.metrics import PaymentsCollector
from console.access import ACCESS, CHANGES, ROLES, STAFF, NotNow, Who
from console.http import THEME_COOKIE, THEMES, UserRequest, chosen_theme
from inference.gateway.auth import may_scrape
from tenants import tenancy
from tenants.models import Membership, Organization, Role, StaffRole, User
from tenants.valkey import client

YEAR_S: Final = 365 * 24 * 3600

REGISTRY.register(MeteringCollector())
REGISTRY.register(PaymentsCollector())


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether the stores answer: 503 with the names of those that do not."""
    checks = {"postgresql": _postgresql_answers(), "valkey": _valkey_answers()}
    missing = [name for name, answers in checks.items() if not answers]
    body = f"no answer: {', '.join(missing)}\n" if missing else "ok\n"
    return HttpResponse(body, content_type="text/plain", status=503 if missing else 200)


def _postgresql_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _valkey_answers() -> bool:
    try:
        return bool(client().ping())
    except redis.RedisError:
        return False


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, which sends METRICS_TOKEN as its bearer token where one is set."""
    if not may_scrape(request.headers.get("Authorization", "")):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    with tenancy.everything("figures of the platform, and of nobody in it"):
        figures = generate_latest()
    return HttpResponse(figures, content_type=CONTENT_TYPE_LATEST)


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Switch between light and dark, and go back to where the button was."""
    light, dark = THEMES
    response = redirect(_next_page(request))
    response.set_cookie(
        THEME_COOKIE,
        light if chosen_theme(request) == dark else dark,
        max_age=YEAR_S,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response


def _next_page(request: HttpRequest) -> str:
    page = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        page, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return page if safe else "home"


@login_required
def home(request: UserRequest) -> HttpResponseBase:
    """To the operator's overview, to the first organization, or to a page that says why neither."""
    if request.user.is_staff:
        return redirect("operator_overview")
    if organization := Organization.objects.for_user(request.user).first():
        return redirect("org_home", organization.slug)
    return render(request, "console/nowhere.html")


# Errors. 404, 400 and forms that are too old are Django's own views with our templates.


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: which role may, which one the reader has, and who can change it; or why not now."""
    if isinstance(exception, NotNow):
        return render(request, "403.html", {"why": str(exception)}, status=403)
    return render(request, "403.html", {"denied": _denied(request)}, status=403)


def _denied(request: HttpRequest) -> dict[str, Any] | None:
    match = request.resolver_match
    who = ACCESS.get(match.url_name or "") if match else None
    if match is None or who is None or not request.user.is_authenticated:
        return None
    if who in STAFF:
        return _staff_denied(request.user, CHANGES.get(match.url_name or "", who))
    slug = match.kwargs.get("org")
    mine = request.user.memberships.select_related("organization")
    member = mine.filter(organization__slug=slug).first()
    if member is None:
        return None
    members = Membership.objects.for_organization(member.organization).select_related("user")
    return {
        "place": member.organization.name,
        "role": member.get_role_display(),
        "allowed": ", ".join(str(role.label) for role in Role if role in ROLES[who]),
        "able": [str(other.user) for other in members.filter(role=Role.OWNER)],
    }


def _staff_denied(user: User, who: Who) -> dict[str, Any]:
    administrators = User.objects.filter(is_active=True, staff_role=StaffRole.ADMINISTRATOR)
    return {
        "place": settings.SITE_NAME,
        "role": user.get_staff_role_display(),
        "allowed": ", ".join(str(role.label) for role in StaffRole if role in STAFF[who]),
        "able": [str(other) for other in administrators],
    }


def server_error(request: HttpRequest) -> HttpResponse:
    """500, drawn without the database, the session or anything else that may be what broke."""
    context = {"site_name": settings.SITE_NAME, "theme": chosen_theme(request)}
    return HttpResponse(render_to_string("500.html", context), status=500)
