"""The customer's plan: what each gives, and changing to another."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import Mode, Plan, Terms
from billing.plans import plan_change, plan_refusal, promo_awaits_proof
from console.access import member_page
from console.http import OrganizationRequest
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from console.templatetags.ui import money, number


@require_safe
@member_page
def plan(request: OrganizationRequest) -> HttpResponse:
    """Those that everybody may see, and the organization's own."""
    terms = _terms(request)
    shown = Plan.objects.filter(Q(is_public=True) | Q(pk=terms.plan_id)).select_related("book")
    context = {"terms": terms, "plans": shown, "awaits": promo_awaits_proof(request.organization)}
    return render(request, "console/billing/plan.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def plan_choose(request: OrganizationRequest, plan: str) -> HttpResponse:
    """GET shows what changes, POST changes it; what the rules do not allow is told."""
    found = get_object_or_404(Plan.objects.filter(is_public=True).select_related("book"), slug=plan)
    sheet = Sheet(
        title=_("Change to %(plan)s") % {"plan": found},
        sub=_("It holds within seconds, for every request from then on."),
        act=_("Change plan"),
        back=reverse("plan", args=[request.organization.slug]),
        keep=_("Keep the plan"),
        facts=_changes(_terms(request), found),
        warning=plan_refusal(request.organization, found),
    )

    def change() -> None:
        try:
            plan_change(actor=request.user, organization=request.organization, plan=found)
        except ValidationError as error:  # of fields that this sheet does not have
            raise ValidationError(error.messages) from error

    said = _("You are on the plan %(plan)s.") % {"plan": found}
    return sheet_answer(request, sheet, forms.Form(sent(request)), change, said=said)


def _terms(request: OrganizationRequest) -> Terms:
    found = Terms.objects.for_organization(request.organization).select_related("plan__book")
    return found.first() or Terms(organization=request.organization)


def _changes(terms: Terms, plan: Plan) -> list[tuple[str, str]]:
    """What the one gives and the other, by name."""
    before = terms.plan or Plan(mode=terms.mode, credit_limit=terms.credit_limit)
    facts = (
        (_("Payment"), before.get_mode_display(), plan.get_mode_display()),
        (_("Credit limit"), _limit(before), _limit(plan)),
        (_("Requests per minute"), number(before.rpm), number(plan.rpm)),
        (_("Tokens per minute"), number(before.tpm), number(plan.tpm)),
        (_("Concurrent requests"), number(before.streams), number(plan.streams)),
        (_("Free credit a month"), money(before.promo_monthly), money(plan.promo_monthly)),
        (_("Models"), _models(before), _models(plan)),
    )
    return [(name, f"{was} → {is_}") for name, was, is_ in facts if was != is_]


def _limit(plan: Plan) -> str:
    return money(plan.credit_limit) if plan.mode == Mode.POSTPAID else _("none: prepaid")


def _models(plan: Plan) -> str:
    return number(len(plan.models)) if plan.models else _("all")
