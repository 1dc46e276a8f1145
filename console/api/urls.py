"""The paths of the management API, below `/api/v1/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from django.urls import URLPattern, path, re_path

from console.api import (
    audit_logs,
    exchange,
    fleet,
    keys,
    limits,
    people,
    plans,
    platform,
    prices,
    projects,
    usage,
)
from console.api.operations import ApiView, OpenApiView, UnknownView

app_name = "api"

_VIEWS: Final[tuple[tuple[str, type[ApiView]], ...]] = (
    ("projects", projects.ProjectsView),
    ("projects/<uuid:project>", projects.ProjectView),
    ("projects/<uuid:project>/archive", projects.ProjectArchiveView),
    ("projects/<uuid:project>/users", people.ProjectUsersView),
    ("projects/<uuid:project>/users/<int:user>", people.ProjectUserView),
    ("projects/<uuid:project>/api_keys", keys.ApiKeysView),
    ("projects/<uuid:project>/api_keys/<uuid:api_key>", keys.ApiKeyView),
    ("projects/<uuid:project>/api_keys/<uuid:api_key>/rotate", keys.ApiKeyRotateView),
    ("projects/<uuid:project>/service_accounts", keys.ServiceAccountsView),
    ("projects/<uuid:project>/service_accounts/<uuid:account>", keys.ServiceAccountView),
    (
        "projects/<uuid:project>/service_accounts/<uuid:account>/api_keys",
        keys.ServiceAccountKeysView,
    ),
    ("projects/<uuid:project>/rate_limits", limits.RateLimitsView),
    ("projects/<uuid:project>/rate_limits/<path:rate_limit>", limits.RateLimitView),
    ("projects/<uuid:project>/spend_limit", limits.ProjectSpendLimitView),
    ("spend_limit", limits.SpendLimitView),
    ("budgets", limits.BudgetsView),
    ("budgets/<uuid:budget>", limits.BudgetView),
    ("users", people.UsersView),
    ("users/<int:user>", people.UserView),
    ("invites", people.InvitesView),
    ("invites/<uuid:invite>", people.InviteView),
    ("admin_api_keys", people.AdminKeysView),
    ("admin_api_keys/<uuid:admin_key>", people.AdminKeyView),
    ("costs", usage.CostsView),
    ("audit_logs", audit_logs.AuditLogsView),
)

_PLATFORM: Final[tuple[tuple[str, type[ApiView]], ...]] = (
    ("organizations", platform.OrganizationsView),
    ("organizations/<uuid:organization>", platform.OrganizationView),
    ("organizations/<uuid:organization>/state", platform.OrganizationStateView),
    ("limits", platform.LimitsView),
    ("limits/<uuid:limit>", platform.LimitView),
    ("models", fleet.ModelsView),
    ("models/<uuid:model>", fleet.ModelView),
    ("backends", fleet.BackendsView),
    ("backends/<uuid:backend>", fleet.BackendView),
    ("deployments", fleet.DeploymentsView),
    ("deployments/<int:deployment>", fleet.DeploymentView),
    ("organizations/<uuid:organization>/terms", plans.OrganizationTermsView),
    ("plans", plans.PlansView),
    ("plans/<uuid:plan>", plans.PlanView),
    ("price_books", prices.PriceBooksView),
    ("price_books/<uuid:price_book>", prices.PriceBookView),
    ("price_books/<uuid:price_book>/volume_tiers", prices.VolumeTiersView),
    ("exchange_rates", exchange.ExchangeRatesView),
    ("rates", prices.RatesView),
    ("rates/preview", prices.RatePreviewView),
    ("rates/<uuid:rate>", prices.RateView),
    ("rates/<uuid:rate>/approve", prices.RateApproveView),
)


def patterns(schema: Callable[[], Any] | None = None) -> Iterator[URLPattern]:
    """All paths but that of the document, each described by a `schema` of its own."""
    for route, view in _VIEWS:
        yield _path(f"organization/{route}", view, schema)
    for kind, usage_view in usage.VIEWS.items():
        yield _path(f"organization/usage/{kind}", usage_view, schema, kind=kind)
    for route, view in _PLATFORM:
        yield _path(f"platform/{route}", view, schema)


def _path(
    route: str, view: type[ApiView], schema: Callable[[], Any] | None, **initkwargs: Any
) -> URLPattern:
    if schema:
        initkwargs["schema"] = schema()
    return path(route, view.as_view(**initkwargs), name=view.route)


urlpatterns = [
    *patterns(),
    path("openapi.json", OpenApiView.as_view(), name="openapi"),
    re_path("", UnknownView.as_view(), name="unknown"),
]
