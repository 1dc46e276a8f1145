"""Customers who wait to be let in, and whether they have to."""

from __future__ import annotations

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import operator_page
from console.http import OperatorRequest
from console.organization_forms import ReasonForm, WaitingRuleForm
from console.organization_mails import owners_of, state_mail
from console.sheets import Sheet, act_answer, sent, sheet_answer
from tenants import services
from tenants.models import Organization, PlatformPolicy


@require_safe
@operator_page
def operator_waiting(request: OperatorRequest) -> HttpResponse:
    """Those who wait, the first first, and the rule that makes them."""
    context = {
        "rows": [(one, owners_of(one)) for one in Organization.objects.waiting()],
        "policy": PlatformPolicy.read(),
    }
    return render(request, "console/operator/waiting.html", context)


@require_POST
@operator_page
def operator_waiting_rule(request: OperatorRequest) -> HttpResponse:
    form = WaitingRuleForm(request.POST)
    approves = form.is_valid() and form.cleaned_data["approves"]
    return act_answer(
        request,
        lambda: services.organizations_approve_set(actor=request.user, approves=approves),
        said=_("New organizations wait from now on.")
        if approves
        else _("New organizations are active at once from now on."),
        to=_page(),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_waiting_approve(request: OperatorRequest, org: str) -> HttpResponse:
    chosen = get_object_or_404(Organization, slug=org)
    sheet = Sheet(
        title=_("Let %(name)s in") % {"name": chosen},
        sub=_("It can send requests at once. Its owner gets a mail."),
        act=_("Let in"),
        back=_page(),
        keep=_("Not now"),
        facts=[(_("Short name"), chosen.slug), (_("Owner"), ", ".join(owners_of(chosen)))],
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: state_mail(services.organization_approve(actor=request.user, organization=chosen)),
        said=_("%(name)s is let in.") % {"name": chosen},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_waiting_refuse(request: OperatorRequest, org: str) -> HttpResponse:
    chosen = get_object_or_404(Organization, slug=org)
    form = ReasonForm(sent(request))
    sheet = Sheet(
        title=_("Refuse %(name)s") % {"name": chosen},
        sub=_("Its owner gets a mail with the reason."),
        act=_("Refuse"),
        back=_page(),
        keep=_("Not now"),
        is_danger=True,
    )

    def change() -> None:
        reason = form.cleaned_data["reason"]
        state_mail(
            services.organization_refuse(actor=request.user, organization=chosen, reason=reason)
        )

    return sheet_answer(
        request, sheet, form, change, said=_("%(name)s is refused.") % {"name": chosen}
    )


def _page() -> str:
    return reverse("operator_waiting")
