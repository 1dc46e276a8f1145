"""Who may open what: the ACCESS table, and the decorators that enforce it.

A page without a row here does not exist: `@page` looks its row up when it is imported, and a test
walks the URL resolver.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Concatenate, Final

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase

from console.http import OperatorRequest, OrganizationRequest
from tenants.models import Membership, Role


class Who(StrEnum):
    """The audiences of a page. The first three ask nothing of an organization."""

    ANYONE = "anyone"
    USER = "user"
    OPERATOR = "operator"
    MEMBER = "member"
    KEY_MAKER = "key maker"
    LIMIT_SETTER = "limit setter"
    SPENDER = "spender"


ROLES: Final[dict[Who, frozenset[Role]]] = {
    Who.MEMBER: frozenset(Role),
    Who.KEY_MAKER: frozenset({Role.OWNER, Role.ADMIN, Role.DEVELOPER}),
    Who.LIMIT_SETTER: frozenset({Role.OWNER, Role.ADMIN}),
    Who.SPENDER: frozenset({Role.OWNER, Role.ADMIN, Role.BILLING}),
}

ACCESS: Final[dict[str, Who]] = {
    "healthz": Who.ANYONE,
    "readyz": Who.ANYONE,
    "metrics": Who.ANYONE,
    "theme": Who.ANYONE,
    "docs": Who.ANYONE,
    "docs_page": Who.ANYONE,
    "docs_markdown": Who.ANYONE,
    "openapi": Who.ANYONE,
    "llms_txt": Who.ANYONE,
    "home": Who.USER,
    "org_home": Who.MEMBER,
    "keys": Who.MEMBER,
    "key_create": Who.KEY_MAKER,
    "key_revoke": Who.KEY_MAKER,
    "key_first_request": Who.KEY_MAKER,
    "playground": Who.KEY_MAKER,
    "playground_embeddings": Who.KEY_MAKER,
    "playground_rerank": Who.KEY_MAKER,
    "playground_transcription": Who.KEY_MAKER,
    "usage": Who.MEMBER,
    "usage_csv": Who.MEMBER,
    "requests": Who.MEMBER,
    "requests_csv": Who.MEMBER,
    "request_detail": Who.MEMBER,
    "limits": Who.MEMBER,
    "limit_add": Who.LIMIT_SETTER,
    "limit_remove": Who.LIMIT_SETTER,
    "budgets": Who.MEMBER,
    "budget_add": Who.SPENDER,
    "budget_edit": Who.SPENDER,
    "budget_remove": Who.SPENDER,
    "budget_alerts_seen": Who.SPENDER,
    "models": Who.MEMBER,
    "org_docs": Who.MEMBER,
    "org_docs_page": Who.MEMBER,
    "model": Who.MEMBER,
    "operator_overview": Who.OPERATOR,
    "operator_organizations": Who.OPERATOR,
    "operator_organization": Who.OPERATOR,
    "operator_organization_add": Who.OPERATOR,
    "operator_organization_routing": Who.OPERATOR,
    "operator_organization_terms": Who.OPERATOR,
    "operator_organization_payment": Who.OPERATOR,
    "operator_organization_grant": Who.OPERATOR,
    "operator_requests": Who.OPERATOR,
    "operator_requests_csv": Who.OPERATOR,
    "operator_request": Who.OPERATOR,
    "operator_explorer": Who.OPERATOR,
    "operator_explorer_csv": Who.OPERATOR,
    "operator_metering": Who.OPERATOR,
    "operator_model_release": Who.OPERATOR,
    "operator_dead_retry": Who.OPERATOR,
    "operator_limits": Who.OPERATOR,
    "operator_limit_remove": Who.OPERATOR,
    "operator_organization_limits": Who.OPERATOR,
    "operator_plan_add": Who.OPERATOR,
    "operator_plan": Who.OPERATOR,
    "operator_backends": Who.OPERATOR,
    "operator_backend": Who.OPERATOR,
    "operator_backend_add": Who.OPERATOR,
    "operator_backend_edit": Who.OPERATOR,
    "operator_backend_test": Who.OPERATOR,
    "operator_backend_state": Who.OPERATOR,
    "operator_queues": Who.OPERATOR,
    "operator_region_add": Who.OPERATOR,
    "operator_models": Who.OPERATOR,
    "operator_model_add": Who.OPERATOR,
    "operator_model_catalog": Who.OPERATOR,
    "operator_model": Who.OPERATOR,
    "operator_model_edit": Who.OPERATOR,
    "operator_model_card": Who.OPERATOR,
    "operator_model_status": Who.OPERATOR,
    "operator_model_visibility": Who.OPERATOR,
    "operator_model_rates": Who.OPERATOR,
    "operator_model_enabled": Who.OPERATOR,
    "operator_model_routing": Who.OPERATOR,
    "operator_routing": Who.OPERATOR,
    "operator_routing_try": Who.OPERATOR,
    "operator_deployments": Who.OPERATOR,
    "operator_deployment_add": Who.OPERATOR,
    "operator_deployment_edit": Who.OPERATOR,
    "operator_deployment_remove": Who.OPERATOR,
}

type View[R: HttpRequest, **P] = Callable[Concatenate[R, P], HttpResponseBase]


def member_page[**P](view: View[OrganizationRequest, P]) -> Callable[..., HttpResponseBase]:
    """A page under `/o/<org>/`: sets `request.organization` and `request.member`.

    A stranger gets 404, a member without the right 403, someone logged out the log-in page.
    """
    allowed = ROLES[ACCESS[view.__name__]]

    @wraps(view)
    def guarded(
        request: OrganizationRequest, org: str, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        member = _membership(request, org)
        if member.role not in allowed:
            raise PermissionDenied
        request.member, request.organization = member, member.organization
        return view(request, *args, **kwargs)

    return guarded


def operator_page[**P](view: View[OperatorRequest, P]) -> Callable[..., HttpResponseBase]:
    """A page under `/operator/`: 404 to everyone who is not staff."""
    if ACCESS[view.__name__] is not Who.OPERATOR:
        raise ValueError(f"{view.__name__} is not an operator's page in ACCESS.")

    @wraps(view)
    def guarded(request: OperatorRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not request.user.is_staff:
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


def _membership(request: HttpRequest, org: str) -> Membership:
    found = Membership.objects.filter(user=request.user.pk, organization__slug=org)
    if member := found.select_related("organization").first():
        return member
    raise Http404
