"""The operator's page of one model, and the pages that change it."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from billing.models import LIST_EUR, Component, Rate
from billing.pricing import prices_by_model
from billing.services import rate_set
from console.access import operator_page
from console.forms import is_taken
from console.http import OperatorRequest
from console.model_forms import CardForm, FactsForm, RateForm, StatusForm, VisibilityForm
from console.offers import Offer
from console.step_up import stepped_up
from console.views.operator.answers import answer, day_of, template_of
from console.views.operator.deployments import deployment_rows
from console.views.operator.models import TARGETS, model_rows
from console.views.operator.routing import routing_row, with_policies
from console.views.operator.trail import trail_read
from inference import control
from inference.cards import card_read
from inference.limits import limits_of
from inference.models import Model, ModelStatus
from tenants.models import AuditEntry, User

TRAIL_LINES = 20


@require_safe
@operator_page
def operator_model(request: OperatorRequest, model: str) -> HttpResponse:
    """All of one model: facts, prices, deployments, card, usage and history."""
    found, now = get_object_or_404(_whole(), public_id=model), timezone.now()
    (row,) = model_rows([found], now)
    context = {
        "row": row,
        "model": found,
        "offer": Offer(found, row.rates, row.down),
        "limits": limits_of(found),
        "card": card_read(found),
        "deployments": deployment_rows(found.deployments.all()),
        "day": day_of(found),
        "routing": routing_row(found, prices_by_model(now), row.down),
        "trail": trail_read(_history(found), TRAIL_LINES),
    }
    return render(request, "console/operator/model.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_model_edit(request: OperatorRequest, model: str) -> HttpResponse:
    """What is said of a model."""
    found = get_object_or_404(Model, public_id=model)
    form = FactsForm(request.POST or None, initial=FactsForm.of(found))

    def change() -> None:
        control.model_update(actor=request.user, model=found, **form.facts)

    return answer(request, found, form, change, "model_edit")


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_model_card(request: OperatorRequest, model: str) -> HttpResponse:
    """The texts of its card."""
    found = get_object_or_404(Model, public_id=model)
    form = CardForm(found, request.POST or None)

    def change() -> None:
        control.model_set_card(actor=request.user, model=found, card=form.cleaned_data)

    return answer(request, found, form, change, "model_card")


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_model_status(request: OperatorRequest, model: str) -> HttpResponse:
    """Where it is in its life; who uses it is shown before."""
    found = get_object_or_404(Model.objects.select_related("replacement"), public_id=model)
    form = StatusForm(found, request.POST or None)

    def change() -> None:
        control.model_set_status(
            actor=request.user,
            model=found,
            status=ModelStatus(form.cleaned_data["status"]),
            sunset_at=form.sunset_at,
            replacement=form.cleaned_data["replacement"],
        )

    return answer(request, found, form, change, "model_status")


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_model_visibility(request: OperatorRequest, model: str) -> HttpResponse:
    """Who may know of it; who uses it is shown before."""
    found = get_object_or_404(Model, public_id=model)
    form = VisibilityForm.of(found, request.POST or None)

    def change() -> None:
        organizations = form.organizations
        control.model_set_visibility(actor=request.user, model=found, organizations=organizations)

    return answer(request, found, form, change, "model_visibility")


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
    context = {"model": found, "to": to if to in TARGETS else "disabled", "day": day_of(found)}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if posted else None
    return render(request, template_of(request, "model_enabled"), context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_model_rates(request: OperatorRequest, model: str) -> HttpResponse:
    """The prices of a model: now, later and before; POST sets one."""
    found = get_object_or_404(Model, public_id=model)
    form = RateForm(found, request.POST if request.method == "POST" else None)
    made: list[Rate] = []
    if form.is_valid() and _set(request.user, found, form, made):
        waits = _("The rate waits until somebody else approves it.")
        messages.success(request, _("The rate is set.") if made[0].approved_at else waits)
        return redirect("operator_model_rates", model=found.public_id)
    rates = Rate.objects.approved().filter(book=LIST_EUR, model=found.public_id)
    rates = rates.order_by("-valid", "component")
    now = timezone.now()
    context = {
        "model": found,
        "form": form,
        "current": _current(found, rates, now),
        "history": [(rate, _validity(rate, now)) for rate in rates],
        "day": day_of(found),
    }
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, "console/operator/model_rates.html", context, status=status)


def _whole() -> QuerySet[Model]:
    return with_policies().select_related("replacement", "routing_policy__fallback")


def _history(model: Model) -> QuerySet[AuditEntry]:
    """What was done to it and to its prices."""
    own = Q(target_type="model", target_id=str(model.pk))
    return AuditEntry.objects.filter(
        own | Q(action__startswith="rate.", data__model=model.public_id)
    )


def _switch(request: OperatorRequest, model: Model, *, enabled: bool) -> HttpResponse:
    try:
        control.model_set_enabled(actor=request.user, model=model, enabled=enabled)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("operator_model_rates", model=model.public_id)
    said = _("%(model)s is enabled.") if enabled else _("%(model)s is disabled.")
    messages.success(request, said % {"model": model.public_id})
    return redirect("operator_models")


def _set(actor: User, model: Model, form: RateForm, made: list[Rate]) -> bool:
    """Whether the rate was `made`; a refusal becomes the form's error."""
    typed = form.cleaned_data

    def change() -> None:
        rate = rate_set(
            actor=actor,
            model=model.public_id,
            component=Component(typed["component"]),
            price=typed["price"],
            valid_from=typed["valid_from"],
        )
        made.append(rate)

    return is_taken(form, change)


def _current(model: Model, rates: QuerySet[Rate], now: datetime) -> list[tuple[str, Rate | None]]:
    valid = {rate.component: rate for rate in rates if now in rate.valid}
    return [(str(component.label), valid.get(component)) for component in model.components]


def _validity(rate: Rate, now: datetime) -> tuple[str, str]:
    """The state of a rate, as a kind of dot and a word."""
    if now in rate.valid:
        return "ok", _("Valid")
    return ("warn", _("Scheduled")) if rate.valid.lower > now else ("idle", _("Ended"))
