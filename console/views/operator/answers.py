"""What the pages that change a model share: its users are shown before, and a form is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from django import forms
from django.contrib import messages
from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import UsageHour
from console.forms import is_taken
from console.http import OperatorRequest
from console.views.operator.figures import DAY
from inference.models import Model


@dataclass(frozen=True, slots=True)
class Day:
    """Who asked for a model in the last 24 hours: requests, and the names of organizations."""

    requests: int
    organizations: list[str]


def day_of(model: Model) -> Day:
    usage = UsageHour.objects.filter(model=model.public_id, hour__gte=timezone.now() - DAY)
    sums = usage.values_list("organization__name").annotate(sum=Sum("requests"))
    found = dict(sums.order_by("organization__name"))
    return Day(sum(found.values()), list(found))


def answer(
    request: OperatorRequest,
    model: Model,
    form: forms.Form,
    change: Callable[[], object],
    page: str,
    **context: object,
) -> HttpResponse:
    """Make the change of a form that is right, and show the model; else show the form again."""
    if form.is_valid() and is_taken(form, change):
        messages.success(request, _("Saved."))
        return redirect("operator_model", model=model.public_id)
    context |= {"model": model, "form": form, "day": day_of(model)}
    context["model_url"] = reverse("operator_model", args=[model.public_id])
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, template_of(request, page), context, status=status)


def template_of(request: OperatorRequest, page: str) -> str:
    """The template of a page, or for htmx the part of it that goes into the dialog."""
    return f"console/operator/{page}.html" + ("#part" if request.htmx else "")
