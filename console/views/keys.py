"""The customer's API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import UsageHour
from billing.usage import UsageSums
from console.access import ROLES, Who, member_page
from console.forms import KeyForm
from console.http import OrganizationRequest
from console.snippets import first_snippet
from tenants import services
from tenants.models import ApiKey, ApiKeyQuerySet

PAGE_ROWS: Final = 50
STATES: Final = ("active", "revoked", "all")


@require_safe
@member_page
def keys(request: OrganizationRequest) -> HttpResponse:
    """The keys, newest first. `state` filters; `before` is the last key of the page before."""
    state = request.GET.get("state", STATES[0])
    if state not in STATES:
        raise Http404
    found = _of_state(ApiKey.objects.for_organization(request.organization).listed(), state)
    rows = list(_after(found, request.GET.get("before")).select_related("project")[: PAGE_ROWS + 1])
    requests = requests_of_last_day(request)
    context = {
        "rows": [
            (key, requests.get(str(key.id), UsageSums()).requests) for key in rows[:PAGE_ROWS]
        ],
        "next": rows[PAGE_ROWS - 1].id if len(rows) > PAGE_ROWS else None,
        "count": found.count(),
        "state": state,
        "states": STATES,
        "may_make": may_make(request),
    }
    return render(request, "console/keys/keys.html", context)


def _of_state(found: ApiKeyQuerySet, state: str) -> ApiKeyQuerySet:
    if state == "active":
        return found.active()
    return found.exclude(revoked_at=None) if state == "revoked" else found


def _after(found: ApiKeyQuerySet, key_id: str | None) -> ApiKeyQuerySet:
    """The keys that come after the key `key_id` in the list: ids are made in order of time."""
    if not key_id:
        return found.order_by("-id")
    try:
        return found.order_by("-id").filter(id__lt=UUID(key_id))
    except ValueError as error:
        raise Http404 from error


def may_make(request: OrganizationRequest) -> bool:
    """Whether this member may make and revoke keys."""
    return request.member.role in ROLES[Who.KEY_MAKER]


def requests_of_last_day(request: OrganizationRequest) -> dict[str, UsageSums]:
    """What each key of the organization did in the last 24 hours, by key id."""
    now = timezone.now()
    hours = UsageHour.objects.for_organization(request.organization)
    return hours.between(now - timedelta(hours=24), now).sums_by("api_key")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@member_page
def key_create(request: OrganizationRequest) -> HttpResponse:
    """Make a key. The secret is in this one response and nowhere else."""
    form = KeyForm(request.organization, request.POST or None)
    if not form.is_valid():
        return _part(request, "create", {"form": form}, 422 if form.is_bound else 200)
    new = services.api_key_create(
        actor=request.user, project=form.cleaned_data["project"], name=form.cleaned_data["name"]
    )
    snippet = first_snippet(request.organization)
    context = {"api_key": new.api_key, "secret": new.secret, "snippet": snippet}
    return _part(request, "created", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def key_revoke(request: OrganizationRequest, key: UUID) -> HttpResponse:
    """Show what would stop working, then revoke."""
    api_key = _key_or_404(request, key)
    if request.method == "POST":
        services.api_key_revoke(actor=request.user, api_key=api_key)
        return redirect("keys", request.organization.slug)
    sums = requests_of_last_day(request).get(str(key), UsageSums())
    return _part(request, "revoke", {"api_key": api_key, "sums": sums})


@require_safe
@never_cache
@member_page
def key_first_request(request: OrganizationRequest, key: UUID) -> HttpResponse:
    """Whether the key has been used: a fragment that asks again until it has."""
    api_key = _key_or_404(request, key)
    return render(request, "console/keys/_first_request.html", {"api_key": api_key})


def _key_or_404(request: OrganizationRequest, key: UUID) -> ApiKey:
    found = ApiKey.objects.for_organization(request.organization).listed()
    return get_object_or_404(found.select_related("project"), pk=key)


def _part(
    request: OrganizationRequest, name: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """`name` as a page, or as what goes into the dialog when htmx asks."""
    part = "#part" if request.htmx else ""
    return render(request, f"console/keys/{name}.html{part}", context, status=status)
