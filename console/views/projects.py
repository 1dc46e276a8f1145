"""The projects of an organization, and the owners of keys in them that are no people."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django import forms
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import UsageDay
from billing.usage import UsageSums
from console.access import member_page
from console.forms import Days
from console.http import OrganizationRequest
from console.organization_forms import NameForm
from console.sheets import Sheet, sent, sheet_answer
from tenants import services
from tenants.models import ApiKey, KeyKind, Project, ServiceAccount

STATES: Final = ("active", "archived", "all")
DAYS: Final = 30


@require_safe
@member_page
def projects(request: OrganizationRequest) -> HttpResponse:
    """Projects by name, with their keys and what they used in 30 days; `state` filters."""
    state = request.GET.get("state", STATES[0])
    if state not in STATES:
        raise Http404
    found = _with_counts(Project.objects.for_organization(request.organization))
    if state != "all":
        found = found.filter(archived_at__isnull=state == "active")
    sums = _sums(request, DAYS)
    context = {
        "rows": [(one, sums.get(str(one.pk), UsageSums())) for one in found.order_by("name")],
        "state": state,
        "states": STATES,
    }
    return render(request, "console/projects/projects.html", context)


@require_safe
@member_page
def project(request: OrganizationRequest, project: UUID) -> HttpResponse:
    """One project: its keys and its service accounts."""
    chosen = _project_or_404(request, project)
    keys = ApiKey.objects.for_organization(request.organization).listed().filter(project=chosen)
    accounts = ServiceAccount.objects.for_organization(request.organization)
    context = {
        "project": chosen,
        "keys": keys.active().select_related("service_account", "created_by"),
        "accounts": accounts.filter(project=chosen).select_related("created_by"),
    }
    return render(request, "console/projects/project.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def project_create(request: OrganizationRequest) -> HttpResponse:
    form = NameForm(sent(request))
    sheet = Sheet(
        title=_("Create project"),
        sub=_("A part of the organization with its own keys, limits and budget."),
        act=_("Create project"),
        back=_list(request),
        keep=_("Cancel"),
    )

    def change() -> None:
        name = form.cleaned_data["name"]
        services.project_create(actor=request.user, organization=request.organization, name=name)

    return sheet_answer(request, sheet, form, change, said=_("The project is made."))


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def project_rename(request: OrganizationRequest, project: UUID) -> HttpResponse:
    chosen = _project_or_404(request, project)
    form = NameForm(sent(request), initial={"name": chosen.name})
    sheet = Sheet(
        title=_("Rename %(name)s") % {"name": chosen},
        sub=_("Its keys, limits and usage stay. Old invoices keep the old name."),
        act=_("Rename"),
        back=_of(chosen),
        keep=_("Cancel"),
    )

    def change() -> None:
        name = form.cleaned_data["name"]
        services.project_rename(actor=request.user, project=chosen, name=name)

    return sheet_answer(request, sheet, form, change, said=_("Saved."))


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def project_archive(request: OrganizationRequest, project: UUID) -> HttpResponse:
    """Show what stops, then archive."""
    chosen = _project_or_404(request, project)
    sheet = Sheet(
        title=_("Archive %(name)s") % {"name": chosen},
        sub=_("Its keys get 401 within seconds. What it used stays, and it can be restored."),
        act=_("Archive"),
        back=_of(chosen),
        keep=_("Keep"),
        facts=_blast(request, chosen),
        is_danger=True,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.project_archive(actor=request.user, project=chosen),
        said=_("%(name)s is archived.") % {"name": chosen},
        to=_list(request),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def project_restore(request: OrganizationRequest, project: UUID) -> HttpResponse:
    chosen = _project_or_404(request, project)
    sheet = Sheet(
        title=_("Restore %(name)s") % {"name": chosen},
        sub=_("Its keys work again, but for those that were revoked or have expired."),
        act=_("Restore"),
        back=_of(chosen),
        keep=_("Leave archived"),
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.project_restore(actor=request.user, project=chosen),
        said=_("%(name)s works again.") % {"name": chosen},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def service_account_create(request: OrganizationRequest, project: UUID) -> HttpResponse:
    chosen = _project_or_404(request, project)
    form = NameForm(sent(request))
    sheet = Sheet(
        title=_("Add service account"),
        sub=_("It owns keys that stay when people leave: for a server, a job, a build."),
        act=_("Add"),
        back=_of(chosen),
        keep=_("Cancel"),
    )

    def change() -> None:
        name = form.cleaned_data["name"]
        services.service_account_create(actor=request.user, project=chosen, name=name)

    return sheet_answer(request, sheet, form, change, said=_("The service account is added."))


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def service_account_archive(request: OrganizationRequest, account: UUID) -> HttpResponse:
    found = ServiceAccount.objects.for_organization(request.organization)
    chosen = get_object_or_404(found.select_related("project"), pk=account)
    keys = ApiKey.objects.for_organization(request.organization).active()
    sheet = Sheet(
        title=_("Archive %(name)s") % {"name": chosen},
        sub=_("Its keys get 401 within seconds. That cannot be undone."),
        act=_("Archive"),
        back=_of(chosen.project),
        keep=_("Keep"),
        facts=[(_("Active keys"), keys.filter(service_account=chosen).count())],
        is_danger=True,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.service_account_archive(actor=request.user, service_account=chosen),
        said=_("%(name)s is archived.") % {"name": chosen},
    )


def _with_counts(found: QuerySet[Project]) -> QuerySet[Any]:
    """Each with `active_keys` that people hold."""
    held = Q(api_keys__revoked_at=None, api_keys__kind=KeyKind.SECRET)
    return found.annotate(active_keys=Count("api_keys", filter=held))


def _sums(request: OrganizationRequest, days: int) -> dict[str, UsageSums]:
    """What each project used in that many days, today among them, by its id."""
    span = Days.until_today(days)
    usage = UsageDay.objects.for_organization(request.organization)
    return usage.within(span.first, span.last).sums_by("project")


def _blast(request: OrganizationRequest, chosen: Project) -> list[tuple[str, object]]:
    keys = ApiKey.objects.for_organization(request.organization).active().listed()
    accounts = ServiceAccount.objects.for_organization(request.organization).active()
    today = _sums(request, 1).get(str(chosen.pk), UsageSums())
    return [
        (_("Active keys"), keys.filter(project=chosen).count()),
        (_("Service accounts"), accounts.filter(project=chosen).count()),
        (_("Requests today"), today.requests),
    ]


def _project_or_404(request: OrganizationRequest, pk: UUID) -> Project:
    found = Project.objects.for_organization(request.organization)
    return get_object_or_404(found.select_related("organization"), pk=pk)


def _list(request: OrganizationRequest) -> str:
    return reverse("projects", args=[request.organization.slug])


def _of(chosen: Project) -> str:
    return reverse("project", args=[chosen.organization.slug, chosen.pk])
