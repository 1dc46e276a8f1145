"""Plans: what each sets, and for how many."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from billing import limiting
from billing.models import LimitKind, Plan
from console.access import operator_page
from console.forms import is_taken
from console.http import OperatorRequest
from console.limit_forms import NewPlanForm, PlanForm
from console.step_up import stepped_up
from console.views.operator.answers import template_of


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan with its limits, in the order of their kinds; None is no limit."""

    plan: Any

    @property
    def limits(self) -> list[tuple[str, int | None]]:
        return [(str(kind.label), getattr(self.plan, kind.value)) for kind in LimitKind]


@require_safe
@operator_page
def operator_plans(request: OperatorRequest) -> HttpResponse:
    """From small to large."""
    found = Plan.objects.select_related("book").annotate(used_by=Count("terms"))
    context = {"rows": [PlanRow(plan) for plan in found.order_by("rank", "name")]}
    return render(request, "console/operator/plans.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
@stepped_up
def operator_plan_add(request: OperatorRequest) -> HttpResponse:
    form = NewPlanForm(request.POST if request.method == "POST" else None)

    def change() -> None:
        slug = form.cleaned_data["slug"]
        limiting.plan_create(actor=request.user, slug=slug, **form.facts)

    return _plan(request, form, change, {})


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
@stepped_up
def operator_plan(request: OperatorRequest, plan: str) -> HttpResponse:
    """All that a plan sets; it holds for all that are on it."""
    found = get_object_or_404(Plan.objects.annotate(used_by=Count("terms")), slug=plan)
    form = PlanForm.of(found, request.POST if request.method == "POST" else None)

    def change() -> None:
        limiting.plan_update(actor=request.user, plan=found, **form.facts)

    return _plan(request, form, change, {"plan": found})


def _plan(
    request: OperatorRequest, form: forms.Form, change: Any, context: dict[str, Any]
) -> HttpResponse:
    if form.is_valid() and is_taken(form, change):
        messages.success(request, _("Saved. It holds within seconds."))
        return redirect("operator_plans")
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, template_of(request, "plan"), context | {"form": form}, status=status)
