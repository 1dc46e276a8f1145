"""The models a customer can call."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.pricing import Prices, prices_by_model
from console.access import member_page
from console.http import OrganizationRequest
from inference.models import BackendState, Model, Task

PAGE_ROWS: Final = 50


class Offer(NamedTuple):
    """A model as a customer sees it. `is_available` is whether a backend could answer now."""

    model: Model
    tasks: list[str]
    prices: Prices
    regions: list[str]
    is_available: bool


@require_safe
@member_page
def models(request: OrganizationRequest) -> HttpResponse:
    """Enabled models with their prices, by id. `task` filters; `after` is the last id before."""
    prices = prices_by_model(timezone.now())
    found = Model.objects.enabled().filter(
        public_id__in=prices, public_id__gt=request.GET.get("after", "")
    )
    if task := request.GET.get("task", ""):
        found = found.filter(tasks__contains=[_known(task)])
    rows = list(found.prefetch_related("deployments__backend__region")[: PAGE_ROWS + 1])
    context = {
        "offers": [
            _offer(model, prices[model.public_id])
            for model in rows[:PAGE_ROWS]
            if prices[model.public_id].covers(model.components)
        ],
        "next": rows[PAGE_ROWS - 1].public_id if len(rows) > PAGE_ROWS else None,
        "task": task,
        "tasks": Task.choices,
    }
    return render(request, "console/models/models.html", context)


def _known(task: str) -> str:
    if task not in Task.values:
        raise Http404
    return task


def _offer(model: Model, prices: Prices) -> Offer:
    """Backends and what they are called stay inside; a customer sees only regions."""
    backends = [deployment.backend for deployment in model.deployments.all()]
    active = [backend for backend in backends if backend.state == BackendState.ACTIVE]
    return Offer(
        model,
        [str(Task(task).label) for task in model.tasks],
        prices,
        sorted({f"{backend.region.site}, {backend.region.country}" for backend in active}),
        any(backend.healthy is not False for backend in active),
    )
