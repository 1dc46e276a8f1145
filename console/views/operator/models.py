"""The operator's catalog: all models, and how one is added."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet, Sum
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import Component, UsageHour
from billing.pricing import NO_PRICES, Prices, prices_by_model
from billing.services import rate_set
from console.access import operator_page
from console.filters import filter_read
from console.http import OperatorRequest
from console.model_forms import ModelForm
from console.offers import Price, prices_of
from console.views.operator.figures import DAY
from console.views.operator.health import can_serve
from console.views.operator.paging import page_of
from inference import control
from inference.catalog import KnownModel, known_models
from inference.live import down_read
from inference.models import Deployment, Model, ModelStatus, Task
from tenants.models import User

TARGETS: Final = ("enabled", "disabled")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as a table shows it. Reads its deployments, so prefetch them."""

    model: Model
    rates: Prices
    requests: int
    down: Collection[UUID]

    @property
    def kind(self) -> str:
        if not self.is_offered:
            return "idle"
        return "ok" if self.healthy and self.is_priced else "bad"

    @property
    def word(self) -> str:
        if self.model.status == ModelStatus.RETIRED:
            return _("Retired")
        if not self.model.is_enabled:
            return _("Disabled")
        if not self.is_priced:
            return _("No price")
        return _("Enabled") if self.healthy else _("No backend")

    @property
    def is_offered(self) -> bool:
        return self.model.is_enabled and self.model.status != ModelStatus.RETIRED

    @property
    def is_priced(self) -> bool:
        return self.rates.covers(self.model.components)

    @property
    def prices(self) -> list[Price]:
        return prices_of(self.model, self.rates)

    @property
    def amounts(self) -> list[Decimal | None]:
        """Its price for each Component, in their order."""
        amounts = {price.component: price.amount for price in self.prices}
        return [amounts.get(component) for component in Component]

    @property
    def deployments(self) -> int:
        return len(self.model.deployments.all())

    @property
    def healthy(self) -> int:
        deployments = self.model.deployments.all()
        return sum(d.is_enabled and can_serve(d.backend, self.down) for d in deployments)

    @property
    def tasks(self) -> str:
        return ", ".join(str(Task(task).label) for task in self.model.tasks)


@require_safe
@operator_page
def operator_models(request: OperatorRequest) -> HttpResponse:
    """Every model with its prices, deployments and requests of 24 hours."""
    search = request.GET.get("q", "").strip()
    states = zip(TARGETS, (_("Enabled"), _("Disabled")), strict=True)
    state = filter_read(request, "state", states, label=_("State"), every=_("Every state"))
    task = filter_read(request, "task", Task.choices, label=_("Task"), every=_("Every task"))
    life = ModelStatus.choices
    status = filter_read(request, "status", life, label=_("Status"), every=_("Every status"))
    found = _matching(search, state.value, task.value, status.value)
    page = page_of(found, unique="public_id", after=request.GET.get("after", ""))
    context = {
        "search": search,
        "filters": [task, status, state],
        "is_filtered": search or state.value or task.value or status.value,
        "components": list(Component),
        "page": page,
        "rows": model_rows(page.rows, timezone.now()),
    }
    return render(request, "console/operator/models.html", context)


@require_safe
@operator_page
def operator_model_catalog(request: OperatorRequest) -> HttpResponse:
    """Open models that can be added with their facts filled in."""
    here = set(Model.objects.values_list("public_id", flat=True))
    known = [(model, model.id in here, _task_names(model)) for model in known_models().values()]
    return render(request, "console/operator/model_catalog.html", {"known": known})


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_model_add(request: OperatorRequest) -> HttpResponse:
    """Add a model with its prices, and offer it at once if asked to.

    `from` names a model of the catalog, which fills the form and brings its card.
    """
    known = _known(request.GET.get("from", ""))
    initial = ModelForm.from_catalog(known) if known else None
    form = ModelForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid() and (model := _add(request.user, form, known.card if known else {})):
        messages.success(request, _("%(model)s is added.") % {"model": model.public_id})
        return redirect("operator_model", model=model.public_id)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    context = {"form": form, "known": known}
    return render(request, "console/operator/model_add.html", context, status=status)


def model_rows(models: Sequence[Model], now: datetime) -> list[ModelRow]:
    """Three queries for all of them."""
    names = [model.public_id for model in models]
    prices, requests, down = prices_by_model(now), _requests(names, now), down_read()
    return [
        ModelRow(
            model=model,
            rates=prices.get(model.public_id, NO_PRICES),
            requests=requests.get(model.public_id, 0),
            down=down,
        )
        for model in models
    ]


def _add(actor: User, form: ModelForm, card: Mapping[str, str]) -> Model | None:
    """The new model; None when it is refused, which becomes the form's error."""
    try:
        with transaction.atomic():
            return _create(actor, form, card)
    except ValidationError as error:
        form.add_error(None, error)
        return None


def _create(actor: User, form: ModelForm, card: Mapping[str, str]) -> Model:
    typed = form.cleaned_data
    public_id: str = typed["public_id"]
    model = control.model_create(actor=actor, public_id=public_id, card=card, **form.facts)
    for component, price in form.prices.items():
        rate_set(actor=actor, model=model.public_id, component=component, price=price)
    if typed["backend"]:
        named = typed["engine_model"] or model.public_id
        control.model_deploy(actor=actor, model=model, backend=typed["backend"], engine_model=named)
    if typed["enable"]:
        control.model_set_enabled(actor=actor, model=model, enabled=True)
    return model


def _known(name: str) -> KnownModel | None:
    """Raises Http404 for what the catalog has not, or what cannot be served yet."""
    if not name:
        return None
    known = known_models().get(name)
    if known is None or known.not_servable:
        raise Http404
    return known


def _task_names(known: KnownModel) -> str:
    return ", ".join(str(Task(task).label) for task in known.tasks)


def _matching(search: str, state: str, task: str, status: str) -> QuerySet[Model]:
    found = Model.objects.all()
    if state:
        found = found.filter(is_enabled=state == "enabled")
    if task:
        found = found.filter(tasks__contains=[task])
    if status:
        found = found.filter(status=status)
    if search:
        named = Q(public_id__icontains=search) | Q(name__icontains=search)
        found = found.filter(named | Q(aliases__icontains=search) | Q(family__icontains=search))
    deployments = Deployment.objects.select_related("backend")
    return found.prefetch_related(Prefetch("deployments", deployments))


def _requests(names: Sequence[str], now: datetime) -> dict[str, int]:
    rows = UsageHour.objects.between(now - DAY, now).filter(model__in=names).values("model")
    return {row["model"]: row["sum"] for row in rows.annotate(sum=Sum("requests")).order_by()}
