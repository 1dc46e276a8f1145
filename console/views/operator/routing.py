"""How requests find a backend: the policy of each model, and what becomes of a request now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import Component
from billing.pricing import NO_PRICES, Prices, prices_by_model
from console.access import operator_page
from console.filters import filter_read
from console.http import OperatorRequest
from console.policies import Setting, differences, gateway_settings, own_settings, policy_read
from console.routing_forms import RoutingForm, TryForm, fallbacks_of
from console.simulator import Trial, request_try
from console.views.operator.answers import answer
from console.views.operator.health import can_serve
from console.views.operator.paging import page_of
from inference import control
from inference.gateway.errors import GatewayError
from inference.live import down_read
from inference.models import Deployment, Model, ModelStatus, RoutingPolicy


@dataclass(frozen=True, slots=True)
class RoutingRow:
    """The policy of a model as a table shows it, and what its fallback changes."""

    model: Model
    policy: RoutingPolicy
    differences: Sequence[str]
    down: Collection[UUID]

    @property
    def own(self) -> list[Setting]:
        return own_settings(self.policy)

    @property
    def backends(self) -> int:
        return len(self.model.deployments.all())

    @property
    def ready(self) -> int:
        found = self.model.deployments.all()
        return sum(one.is_enabled and can_serve(one.backend, self.down) for one in found)


@require_safe
@operator_page
def operator_routing(request: OperatorRequest) -> HttpResponse:
    """What the gateways do on their own, and where a model differs."""
    search = request.GET.get("q", "").strip()
    choices = (("own", _("With a policy")), ("fallback", _("With a fallback")))
    which = filter_read(request, "policy", choices, label=_("Policy"), every=_("Every model"))
    found = _matching(search, which.value)
    page = page_of(found, unique="public_id", after=request.GET.get("after", ""))
    prices, down = prices_by_model(timezone.now()), down_read()
    context = {
        "search": search,
        "filters": [which],
        "is_filtered": search or which.value,
        "page": page,
        "rows": [routing_row(model, prices, down) for model in page.rows],
        "defaults": gateway_settings(),
    }
    return render(request, "console/operator/routing.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_model_routing(request: OperatorRequest, model: str) -> HttpResponse:
    """The policy of one model; what each fallback would change is beside it."""
    found = get_object_or_404(with_policies(), public_id=model)
    form = RoutingForm(found, request.POST if request.method == "POST" else None)

    def change() -> None:
        control.model_set_routing(actor=request.user, model=found, **form.facts)

    fallbacks = _choices(found, timezone.now())
    return answer(request, found, form, change, "model_routing", fallbacks=fallbacks)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("text", "headers")
@operator_page
def operator_routing_try(request: OperatorRequest) -> HttpResponse:
    """What the gateways would do with a request that is pasted; it is sent and kept nowhere."""
    asked = {"organization": request.GET.get("organization", "")}
    form = TryForm(request.POST if request.method == "POST" else None, initial=asked)
    trial = _try(form) if form.is_valid() else None
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    context = {"form": form, "trial": trial}
    return render(request, "console/operator/routing_try.html", context, status=status)


def _try(form: TryForm) -> Trial | None:
    """None when the gateways would refuse it, which becomes the form's error."""
    typed = form.cleaned_data
    try:
        return request_try(typed["organization"], typed["path"], typed["headers"], typed["text"])
    except GatewayError as error:
        words = {"status": error.status, "code": error.code, "message": error.message}
        form.add_error("text", _("It would get %(status)d %(code)s: %(message)s") % words)
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that could be the fallback of another."""

    model: Model
    rates: Prices
    differences: Sequence[str]

    @property
    def prices(self) -> list[object]:
        units = (self.rates.of(component) for component in Component)
        return [unit.price for unit in units if unit]


def _choices(model: Model, now: datetime) -> list[Choice]:
    prices = prices_by_model(now)
    return [
        Choice(one, prices.get(one.public_id, NO_PRICES), differences(model, one, prices))
        for one in _with_places(fallbacks_of(model))
    ]


def routing_row(model: Model, prices: Mapping[str, Prices], down: Collection[UUID]) -> RoutingRow:
    policy = policy_read(model)
    fallback = policy.fallback
    found = differences(model, fallback, prices) if fallback else ()
    return RoutingRow(model, policy, found, down)


def with_policies() -> QuerySet[Model]:
    """Models with all that `routing_row` reads of them and of their fallbacks."""
    path = "routing_policy__fallback"
    found = _with_places(Model.objects.select_related(path))
    return found.prefetch_related(
        Prefetch(f"{path}__deployments", _deployments()), f"{path}__visible_to"
    )


def _with_places(models: QuerySet[Model]) -> QuerySet[Model]:
    return models.prefetch_related(Prefetch("deployments", _deployments()), "visible_to")


def _deployments() -> QuerySet[Deployment]:
    return Deployment.objects.select_related("backend__region", "model")


def _matching(search: str, which: str) -> QuerySet[Model]:
    found = with_policies().exclude(status=ModelStatus.RETIRED)
    if which:
        found = found.exclude(routing_policy=None)
    if which == "fallback":
        found = found.exclude(routing_policy__fallback=None)
    if search:
        named = Q(public_id__icontains=search) | Q(name__icontains=search)
        found = found.filter(named | Q(aliases__icontains=search))
    return found
