"""The customer's API keys: the list, new ones, and many revoked at once."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from billing.models import UsageHour
from billing.payments import key_making_check
from billing.usage import UsageSums
from console.access import member_page
from console.forms import is_taken
from console.http import OrganizationRequest
from console.key_forms import FindKeysForm, KeyForm, chosen_ids
from console.snippets import first_snippet
from console.step_up import stepped_up
from tenants import services
from tenants.models import UNUSED, ApiKey, ApiKeyQuerySet

PAGE_ROWS: Final = 50
STATES: Final = ("active", "expired", "revoked", "all")
SOON: Final = timedelta(days=services.WARNED_DAYS[0])


@require_safe
@member_page
def keys(request: OrganizationRequest) -> HttpResponse:
    """The keys, newest first. `state` filters; `before` is the last key of the page before."""
    state = request.GET.get("state", STATES[0])
    if state not in STATES:
        raise Http404
    everyone = ApiKey.objects.for_organization(request.organization).listed()
    found = _of_state(everyone, state)
    related = _after(found, request.GET.get("before")).select_related(
        "project", "service_account", "created_by", "retiring"
    )
    rows, requests, now = (
        list(related[: PAGE_ROWS + 1]),
        requests_of_last_day(request),
        timezone.now(),
    )
    active = everyone.active()
    context = {
        "rows": [
            (key, requests.get(str(key.id), UsageSums()).requests) for key in rows[:PAGE_ROWS]
        ],
        "next": rows[PAGE_ROWS - 1].id if len(rows) > PAGE_ROWS else None,
        "count": found.count(),
        "state": state,
        "states": STATES,
        "unused": active.unused_since(now - UNUSED).count(),
        "unused_days": UNUSED.days,
        "ending": active.expiring(now + SOON).count(),
    }
    return render(request, "console/keys/keys.html", context)


def _of_state(found: ApiKeyQuerySet, state: str) -> ApiKeyQuerySet:
    match state:
        case "active":
            return found.active()
        case "expired":
            return found.expired()
        case "revoked":
            return found.exclude(revoked_at=None)
    return found


def _after(found: ApiKeyQuerySet, key_id: str | None) -> ApiKeyQuerySet:
    """The keys that come after the key `key_id` in the list: ids are made in order of time."""
    if not key_id:
        return found.order_by("-id")
    try:
        return found.order_by("-id").filter(id__lt=UUID(key_id))
    except ValueError as error:
        raise Http404 from error


def requests_of_last_day(request: OrganizationRequest) -> dict[str, UsageSums]:
    """What each key of the organization did in the last 24 hours, by key id."""
    now = timezone.now()
    hours = UsageHour.objects.for_organization(request.organization)
    return hours.between(now - timedelta(hours=24), now).sums_by("api_key")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def key_create(request: OrganizationRequest) -> HttpResponse:
    """Make a key. The secret is in this one response and nowhere else."""
    form, made = KeyForm(request.organization, request.POST or None), list[services.NewKey]()

    def make() -> None:
        key_making_check(request.organization)
        made.append(services.api_key_create(actor=request.user, **form.facts))

    if form.is_valid() and is_taken(form, make):
        return secret_answer(request, made[0])
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, part(request, "create"), {"form": form}, status=status)


def secret_answer(request: OrganizationRequest, new: services.NewKey) -> HttpResponse:
    """The one page that shows a secret."""
    snippet = first_snippet(request.organization)
    context = {"api_key": new.api_key, "secret": new.secret, "snippet": snippet}
    return render(request, part(request, "created"), context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@member_page
@stepped_up
def keys_revoke(request: OrganizationRequest) -> HttpResponse:
    """GET shows which keys a search finds, POST revokes those that were left chosen."""
    form = FindKeysForm(request.organization, request.GET)
    if form.is_valid() and request.method == "POST" and is_taken(form, lambda: _revoke(request)):
        return redirect("keys", request.organization.slug)
    requests = requests_of_last_day(request)
    rows = [(key, requests.get(str(key.id), UsageSums()).requests) for key in form.found()]
    context: dict[str, Any] = {"form": form, "rows": rows}
    context["busy"] = sum(1 for _key, count in rows if count)
    return render(request, "console/keys/keys_revoke.html", context)


def _revoke(request: OrganizationRequest) -> None:
    keys = ApiKey.objects.for_organization(request.organization).listed()
    count = services.api_keys_revoke(
        actor=request.user,
        organization=request.organization,
        api_keys=keys.filter(pk__in=chosen_ids(request.POST.getlist("key"))),
        reason="chosen",
    )
    said = ngettext("%(count)s key is revoked.", "%(count)s keys are revoked.", count)
    messages.success(request, said % {"count": count})


@require_POST
@member_page
@stepped_up
def keys_policy(request: OrganizationRequest) -> HttpResponse:
    """Whether the keys of people end when they leave."""
    services.organization_set_keys_end(
        actor=request.user,
        organization=request.organization,
        keys_end_with_member="end" in request.POST,
    )
    messages.success(request, _("Saved."))
    return redirect("keys", request.organization.slug)


def part(request: OrganizationRequest, name: str) -> str:
    """The template of a page, or of what goes into the dialog when htmx asks."""
    return f"console/keys/{name}.html" + ("#part" if request.htmx else "")
