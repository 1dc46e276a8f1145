"""The limits of every organization: plans, what was agreed instead, and who is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from billing import limiting
from billing.limited import limited_read
from billing.models import Limit, LimitKind, Plan
from console.access import operator_page
from console.filters import filter_read
from console.forms import is_taken
from console.http import OperatorRequest
from console.limit_forms import OverrideForm
from console.limit_rows import LimitRow, limit_rows, limits_now, scope_name, terms_of
from console.views.operator.answers import template_of
from console.views.operator.paging import page_of
from tenants.models import Organization

type Own = Mapping[LimitKind, Limit]


@dataclass(frozen=True, slots=True)
class Cell:
    """What may be used of one kind, by a limit of its own or by the plan; None is no limit."""

    value: int | None
    own: Limit | None


@dataclass(frozen=True, slots=True)
class Row:
    """An organization in the matrix. `refused` counts its refusals, by counter."""

    organization: Any
    own: Own
    refused: Mapping[str, int]

    @property
    def plan(self) -> Plan | None:
        terms = getattr(self.organization, "terms", None)
        plan: Plan | None = terms and terms.plan
        return plan

    @property
    def cells(self) -> list[Cell]:
        return [self._cell(kind) for kind in LimitKind]

    def _cell(self, kind: LimitKind) -> Cell:
        own = self.own.get(kind)
        if own:
            return Cell(own.value, own)
        return Cell(getattr(self.plan, kind.value) if self.plan else None, None)

    @property
    def refusals(self) -> int:
        return sum(self.refused.values())


@require_safe
@operator_page
def operator_limits(request: OperatorRequest) -> HttpResponse:
    """Organizations by kinds of limits; `q`, `plan` and `which` filter."""
    search = request.GET.get("q", "").strip()
    on = Plan.objects.values_list("slug", "name")
    plan = filter_read(request, "plan", on, label=_("Plan"), every=_("Every plan"))
    choices = (("own", _("With limits of their own")), ("refused", _("Refused lately")))
    which = filter_read(request, "which", choices, label=_("Which"), every=_("Everyone"))
    refused = limited_read(timezone.now())
    found = _matching(search, plan.value, which.value, refused.keys())
    page = page_of(found, unique="slug", after=request.GET.get("after", ""), order="name")
    context = {
        "search": search,
        "filters": [plan, which],
        "is_filtered": search or plan.value or which.value,
        "kinds": [kind.label for kind in LimitKind],
        "page": page,
        "rows": _rows(page.rows, refused),
        "refused": len(refused),
    }
    return render(request, "console/operator/limits.html", context)


def _matching(
    search: str, plan: str, which: str, refused: Collection[UUID]
) -> QuerySet[Organization]:
    found = Organization.objects.select_related("terms__plan")
    if search:
        found = found.filter(Q(name__icontains=search) | Q(slug__icontains=search))
    if plan:
        found = found.filter(terms__plan__slug=plan)
    if which == "own":
        own = limits_now(Limit.objects.filter(organization=OuterRef("pk"), **_WHOLE)).order_by()
        found = found.filter(Exists(own.select_related(None)))
    return found.filter(pk__in=refused) if which == "refused" else found


_WHOLE: Final[dict[str, Any]] = {"project": None, "api_key": None}


def _rows(
    organizations: Sequence[Organization], refused: Mapping[UUID, Mapping[str, int]]
) -> list[Row]:
    own = _own_of(organizations)
    return [Row(one, own.get(one.pk, {}), refused.get(one.pk, {})) for one in organizations]


def _own_of(organizations: Iterable[Organization]) -> Mapping[UUID, Own]:
    """The limits of all models that were agreed with each. One query."""
    found = defaultdict[UUID, dict[LimitKind, Limit]](dict)
    ids = [one.pk for one in organizations]
    own = Limit.objects.filter(organization__in=ids, model="", **_WHOLE)
    for limit in limits_now(own):
        found[limit.organization_id][LimitKind(limit.kind)] = limit
    return found


@dataclass(frozen=True, slots=True)
class Refused:
    """How often a counter of an organization refused since the last full hour but one."""

    row: LimitRow | None
    counter: str
    count: int


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_organization_limits(request: OperatorRequest, org: str) -> HttpResponse:
    """All that holds for one organization, its use and refusals, and a limit of its own."""
    organization = get_object_or_404(Organization, slug=org)
    asked = {"kind": request.GET.get("kind", "")}
    posted = request.POST if request.method == "POST" else None
    form = OverrideForm(organization, posted, initial=asked)
    if form.is_valid() and is_taken(form, lambda: _override(request, organization, form)):
        messages.success(request, _("Saved. It holds within seconds."))
        return redirect("operator_organization_limits", org=organization.slug)
    rows = limit_rows(organization)
    context = {
        "tenant": organization,
        "terms": terms_of(organization),
        "rows": rows,
        "refused": _refused(organization, rows),
        "form": form,
    }
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    page = "console/operator/organization_limits.html"
    return render(request, page, context, status=status)


def _override(request: OperatorRequest, organization: Organization, form: OverrideForm) -> None:
    limiting.limit_set(actor=request.user, organization=organization, **form.facts)


def _refused(organization: Organization, rows: Iterable[LimitRow]) -> list[Refused]:
    """Most refused first. A counter stands for the limits of every kind that share its id."""
    by_counter = {row.counter: row for row in rows}
    counts = limited_read(timezone.now()).get(organization.pk, {})
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [Refused(by_counter.get(counter), counter, count) for counter, count in ordered]


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_limit_remove(request: OperatorRequest, limit: UUID) -> HttpResponse:
    """GET shows what holds afterwards, POST removes it."""
    found = Limit.objects.select_related("organization", "project", "api_key")
    chosen = get_object_or_404(found, pk=limit)
    organization = chosen.organization
    if request.method == "POST":
        limiting.limit_remove(actor=request.user, limit=chosen)
        messages.success(request, _("The limit is removed."))
        return redirect("operator_organization_limits", org=organization.slug)
    plan = terms_of(organization).plan
    context = {
        "limit": chosen,
        "scope": scope_name(chosen),
        "plan": plan,
        "after": getattr(plan, chosen.kind) if plan and not chosen.model else None,
    }
    return render(request, template_of(request, "limit_remove"), context)
