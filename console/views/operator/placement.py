"""Where the requests of an organization may go, and its share when requests wait."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from billing.models import UsageHour
from console.access import operator_page
from console.http import OperatorRequest
from console.routing_forms import PlacementForm
from console.views.operator.answers import template_of
from console.views.operator.figures import DAY
from inference.models import Deployment, Model, Region
from tenants import services
from tenants.models import Organization, User


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_organization_routing(request: OperatorRequest, org: str) -> HttpResponse:
    """Its regions and its share; regions without a backend for a model are asked about first."""
    organization = get_object_or_404(Organization, slug=org)
    form = PlacementForm.of(organization, request.POST if request.method == "POST" else None)
    stranded = stranded_by(organization, form.chosen) if form.is_valid() else ()
    if form.is_valid() and (form.is_agreed or not stranded):
        _place(request.user, organization, form)
        messages.success(request, _("Saved."))
        return redirect("operator_organization", org=organization.slug)
    context = {"tenant": organization, "form": form, "stranded": stranded, "reach": reach_of()}
    if stranded:
        context["agreed"] = " ".join(form.chosen)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, template_of(request, "organization_routing"), context, status=status)


@transaction.atomic
def _place(actor: User, organization: Organization, form: PlacementForm) -> None:
    """Each change is one entry of the audit trail, and what is as it was is none."""
    if list(form.chosen) != sorted(organization.allowed_regions):
        services.organization_set_regions(
            actor=actor, organization=organization, regions=form.chosen
        )
    if (share := form.cleaned_data["share"]) != organization.share:
        services.organization_set_share(actor=actor, organization=organization, share=share)


@dataclass(frozen=True, slots=True)
class Stranded:
    """A model that runs in none of the regions, and how often it was asked for in 24 hours."""

    model: str
    requests: int


def stranded_by(organization: Organization, regions: Collection[str]) -> Sequence[Stranded]:
    """What `organization` could not call any more if only `regions` were allowed; none are all."""
    if not regions:
        return ()
    before = _served(organization.allowed_regions)
    lost = before - _served(regions)
    models = Model.objects.enabled().for_organization(organization).filter(pk__in=lost)
    requests = _requests(organization)
    names = models.values_list("public_id", flat=True)
    return [Stranded(name, requests.get(name, 0)) for name in names]


def reach_of() -> list[tuple[Region, list[str]]]:
    """The enabled models that each region has a backend for."""
    routed = Deployment.objects.routed().filter(model__in=Model.objects.enabled())
    rows = routed.order_by("model__public_id").values_list("backend__region", "model__public_id")
    models = dict[str, dict[str, None]]()
    for region, model in rows:
        models.setdefault(region, {})[model] = None
    return [(region, list(models.get(region.pk, ()))) for region in Region.objects.all()]


def _served(regions: Collection[str]) -> set[UUID]:
    """Ids of the models that have a backend in `regions`; none are all."""
    routed = Deployment.objects.routed()
    if regions:
        routed = routed.filter(backend__region__in=regions)
    return set(routed.values_list("model", flat=True))


def _requests(organization: Organization) -> dict[str, int]:
    usage = UsageHour.objects.for_organization(organization)
    rows = usage.filter(hour__gte=timezone.now() - DAY).values_list("model")
    return dict(rows.annotate(Sum("requests")).order_by())
