"""An organization itself: its name, and how it begins, rests and ends."""

from __future__ import annotations

from http import HTTPStatus

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.plans import plan_begin
from console.access import CLOSED, member_page
from console.forms import is_taken
from console.http import OrganizationRequest, UserRequest
from console.organization_blast import blast_of, delete_means
from console.organization_forms import ConfirmForm, NameForm, NewOrganizationForm
from console.organization_mails import state_mail, waiting_mail
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from tenants import services, tenancy
from tenants.models import Organization


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def organization_create(request: UserRequest) -> HttpResponseBase:
    """Open one's own organization; where the operator lets customers in, it waits first."""
    if request.user.is_staff:
        raise PermissionDenied
    form = NewOrganizationForm(sent(request))
    made: list[Organization] = []
    if form.is_valid() and is_taken(form, lambda: made.append(_apply(request, form))):
        return redirect("org_home", made[0].slug)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, "console/organization/create.html", {"form": form}, status=status)


def _apply(request: UserRequest, form: NewOrganizationForm) -> Organization:
    typed = form.cleaned_data
    with tenancy.everything("a new organization has no member yet"):
        made = services.organization_apply(
            actor=request.user, name=typed["name"], slug=typed["slug"]
        )
        plan_begin(actor=request.user, organization=made)
    if not made.is_active:
        waiting_mail(made, request.user)
    return made


@require_safe
@member_page
def org_closed(request: OrganizationRequest) -> HttpResponseBase:
    """Of one that waits or was refused: why there is nothing to see."""
    if request.organization.state not in CLOSED:
        return redirect("org_home", request.organization.slug)
    return render(request, "console/organization/closed.html")


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def org_settings(request: OrganizationRequest) -> HttpResponse:
    """Its name, and what can be done to all of it."""
    form = NameForm(sent(request), initial={"name": request.organization.name})
    if form.is_valid():
        services.organization_rename(
            actor=request.user, organization=request.organization, name=form.cleaned_data["name"]
        )
        messages.success(request, _("Saved."))
        return redirect("org_settings", request.organization.slug)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, "console/organization/settings.html", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def org_archive(request: OrganizationRequest) -> HttpResponse:
    sheet = Sheet(
        title=_("Archive %(name)s") % {"name": request.organization},
        sub=_(
            "Its requests get 403 within seconds, and its pages are for reading, "
            "until an owner restores it."
        ),
        act=_("Archive"),
        back=_settings(request),
        keep=_("Keep active"),
        facts=blast_of(request.organization),
        is_danger=True,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.organization_archive(
            actor=request.user, organization=request.organization
        ),
        said=_("%(name)s is archived.") % {"name": request.organization},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def org_restore(request: OrganizationRequest) -> HttpResponse:
    sheet = Sheet(
        title=_("Restore %(name)s") % {"name": request.organization},
        sub=_("It is again what it was before. Keys that were revoked stay so."),
        act=_("Restore"),
        back=_settings(request),
        keep=_("Leave it"),
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.organization_restore(
            actor=request.user, organization=request.organization
        ),
        said=_("%(name)s is restored.") % {"name": request.organization},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def org_delete(request: OrganizationRequest) -> HttpResponse:
    """Show all that goes, and ask for the name."""
    form = ConfirmForm(request.organization.name, sent(request))
    sheet = Sheet(
        title=_("Delete %(name)s") % {"name": request.organization},
        sub=delete_means(),
        act=_("Delete"),
        back=_settings(request),
        keep=_("Keep"),
        facts=blast_of(request.organization),
        is_danger=True,
    )

    def change() -> None:
        state_mail(
            services.organization_delete(actor=request.user, organization=request.organization)
        )

    said = _("%(name)s is deleted. Owners can still restore it.") % {"name": request.organization}
    return sheet_answer(request, sheet, form, change, said=said)


def _settings(request: OrganizationRequest) -> str:
    return reverse("org_settings", args=[request.organization.slug])
