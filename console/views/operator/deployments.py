"""The operator's deployments: which backend serves which model, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from console.access import operator_page
from console.filters import filter_read
from console.http import OperatorRequest
from console.model_forms import DeploymentForm, NewDeploymentForm
from console.views.operator.answers import answer, day_of, template_of
from console.views.operator.health import can_serve
from console.views.operator.paging import page_of
from inference import control
from inference.live import down_read, fleet_live
from inference.models import BackendState, Deployment, Model, Task


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment as a table shows it. Reads its model and backend, so select them."""

    deployment: Deployment
    down: Collection[UUID]
    opened: Collection[UUID]

    @property
    def kind(self) -> str:
        if self.is_serving:
            return "bad" if self._is_open else "ok"
        return "idle" if self._is_parked else "bad"

    @property
    def word(self) -> str:
        backend = self.deployment.backend
        if not self.deployment.is_enabled:
            return _("Off")
        if backend.state != BackendState.ACTIVE:
            return str(BackendState(backend.state).label)
        if not self.is_serving:
            return _("Not answering")
        return _("Breaker open") if self._is_open else _("Serving")

    @property
    def is_serving(self) -> bool:
        return self.deployment.is_enabled and can_serve(self.deployment.backend, self.down)

    @property
    def weight(self) -> int:
        """Its share of the model's work, as the gateways weigh it."""
        return self.deployment.weight * self.deployment.backend.weight

    @property
    def _is_open(self) -> bool:
        return self.deployment.backend_id in self.opened

    @property
    def _is_parked(self) -> bool:
        backend = self.deployment.backend
        return not self.deployment.is_enabled or backend.state != BackendState.ACTIVE


def deployment_rows(deployments: Iterable[Deployment]) -> list[DeploymentRow]:
    down, live = down_read(), fleet_live()
    opened = {backend for backend, seen in live.items() if seen.breaker.is_open}
    return [DeploymentRow(deployment, down, opened) for deployment in deployments]


@require_safe
@operator_page
def operator_deployments(request: OperatorRequest) -> HttpResponse:
    """Every deployment, by model."""
    search = request.GET.get("q", "").strip()
    task = filter_read(request, "task", Task.choices, label=_("Task"), every=_("Every task"))
    after = request.GET.get("after", "")
    page = page_of(
        _matching(search, task.value),
        unique="id",
        after=after if after.isdecimal() else "",
        order="model__public_id",
    )
    context = {
        "search": search,
        "filters": [task],
        "is_filtered": search or task.value,
        "page": page,
        "rows": deployment_rows(page.rows),
    }
    return render(request, "console/operator/deployments.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_deployment_add(request: OperatorRequest, model: str) -> HttpResponse:
    """The model on one more backend."""
    found = get_object_or_404(Model, public_id=model)
    form = NewDeploymentForm(found, request.POST or None)

    def change() -> None:
        backend = form.cleaned_data["backend"]
        control.model_deploy(actor=request.user, model=found, backend=backend, **form.facts)

    return answer(request, found, form, change, "deployment_form")


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_deployment_edit(request: OperatorRequest, deployment: int) -> HttpResponse:
    found = _found(deployment)
    form = DeploymentForm(request.POST or None, initial=DeploymentForm.of(found))

    def change() -> None:
        control.deployment_update(actor=request.user, deployment=found, **form.facts)

    return answer(request, found.model, form, change, "deployment_form", deployment=found)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_deployment_remove(request: OperatorRequest, deployment: int) -> HttpResponse:
    """GET shows what it breaks, POST removes it."""
    found = _found(deployment)
    if request.method == "POST":
        control.deployment_remove(actor=request.user, deployment=found)
        words = {"model": found.model, "backend": found.backend}
        messages.success(request, _("%(model)s is no longer on %(backend)s.") % words)
        return redirect("operator_model", model=found.model.public_id)
    others = found.model.deployments.exclude(pk=found.pk).select_related("backend", "model")
    left = sum(row.is_serving for row in deployment_rows(others))
    context = {"deployment": found, "day": day_of(found.model), "left": left}
    return render(request, template_of(request, "deployment_remove"), context)


def _found(pk: int) -> Deployment:
    return get_object_or_404(Deployment.objects.select_related("model", "backend"), pk=pk)


def _matching(search: str, task: str) -> QuerySet[Deployment]:
    """By a part of the model's id, the backend's name or what the engine calls the model."""
    found = Deployment.objects.select_related("model", "backend__region")
    if task:
        found = found.filter(model__tasks__contains=[task])
    named = Q(model__public_id__icontains=search) | Q(backend__name__icontains=search)
    return found.filter(named | Q(engine_model__icontains=search)) if search else found
