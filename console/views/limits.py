"""The customer's limits: what may be used at a time, and how much of it is."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from billing import limiting
from billing.models import Limit
from console.access import may_act, member_page
from console.forms import is_taken
from console.http import OrganizationRequest
from console.limit_forms import LimitForm
from console.limit_rows import limit_rows, scope_name, terms_of


@require_safe
@never_cache
@member_page
def limits(request: OrganizationRequest) -> HttpResponse:
    """Each limit with its use; htmx asks for the table alone."""
    rows = limit_rows(request.organization)
    context = {
        "rows": rows,
        "is_live": any(row.state for row in rows),
        "terms": terms_of(request.organization),
        "may_set": may_act(request, "limit_add"),
    }
    part = "#use" if request.htmx else ""
    return render(request, f"console/limits/limits.html{part}", context)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@member_page
def limit_add(request: OrganizationRequest) -> HttpResponse:
    """Limit a project or a key; one of the same kind is replaced."""
    asked = {name: request.GET.get(name, "") for name in ("scope", "kind", "value", "model")}
    form = LimitForm(request.organization, request.POST or None, initial=asked)
    if form.is_valid() and is_taken(form, lambda: _set(request, form)):
        messages.success(request, _("Saved. It holds within seconds."))
        return redirect("limits", request.organization.slug)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, _template(request, "limit_add"), {"form": form}, status=status)


def _set(request: OrganizationRequest, form: LimitForm) -> None:
    limiting.limit_set(actor=request.user, organization=request.organization, **form.facts)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@member_page
def limit_remove(request: OrganizationRequest, limit: UUID) -> HttpResponse:
    """Remove one of a project or key; the organization's own is not the customer's to change."""
    found = Limit.objects.for_organization(request.organization).exclude(project=None, api_key=None)
    chosen = get_object_or_404(found.select_related("project", "api_key"), pk=limit)
    if request.method == "POST":
        limiting.limit_remove(actor=request.user, limit=chosen)
        messages.success(request, _("The limit is removed."))
        return redirect("limits", request.organization.slug)
    context = {"limit": chosen, "scope": scope_name(chosen)}
    return render(request, _template(request, "limit_remove"), context)


def _template(request: OrganizationRequest, name: str) -> str:
    return f"console/limits/{name}.html" + ("#part" if request.htmx else "")
