"""The customer's budgets: what may be spent, what is, and who is told."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from billing import budgets as services
from billing.models import Budget, BudgetAlert, Period
from console.access import may_act, member_page
from console.budget_forms import BudgetEditForm, BudgetForm
from console.forms import is_taken
from console.http import OrganizationRequest
from console.step_up import stepped_up
from console.templatetags.ui import money

ALERTS_SHOWN: Final = 20


@require_safe
@member_page
def budgets(request: OrganizationRequest) -> HttpResponse:
    alerts = BudgetAlert.objects.for_organization(request.organization)
    context = {
        "rows": services.budgets_read(request.organization),
        "alerts": alerts.select_related("budget__project", "budget__api_key")[:ALERTS_SHOWN],
        "unseen": services.alerts_unseen(request.organization),
        "may_set_budgets": may_act(request, "budget_add"),
    }
    return render(request, "console/budgets/budgets.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def budget_add(request: OrganizationRequest) -> HttpResponse:
    """A new budget; its webhook's secret is in this one response and nowhere else."""
    form = BudgetForm(request.organization, request.POST or None)
    return _answer(request, form, {"form": form}, {})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def budget_edit(request: OrganizationRequest, budget: UUID) -> HttpResponse:
    found = _found(request, budget)
    form = BudgetEditForm(request.POST or None, initial=BudgetEditForm.first(found))
    scope = {"project": found.project, "api_key": found.api_key, "period": Period(found.period)}
    return _answer(request, form, {"form": form, "budget": found}, scope)


def _answer(
    request: OrganizationRequest,
    form: BudgetEditForm,
    context: dict[str, Any],
    scope: dict[str, Any],
) -> HttpResponse:
    """Set the budget of a form that is right, or show it again."""
    made: list[services.BudgetSet] = []

    def change() -> None:
        facts = form.facts | scope
        made.append(
            services.budget_set(actor=request.user, organization=request.organization, **facts)
        )

    if not (form.is_valid() and is_taken(form, change)):
        status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
        return render(request, _template(request, "budget"), context, status=status)
    budget, secret = made[0]
    _say(request, budget)
    if secret:
        context = {"budget": budget, "secret": secret}
        return render(request, _template(request, "webhook"), context)
    return redirect("budgets", request.organization.slug)


def _say(request: OrganizationRequest, budget: Budget) -> None:
    """That it is saved, and that it stops requests if it does so at once."""
    use = services.budget_use(budget, timezone.now())
    if use.is_used_up and budget.is_hard:
        said = _("%(spent)s is spent already: requests are refused from now on.")
        messages.warning(request, said % {"spent": money(use.spent)})
    else:
        messages.success(request, _("Saved. It holds within seconds."))


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@member_page
@stepped_up
def budget_remove(request: OrganizationRequest, budget: UUID) -> HttpResponse:
    """GET shows what it guards, POST removes it."""
    found = _found(request, budget)
    if request.method == "POST":
        services.budget_remove(actor=request.user, budget=found)
        messages.success(request, _("The budget is removed."))
        return redirect("budgets", request.organization.slug)
    context = {"use": services.budget_use(found, timezone.now())}
    return render(request, _template(request, "budget_remove"), context)


@require_POST
@member_page
def budget_alerts_seen(request: OrganizationRequest) -> HttpResponse:
    services.alerts_see(organization=request.organization)
    return redirect("budgets", request.organization.slug)


def _found(request: OrganizationRequest, pk: UUID) -> Budget:
    found = Budget.objects.for_organization(request.organization)
    return get_object_or_404(found.select_related("project", "api_key"), pk=pk)


def _template(request: OrganizationRequest, name: str) -> str:
    return f"console/budgets/{name}.html" + ("#part" if request.htmx else "")
