"""Who waits for which model, now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from console.access import operator_page
from console.http import OperatorRequest
from inference.live import NOT_SEEN, BackendLive, QueueSeen, fleet_live, queues_read
from inference.models import Backend, Deployment, Model
from inference.routing.choice import MOST_KV_USE, MOST_WAITING
from tenants.models import Organization

SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class QueueRow:
    """What an organization has at a model."""

    organization: Organization
    seen: QueueSeen


@dataclass(frozen=True, slots=True)
class ModelRow:
    """How full a model is, by the `saturations` of those of its `backends` that are well: of 1 on
    one is full.
    """

    model: Model
    backends: int
    saturations: Sequence[float]
    queues: Sequence[QueueSeen]

    @property
    def saturation(self) -> float | None:
        """Of the backend with most room; None where none is well."""
        return min(self.saturations, default=None)

    @property
    def with_room(self) -> int:
        return sum(one < 1 for one in self.saturations)

    @property
    def kind(self) -> str:
        if self.saturation is None:
            return "bad"
        return "ok" if self.with_room else "warn"

    @property
    def waiting(self) -> int:
        return sum(queue.waiting for queue in self.queues)

    @property
    def in_flight(self) -> int:
        return sum(queue.in_flight for queue in self.queues)

    @property
    def oldest_s(self) -> float:
        return max((queue.oldest_s for queue in self.queues), default=0)


@dataclass(frozen=True, slots=True)
class Queues:
    """Both sorted by who waits longest."""

    rows: Sequence[QueueRow]
    models: Sequence[ModelRow]

    @property
    def first(self) -> Sequence[QueueRow]:
        return self.rows[:SHOWN]

    @property
    def rest(self) -> int:
        return max(0, len(self.rows) - SHOWN)

    @property
    def waiting(self) -> int:
        return sum(row.seen.waiting for row in self.rows)

    @property
    def oldest_s(self) -> float:
        return max((row.seen.oldest_s for row in self.rows), default=0)

    @property
    def waiting_organizations(self) -> int:
        return len({row.organization.pk for row in self.rows if row.seen.waiting})

    @property
    def full(self) -> int:
        return sum(not row.with_room for row in self.models)


@require_safe
@vary_on_headers("HX-Request")
@operator_page
def operator_queues(request: OperatorRequest) -> HttpResponse:
    """The whole page, or for htmx the parts of it that are live."""
    context = {"now": timezone.now(), "queues": queues_now()}
    part = "_queues_live" if request.htmx else "queues"
    return render(request, f"console/operator/{part}.html", context)


def queues_now() -> Queues:
    """Three queries, however much waits."""
    seen = sorted(queues_read(), key=lambda queue: (-queue.oldest_s, -queue.in_flight))
    organizations = Organization.objects.in_bulk({queue.organization_id for queue in seen})
    rows = [
        QueueRow(organizations[queue.organization_id], queue)
        for queue in seen
        if queue.organization_id in organizations
    ]
    return Queues(rows, model_rows(_models(), fleet_live(), seen))


def model_rows(
    models: Iterable[Model], live: Mapping[UUID, BackendLive], seen: Iterable[QueueSeen]
) -> list[ModelRow]:
    queues = defaultdict[str, list[QueueSeen]](list)
    for queue in seen:
        queues[queue.model].append(queue)
    rows = [_model_row(model, live, queues[model.public_id]) for model in models]
    return sorted(rows, key=lambda row: (-row.oldest_s, -_fullness(row), row.model.public_id))


def _models() -> Iterable[Model]:
    deployments = Deployment.objects.routed().select_related("backend")
    return Model.objects.enabled().prefetch_related(Prefetch("deployments", deployments))


def _model_row(
    model: Model, live: Mapping[UUID, BackendLive], queues: Sequence[QueueSeen]
) -> ModelRow:
    backends = [deployment.backend for deployment in model.deployments.all()]
    seen = [(backend, live.get(backend.pk, NOT_SEEN)) for backend in backends]
    well = [one for one in seen if not one[1].is_down and one[1].breaker.state != "open"]
    return ModelRow(model, len(backends), [saturation(*one) for one in well], queues)


def saturation(backend: Backend, live: BackendLive) -> float:
    """How full it is, as the gateways see it: from 1 on it takes no more."""
    waiting = (live.load and live.load.waiting) or 0
    kv_use = (live.load and live.load.kv_use) or 0
    of_slots = live.in_flight / backend.max_in_flight
    return max(of_slots, waiting / MOST_WAITING, kv_use / MOST_KV_USE)


def _fullness(row: ModelRow) -> float:
    return 2.0 if row.saturation is None else row.saturation
