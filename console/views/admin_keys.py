"""The organization's admin keys: for its management by scripts. They call no models."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from billing.payments import key_making_check
from console.access import member_page
from console.forms import is_taken
from console.http import OrganizationRequest
from console.key_forms import AdminKeyForm
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from console.views.keys import part
from tenants import services
from tenants.models import AdminKey


@require_safe
@member_page
def admin_keys(request: OrganizationRequest) -> HttpResponse:
    """All of them, active ones first."""
    found = AdminKey.objects.for_organization(request.organization).select_related("created_by")
    rows = sorted(found, key=lambda one: not one.is_active)
    return render(request, "console/keys/admin_keys.html", {"rows": rows})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def admin_key_create(request: OrganizationRequest) -> HttpResponse:
    """Make an admin key. The secret is in this one response and nowhere else."""
    form, made = AdminKeyForm(request.POST or None), list[services.NewAdminKey]()

    def change() -> None:
        key_making_check(request.organization)
        new = services.admin_key_create(
            actor=request.user, organization=request.organization, **form.facts
        )
        made.append(new)

    if form.is_valid() and is_taken(form, change):
        context = {"admin_key": made[0].admin_key, "secret": made[0].secret}
        return render(request, part(request, "admin_created"), context)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, part(request, "admin_create"), {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def admin_key_revoke(request: OrganizationRequest, key: UUID) -> HttpResponse:
    found = AdminKey.objects.for_organization(request.organization)
    admin_key = get_object_or_404(found, pk=key)
    sheet = Sheet(
        title=_("Revoke %(name)s") % {"name": admin_key},
        sub=_("Scripts that use it get 401 from their next call on. It never works again."),
        act=_("Revoke"),
        back=reverse("admin_keys", args=[request.organization.slug]),
        keep=_("Keep it"),
        facts=[(_("Key"), admin_key.hint)],
        is_danger=True,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.admin_key_revoke(actor=request.user, admin_key=admin_key),
        said=_("The admin key is revoked."),
    )
