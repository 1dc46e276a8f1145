"""Stopping a customer, and letting it go on; seeing its pages as one of its members does."""

from __future__ import annotations

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import operator_page
from console.http import OperatorRequest
from console.impersonation import impersonation_close, impersonation_open
from console.organization_blast import blast_of, delete_means
from console.organization_forms import DeleteForm, ReasonForm
from console.organization_mails import state_mail
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from tenants import services
from tenants.models import IMPERSONATION_LASTS, Membership, Organization


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_suspend(request: OperatorRequest, org: str) -> HttpResponse:
    chosen = get_object_or_404(Organization, slug=org)
    form = ReasonForm(sent(request))
    sheet = Sheet(
        title=_("Suspend %(name)s") % {"name": chosen},
        sub=_(
            "Its requests get 403 within seconds, its pages are for reading. "
            "Members see the reason, owners get a mail."
        ),
        act=_("Suspend"),
        back=_page(chosen),
        keep=_("Keep active"),
        facts=blast_of(chosen),
        is_danger=True,
    )

    def change() -> None:
        reason = form.cleaned_data["reason"]
        state_mail(
            services.organization_suspend(actor=request.user, organization=chosen, reason=reason)
        )

    said = _("%(name)s is suspended.") % {"name": chosen}
    return sheet_answer(request, sheet, form, change, said=said)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_lift(request: OperatorRequest, org: str) -> HttpResponse:
    chosen = get_object_or_404(Organization, slug=org)
    sheet = Sheet(
        title=_("End the suspension of %(name)s") % {"name": chosen},
        sub=_("Its requests are served again within seconds. Owners get a mail."),
        act=_("End suspension"),
        back=_page(chosen),
        keep=_("Keep suspended"),
        facts=[(_("Reason"), chosen.state_reason)],
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: state_mail(services.organization_lift(actor=request.user, organization=chosen)),
        said=_("%(name)s is active again.") % {"name": chosen},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_delete(request: OperatorRequest, org: str) -> HttpResponse:
    """Show all that goes, and ask for the name and a reason."""
    chosen = get_object_or_404(Organization, slug=org)
    form = DeleteForm(chosen.name, sent(request))
    sheet = Sheet(
        title=_("Delete %(name)s") % {"name": chosen},
        sub=delete_means(),
        act=_("Delete"),
        back=_page(chosen),
        keep=_("Keep"),
        facts=blast_of(chosen),
        is_danger=True,
    )

    def change() -> None:
        reason = form.cleaned_data["reason"]
        state_mail(
            services.organization_delete(actor=request.user, organization=chosen, reason=reason)
        )

    said = _("%(name)s is deleted. It can still be restored.") % {"name": chosen}
    return sheet_answer(request, sheet, form, change, said=said)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_restore(request: OperatorRequest, org: str) -> HttpResponse:
    chosen = get_object_or_404(Organization, slug=org)
    sheet = Sheet(
        title=_("Restore %(name)s") % {"name": chosen},
        sub=_("It is again what it was before. Keys that were revoked stay so."),
        act=_("Restore"),
        back=_page(chosen),
        keep=_("Leave it"),
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.organization_restore(actor=request.user, organization=chosen),
        said=_("%(name)s is restored.") % {"name": chosen},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_impersonate(request: OperatorRequest, org: str, member: int) -> HttpResponse:
    """See the pages of the organization as this member does."""
    chosen = get_object_or_404(Organization, slug=org)
    members = Membership.objects.for_organization(chosen).select_related("user", "organization")
    membership = get_object_or_404(members, pk=member)
    form = ReasonForm(sent(request))
    minutes = int(IMPERSONATION_LASTS.total_seconds()) // 60
    sheet = Sheet(
        title=_("See the pages of %(name)s") % {"name": membership.user},
        sub=_(
            "For %(minutes)s minutes, for reading, and without secrets. "
            "The customer sees your name and the reason, now and later."
        )
        % {"minutes": minutes},
        act=_("See pages"),
        back=_page(chosen),
        keep=_("Cancel"),
        facts=[(_("Organization"), chosen.name), (_("Role"), membership.get_role_display())],
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: impersonation_open(request, membership, form.cleaned_data["reason"]),
        to=reverse("org_home", args=[chosen.slug]),
    )


@require_POST
@operator_page
def impersonation_end(request: OperatorRequest) -> HttpResponse:
    """Back to one's own pages, to those about the customer."""
    ended = request.impersonation
    impersonation_close(request)
    if ended:
        return redirect("operator_organization", ended.organization.slug)
    return redirect("operator_overview")


def _page(chosen: Organization) -> str:
    return reverse("operator_organization", args=[chosen.slug])
