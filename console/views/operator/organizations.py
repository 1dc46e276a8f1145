"""The operator's organizations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.db.models import (
    Count,
    DateTimeField,
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
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.ledger import wallet_read
from billing.models import UsageDay
from console.access import operator_page
from console.currencies import DEFAULT, amounts_in, currency_of
from console.filters import filter_read
from console.http import OperatorRequest
from console.operator_forms import OrganizationForm
from console.policies import allowed_regions
from console.reports import money_places
from console.step_up import stepped_up
from console.views.operator import figures
from console.views.operator.paging import Page, page_of, page_of_ranked
from tenants import services
from tenants.models import ApiKey, KeyKind, Membership, Organization, Project

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
KEYS_SHOWN: Final = 50
SORTS: Final = {
    "name": _("Name"),
    "amount": _("Amount, 30 d"),
    "requests": _("Requests, 30 d"),
    "active": _("Last activity"),
}


@dataclass(frozen=True, slots=True)
class Used:
    """What was used in 30 days, in the currency of the organization."""

    requests: int = 0
    amount: Decimal = Decimal(0)
    currency: str = DEFAULT


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_add(request: OperatorRequest) -> HttpResponse:
    """Open an account for a customer; its owner chooses a password by mail."""
    form = OrganizationForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        organization = services.organization_open(actor=request.user, **form.cleaned_data)
        said = gettext(
            "%(name)s is ready. Its owner chooses a password with “Forgot your password”."
        )
        messages.success(request, said % {"name": organization.name})
        return redirect("operator_organization", org=organization.slug)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, "console/operator/organization_add.html", {"form": form}, status=status)


@require_safe
@operator_page
def operator_organizations(request: OperatorRequest) -> HttpResponse:
    """Every organization, with what it used in 30 days."""
    search = request.GET.get("q", "").strip()
    sort = filter_read(request, "sort", SORTS.items(), label=gettext("Sort by"))
    found = _matching(search).select_related("terms")
    page, used = _page(found, sort.value, request.GET.get("after", ""))
    rows = [(one, used.get(one.pk, Used(currency=currency_of(one)))) for one in page.rows]
    context = {
        "search": search,
        "filters": [sort],
        "never": NEVER,
        "page": page,
        "rows": rows,
        "places": _places(used.amount for _one, used in rows),
    }
    return render(request, "console/operator/organizations.html", context)


@require_safe
@operator_page
def operator_organization(request: OperatorRequest, org: str) -> HttpResponse:
    """One organization: its people, projects, keys and usage."""
    terms = Organization.objects.select_related("terms__plan__book", "terms__book")
    organization = get_object_or_404(_with_counts(terms), slug=org)
    now, month = timezone.now(), figures.RANGES["30d"]
    keys = ApiKey.objects.for_organization(organization).listed().select_related("project")
    used = _used([organization.pk]).get(organization.pk, Used())
    context = {
        "tenant": organization,
        "used": used,
        "places": money_places(used.amount),
        "never": NEVER,
        "range": month,
        "breakdown": figures.requests_by_model(month, now, organization),
        "members": _members(organization),
        "projects": _projects(organization),
        "regions": allowed_regions(organization),
        "wallet": wallet_read([organization.pk])[organization.pk],
        "keys": keys.order_by("revoked_at", "-created_at")[:KEYS_SHOWN],
        "keys_shown": KEYS_SHOWN,
    }
    with amounts_in(currency_of(organization)):
        return render(request, "console/operator/organization.html", context)


def _page(
    found: QuerySet[Organization], sort: str, after: str
) -> tuple[Page[Organization], dict[UUID, Used]]:
    """A page of `found`, and what those on it used.

    By usage it is ranked here, from sums that are read in one pass; else by the database. Amounts
    are compared with those of the same currency.
    """
    if sort in {"amount", "requests"}:
        used = _used()
        slugs = dict(found.values_list("slug", "pk"))
        rank = _RANKS[sort]
        ranked = sorted(slugs, key=lambda slug: (*rank(used.get(slugs[slug], Used())), slug))
        return page_of_ranked(_with_counts(found), ranked, unique="slug", after=after), used
    order = "-last_used" if sort == "active" else "name"
    page = page_of(_with_counts(found), unique="slug", after=after, order=order)
    return page, _used([one.pk for one in page.rows])


def _used(organizations: Collection[UUID] | None = None) -> dict[UUID, Used]:
    """The sums of 30 days, with today as the chart draws them, of `organizations` or of all."""
    rows = UsageDay.objects.filter(day__gte=_month_start())
    if organizations is not None:
        rows = rows.filter(organization__in=organizations)
    sums = rows.values_list("organization").annotate(
        Sum("requests"), Sum("amount"), Max("currency")
    )
    return {pk: Used(*used) for pk, *used in sums.order_by()}


_RANKS: Final[Mapping[str, Callable[[Used], tuple[Any, ...]]]] = {
    "requests": lambda one: (-one.requests,),
    "amount": lambda one: (not one.amount, one.currency != DEFAULT, one.currency, -one.amount),
}


def _places(amounts: Iterable[Decimal]) -> int:
    return money_places(sum(amounts, Decimal(0)))


def _month_start() -> date:
    """30 days with today, as the chart draws them."""
    return figures.RANGES["30d"].start(timezone.now()).date()


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
    usage = UsageDay.objects.for_organization(organization).filter(day__gte=_month_start())
    sums = {
        row["project"]: row
        for row in usage.values("project")
        .annotate(sum_requests=Sum("requests"), sum_amount=Sum("amount"))
        .order_by()
    }
    listed = Q(api_keys__revoked_at=None, api_keys__kind=KeyKind.SECRET)
    active = Count("api_keys", filter=listed)
    projects = Project.objects.for_organization(organization).annotate(active_keys=active)
    nothing = {"sum_requests": 0, "sum_amount": Decimal(0)}
    return [{**sums.get(p.pk, nothing), "project": p} for p in projects]


def _with_counts(found: QuerySet[Organization]) -> QuerySet[Any]:
    """Each with `members`, `project_count`, `active_keys` and `last_used`."""
    whole = IntegerField()
    return found.annotate(
        members=_of_each(Membership.objects.all(), Count("pk"), 0, whole),
        project_count=_of_each(Project.objects.all(), Count("pk"), 0, whole),
        active_keys=_of_each(ApiKey.objects.active().listed(), Count("pk"), 0, whole),
        last_used=_of_each(ApiKey.objects.all(), Max("last_used_at"), NEVER, DateTimeField()),
    )


def _of_each(rows: QuerySet[Any], sum_: Combinable, nothing: object, field: Any) -> Coalesce:
    """`sum_` over the `rows` of the outer organization, `nothing` where there are none."""
    own = rows.filter(organization=OuterRef("pk")).order_by().values("organization")
    return Coalesce(
        Subquery(own.annotate(found=sum_).values("found")), Value(nothing), output_field=field
    )
