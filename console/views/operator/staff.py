"""The operator's own people: who they are, and what they may do."""

from __future__ import annotations

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from console.access import operator_page
from console.http import OperatorRequest
from console.organization_forms import StaffForm, StaffRoleForm
from console.organization_mails import staff_mail
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from tenants import services
from tenants.models import Impersonation, User

LOOKS_SHOWN = 20


@require_safe
@operator_page
def operator_staff(request: OperatorRequest) -> HttpResponse:
    """Operators by name, and whose pages they saw as a member does."""
    looks = Impersonation.objects.select_related("operator", "member", "organization")
    context = {
        "people": User.objects.filter(is_staff=True).order_by("name", "email"),
        "looks": looks[:LOOKS_SHOWN],
    }
    return render(request, "console/operator/staff.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_staff_add(request: OperatorRequest) -> HttpResponse:
    form = StaffForm(sent(request), initial={"role": "support"})
    sheet = Sheet(
        title=_("Add operator"),
        sub=_("They get a mail, and choose a password with it."),
        act=_("Add operator"),
        back=reverse("operator_staff"),
        keep=_("Cancel"),
    )

    def change() -> None:
        typed = form.cleaned_data
        staff_mail(
            services.staff_add(
                actor=request.user, email=typed["email"], name=typed["name"], role=form.chosen
            )
        )

    return sheet_answer(request, sheet, form, change, said=_("The operator is added."))


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_staff_role(request: OperatorRequest, user: int) -> HttpResponse:
    chosen = _staff_or_404(user)
    form = StaffRoleForm(sent(request), initial={"role": chosen.staff_role})
    sheet = Sheet(
        title=_("Role of %(name)s") % {"name": chosen},
        sub=_("It holds from their next page on."),
        act=_("Change role"),
        back=reverse("operator_staff"),
        keep=_("Cancel"),
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: services.staff_set_role(actor=request.user, user=chosen, role=form.chosen),
        said=_("The role is changed."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_staff_remove(request: OperatorRequest, user: int) -> HttpResponse:
    chosen = _staff_or_404(user)
    sheet = Sheet(
        title=_("Remove %(name)s") % {"name": chosen},
        sub=_(
            "They are logged out at once and cannot log in any more. What they did stays on record."
        ),
        act=_("Remove"),
        back=reverse("operator_staff"),
        keep=_("Keep"),
        facts=[(_("Role"), chosen.get_staff_role_display()), (_("E-mail"), chosen.email)],
        is_danger=True,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.staff_remove(actor=request.user, user=chosen),
        said=_("%(name)s is removed.") % {"name": chosen},
    )


def _staff_or_404(pk: int) -> User:
    return get_object_or_404(User.objects.filter(is_staff=True), pk=pk)
