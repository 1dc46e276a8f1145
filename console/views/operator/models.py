"""The operator's models and rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from billing.models import Component, Rate, UsageHour
from billing.services import rate_set
from console.access import operator_page
from console.http import OperatorRequest
from console.operator_forms import ModelForm, RateForm
from console.views.operator.figures import DAY
from console.views.operator.health import can_serve
from console.views.operator.paging import page_of
from inference import control
from inference.models import Deployment, Model, Task
from tenants.models import User

TARGETS: Final = ("enabled", "disabled")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as the table shows it. `prices` are EUR, in the order of Component."""

    model: Model
    prices: Sequence[Decimal | None]
    deployments: int
    healthy: int
    requests: int

    @property
    def kind(self) -> str:
        if not self.model.is_enabled:
            return "idle"
        return "ok" if self.healthy and self.is_priced else "bad"

    @property
    def word(self) -> str:
        if not self.model.is_enabled:
            return _("Disabled")
        if not self.is_priced:
            return _("No price")
        return _("Enabled") if self.healthy else _("No backend")

    @property
    def is_priced(self) -> bool:
        prices = dict(zip(Component, self.prices, strict=True))
        return all(prices[component] is not None for component in self.model.components)

    @property
    def tasks(self) -> str:
        return ", ".join(str(Task(task).label) for task in self.model.tasks)


@require_safe
@operator_page
def operator_models(request: OperatorRequest) -> HttpResponse:
    """Every model with its prices, deployments and requests of 24 hours."""
    search, state = request.GET.get("q", "").strip(), request.GET.get("state", "")
    found = _matching(search, state)
    page = page_of(found, unique="public_id", after=request.GET.get("after", ""))
    context = {
        "search": search,
        "state": state,
        "states": zip(TARGETS, (_("Enabled"), _("Disabled")), strict=True),
        "components": Component.labels,
        "page": page,
        "rows": _rows(page.rows, timezone.now()),
    }
    return render(request, "console/operator/models.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_model_add(request: OperatorRequest) -> HttpResponse:
    """Add a model with its prices, and offer it at once if asked to."""
    form = ModelForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        model = _add(request.user, form)
        messages.success(request, _("%(model)s is added.") % {"model": model.public_id})
        return redirect("operator_models")
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, "console/operator/model_add.html", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_model_rates(request: OperatorRequest, model: str) -> HttpResponse:
    """The prices of a model: now, later and before; POST sets one."""
    found = get_object_or_404(Model, public_id=model)
    form = RateForm(request.POST if request.method == "POST" else None)
    if form.is_valid() and _set(request.user, found, form):
        messages.success(request, _("The rate is set."))
        return redirect("operator_model_rates", model=found.public_id)
    rates = Rate.objects.filter(model=found.public_id).order_by("-valid", "component")
    now = timezone.now()
    context = {
        "model": found,
        "form": form,
        "now": now,
        "current": _current(found, rates, now),
        "history": [(rate, _validity(rate, now)) for rate in rates],
        **_day(found),
    }
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, "console/operator/model_rates.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_model_enabled(request: OperatorRequest, model: str) -> HttpResponse:
    """GET shows what a change breaks, POST makes it: `to` is "enabled" or "disabled"."""
    found = get_object_or_404(Model, public_id=model)
    posted = request.method == "POST"
    to = (request.POST if posted else request.GET).get("to", "")
    if posted and to in TARGETS:
        return _switch(request, found, enabled=to == "enabled")
    context = {"model": found, "to": to if to in TARGETS else "disabled", **_day(found)}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if posted else None
    part = "#part" if request.htmx else ""
    return render(request, f"console/operator/model_enabled.html{part}", context, status=status)


@transaction.atomic
def _add(actor: User, form: ModelForm) -> Model:
    typed = form.cleaned_data
    about = ("public_id", "name", "tasks", "context_tokens", "owned_by", "licence", "description")
    model = control.model_create(actor=actor, **{name: typed[name] for name in about})
    for component, price in form.prices.items():
        rate_set(actor=actor, model=model.public_id, component=component, price=price)
    if typed["backend"]:
        named = typed["engine_model"] or model.public_id
        control.model_deploy(actor=actor, model=model, backend=typed["backend"], engine_model=named)
    if typed["enable"]:
        control.model_set_enabled(actor=actor, model=model, enabled=True)
    return model


def _switch(request: OperatorRequest, model: Model, *, enabled: bool) -> HttpResponse:
    try:
        control.model_set_enabled(actor=request.user, model=model, enabled=enabled)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("operator_model_rates", model=model.public_id)
    said = _("%(model)s is enabled.") if enabled else _("%(model)s is disabled.")
    messages.success(request, said % {"model": model.public_id})
    return redirect("operator_models")


def _matching(search: str, state: str) -> QuerySet[Model]:
    found = Model.objects.all()
    if state in TARGETS:
        found = found.filter(is_enabled=state == "enabled")
    if search:
        found = found.filter(Q(public_id__icontains=search) | Q(name__icontains=search))
    deployments = Deployment.objects.select_related("backend")
    return found.prefetch_related(Prefetch("deployments", deployments))


def _rows(models: Sequence[Model], now: datetime) -> list[ModelRow]:
    """Three queries for all of them."""
    names = [model.public_id for model in models]
    rates = Rate.objects.valid_at(now).filter(model__in=names)
    prices = {(rate.model, rate.component): rate.price for rate in rates}
    requests = _requests(names, now)
    return [
        ModelRow(
            model=model,
            prices=[prices.get((model.public_id, component)) for component in Component],
            deployments=len(model.deployments.all()),
            healthy=sum(can_serve(d.backend) for d in model.deployments.all()),
            requests=requests.get(model.public_id, 0),
        )
        for model in models
    ]


def _requests(names: Sequence[str], now: datetime) -> dict[str, int]:
    rows = UsageHour.objects.between(now - DAY, now).filter(model__in=names).values("model")
    return {row["model"]: row["sum"] for row in rows.annotate(sum=Sum("requests")).order_by()}


def _day(model: Model) -> dict[str, Any]:
    """Requests of the last 24 hours, and the names of the organizations that made them."""
    usage = UsageHour.objects.filter(model=model.public_id, hour__gte=timezone.now() - DAY)
    sums = usage.values_list("organization__name").annotate(sum=Sum("requests"))
    found = dict(sums.order_by("organization__name"))
    return {"requests": sum(found.values()), "organizations": list(found)}


def _set(actor: User, model: Model, form: RateForm) -> bool:
    """Whether the rate was taken; a refusal becomes the form's error."""
    typed = form.cleaned_data
    try:
        rate_set(
            actor=actor,
            model=model.public_id,
            component=Component(typed["component"]),
            price=typed["price"],
            valid_from=typed["valid_from"],
        )
    except ValidationError as error:
        form.add_error(None, error)
        return False
    return True


def _current(model: Model, rates: QuerySet[Rate], now: datetime) -> list[tuple[str, Rate | None]]:
    valid = {rate.component: rate for rate in rates if now in rate.valid}
    return [(str(component.label), valid.get(component)) for component in model.components]


def _validity(rate: Rate, now: datetime) -> tuple[str, str]:
    """The state of a rate, as a kind of dot and a word."""
    if now in rate.valid:
        return "ok", _("Valid")
    return ("warn", _("Scheduled")) if rate.valid.lower > now else ("idle", _("Ended"))
