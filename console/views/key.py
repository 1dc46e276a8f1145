"""One API key: what it may do, how it is used, its secrets, and its end."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from billing.models import Budget, Limit
from billing.usage import UsageSums
from console.access import member_page
from console.forms import is_taken
from console.http import OrganizationRequest
from console.key_forms import KeyEditForm, RotateForm
from console.sheets import act_answer
from console.step_up import stepped_up
from console.views.keys import part, requests_of_last_day, secret_answer
from inference.models import Task
from tenants import services
from tenants.models import ApiKey, KeyLeak, RetiringSecret
from tenants.uses import is_used


@require_safe
@member_page
def key_detail(request: OrganizationRequest, key: UUID) -> HttpResponse:
    api_key, organization = _key_or_404(request, key), request.organization
    context = {
        "api_key": api_key,
        "tasks": [Task(task).label for task in api_key.allowed_tasks if task in Task],
        "requests": requests_of_last_day(request).get(str(key), UsageSums()).requests,
        "retiring": _retiring(request, api_key),
        "limits": Limit.objects.for_organization(organization).filter(api_key=api_key),
        "budgets": Budget.objects.for_organization(organization).filter(api_key=api_key),
        "leaks": KeyLeak.objects.for_organization(organization).filter(api_key=api_key),
    }
    return render(request, "console/keys/key.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def key_edit(request: OrganizationRequest, key: UUID) -> HttpResponse:
    """Its name, when it ends and what it may do."""
    api_key = _key_or_404(request, key)
    form = KeyEditForm(api_key, request.POST or None)
    if form.is_valid() and is_taken(
        form,
        lambda: services.api_key_change(actor=request.user, api_key=api_key, **form.facts),
    ):
        messages.success(request, _("Saved. It holds within seconds."))
        return redirect("key_detail", request.organization.slug, key)
    context = {"form": form, "api_key": api_key}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, part(request, "edit"), context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def key_rotate(request: OrganizationRequest, key: UUID) -> HttpResponse:
    """A new secret in the same slot. It is in this one response and nowhere else."""
    api_key, made = _key_or_404(request, key), list[services.NewKey]()
    form = RotateForm(request.POST or None)
    if form.is_valid() and is_taken(
        form,
        lambda: made.append(
            services.api_key_rotate(actor=request.user, api_key=api_key, overlap=form.length)
        ),
    ):
        return secret_answer(request, made[0])
    context = {"form": form, "api_key": api_key, "retiring": _retiring(request, api_key)}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, part(request, "rotate"), context, status=status)


@require_POST
@member_page
@stepped_up
def key_retiring_end(request: OrganizationRequest, key: UUID) -> HttpResponse:
    """The old secret of a rotation works no more."""
    found = RetiringSecret.objects.for_organization(request.organization)
    retiring = get_object_or_404(found.select_related("api_key"), api_key=key)
    return act_answer(
        request,
        lambda: services.retiring_secret_end(actor=request.user, retiring=retiring),
        said=_("The old secret works no more."),
        to=reverse("key_detail", args=[request.organization.slug, key]),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def key_revoke(request: OrganizationRequest, key: UUID) -> HttpResponse:
    """Show what would stop working, then revoke."""
    api_key = _key_or_404(request, key)
    if request.method == "POST":
        services.api_key_revoke(actor=request.user, api_key=api_key)
        return redirect("keys", request.organization.slug)
    sums = requests_of_last_day(request).get(str(key), UsageSums())
    return render(request, part(request, "revoke"), {"api_key": api_key, "sums": sums})


@require_safe
@never_cache
@member_page
def key_first_request(request: OrganizationRequest, key: UUID) -> HttpResponse:
    """Whether the key has been used: a fragment that asks again until it has."""
    api_key = _key_or_404(request, key)
    context = {"api_key": api_key, "was_used": was_used(api_key)}
    return render(request, "console/keys/_first_request.html", context)


def was_used(api_key: ApiKey) -> bool:
    return api_key.last_used_at is not None or is_used(bytes(api_key.digest))


def _key_or_404(request: OrganizationRequest, key: UUID) -> ApiKey:
    found = ApiKey.objects.for_organization(request.organization).listed()
    related = found.select_related("organization", "project", "service_account", "created_by")
    return get_object_or_404(related, pk=key)


def _retiring(request: OrganizationRequest, api_key: ApiKey) -> RetiringSecret | None:
    """The secret that it had before, also when that works no more."""
    found = RetiringSecret.objects.for_organization(request.organization)
    return found.filter(api_key=api_key).first()
