"""The operator's organizations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import (
    Count,
    DateTimeField,
    DecimalField,
    IntegerField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing.models import UsageHour
from console.access import operator_page
from console.http import OperatorRequest
from console.reports import money_places
from console.views.operator import figures
from console.views.operator.paging import page_of
from console.views.operator.trail import trail_read
from tenants.models import ApiKey, AuditEntry, Membership, Organization, Project

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
KEYS_SHOWN: Final = 50
SORTS: Final = {
    "name": ("name", _("Name")),
    "amount": ("-amount", _("Amount, 30 d")),
    "requests": ("-requests", _("Requests, 30 d")),
    "active": ("-last_used", _("Last activity")),
}


@require_safe
@operator_page
def operator_organizations(request: OperatorRequest) -> HttpResponse:
    """Every organization, with what it used in 30 days."""
    search = request.GET.get("q", "").strip()
    sort = request.GET.get("sort", "")
    sort = sort if sort in SORTS else "name"
    found = _with_sums(_matching(search), _month_start())
    after = request.GET.get("after", "")
    page = page_of(found, unique="slug", after=after, order=SORTS[sort][0])
    context = {
        "search": search,
        "sort": sort,
        "sorts": [(name, label) for name, (_order, label) in SORTS.items()],
        "never": NEVER,
        "page": page,
        "places": _places(one.amount for one in page.rows),
    }
    return render(request, "console/operator/organizations.html", context)


@require_safe
@operator_page
def operator_organization(request: OperatorRequest, org: str) -> HttpResponse:
    """One organization: its people, projects, keys and usage."""
    organization = get_object_or_404(
        _with_sums(Organization.objects.all(), _month_start()), slug=org
    )
    now = timezone.now()
    keys = ApiKey.objects.for_organization(organization).select_related("project")
    projects = _projects(organization)
    context = {
        "tenant": organization,
        "never": NEVER,
        "breakdown": figures.requests_by_model(figures.RANGES["30d"], now, organization),
        "members": _members(organization),
        "projects": projects,
        "places": _places(row["sum_amount"] for row in projects),
        "keys": keys.order_by("revoked_at", "-created_at")[:KEYS_SHOWN],
        "keys_shown": KEYS_SHOWN,
        "trail": trail_read(AuditEntry.objects.for_organization(organization), 10),
    }
    return render(request, "console/operator/organization.html", context)


def _places(amounts: Iterable[Decimal]) -> int:
    return money_places(sum(amounts, Decimal(0)))


def _month_start() -> datetime:
    """30 days with today, as the chart draws them."""
    return figures.RANGES["30d"].start(timezone.now())


def _matching(search: str) -> QuerySet[Organization]:
    """By a part of the name or the short name, or a member's e-mail."""
    if not search:
        return Organization.objects.all()
    by_member = Membership.objects.filter(user__email__icontains=search)
    return Organization.objects.filter(
        Q(name__icontains=search)
        | Q(slug__icontains=search)
        | Q(pk__in=by_member.values("organization"))
    )


def _members(organization: Organization) -> QuerySet[Membership]:
    members = Membership.objects.for_organization(organization)
    return members.select_related("user").order_by("created_at")


def _projects(organization: Organization) -> list[dict[str, Any]]:
    """Name, active keys, and requests and amount in 30 days of each project."""
    usage = UsageHour.objects.for_organization(organization).filter(hour__gte=_month_start())
    sums = {
        row["project"]: row
        for row in usage.values("project")
        .annotate(sum_requests=Sum("requests"), sum_amount=Sum("amount"))
        .order_by()
    }
    active = Count("api_keys", filter=Q(api_keys__revoked_at=None))
    projects = Project.objects.for_organization(organization).annotate(active_keys=active)
    nothing = {"sum_requests": 0, "sum_amount": Decimal(0)}
    return [{**sums.get(p.pk, nothing), "project": p} for p in projects]


def _with_sums(found: QuerySet[Organization], since: datetime) -> QuerySet[Organization]:
    """Each with its counts, and its `requests` and `amount` (EUR) from `since` on."""
    usage = UsageHour.objects.filter(hour__gte=since)
    whole = IntegerField()
    return found.annotate(
        members=_of_each(Membership.objects.all(), Count("pk"), 0, whole),
        project_count=_of_each(Project.objects.all(), Count("pk"), 0, whole),
        active_keys=_of_each(ApiKey.objects.active(), Count("pk"), 0, whole),
        requests=_of_each(usage, Sum("requests"), 0, whole),
        amount=_of_each(usage, Sum("amount"), Decimal(0), DecimalField()),
        last_used=_of_each(ApiKey.objects.all(), Max("last_used_at"), NEVER, DateTimeField()),
    )


def _of_each(rows: QuerySet[Any], sum_: Combinable, nothing: object, field: Any) -> Coalesce:
    """`sum_` over the `rows` of the outer organization, `nothing` where there are none."""
    own = rows.filter(organization=OuterRef("pk")).order_by().values("organization")
    return Coalesce(
        Subquery(own.annotate(found=sum_).values("found")), Value(nothing), output_field=field
    )
