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
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from console.currencies import amounts_in, currency_of
from console.http import OperatorRequest, OrganizationRequest
from console.second_factor import led_to_it, member_must, staff_must
from console.stopped import why_stopped
from tenants import tenancy
from tenants.models import (
    Impersonation,
    Membership,
    Organization,
    OrganizationState,
    Role,
    StaffRole,
)
from tenants.services import impersonation_saw


class Who(StrEnum):
    """The audiences of a page: those of `STAFF` are operators, those of `ROLES` members."""

    ANYONE = "anyone"
    USER = "user"
    OPERATOR = "operator"
    HELPER = "helper"
    FINANCE = "finance"
    ADMINISTRATOR = "administrator"
    MEMBER = "member"
    OWNER = "owner"
    MANAGER = "manager"
    KEY_MAKER = "key maker"
    LIMIT_SETTER = "limit setter"
    SPENDER = "spender"
    BOOKKEEPER = "bookkeeper"
    AUDITOR = "auditor"


STAFF: Final[dict[Who, frozenset[StaffRole]]] = {
    Who.OPERATOR: frozenset(StaffRole),
    Who.HELPER: frozenset({StaffRole.ADMINISTRATOR, StaffRole.SUPPORT}),
    Who.FINANCE: frozenset({StaffRole.ADMINISTRATOR, StaffRole.FINANCE}),
    Who.ADMINISTRATOR: frozenset({StaffRole.ADMINISTRATOR}),
}

ROLES: Final[dict[Who, frozenset[Role]]] = {
    Who.MEMBER: frozenset(Role),
    Who.OWNER: frozenset({Role.OWNER}),
    Who.MANAGER: frozenset({Role.OWNER, Role.ADMIN}),
    Who.KEY_MAKER: frozenset({Role.OWNER, Role.ADMIN, Role.DEVELOPER}),
    Who.LIMIT_SETTER: frozenset({Role.OWNER, Role.ADMIN}),
    Who.SPENDER: frozenset({Role.OWNER, Role.ADMIN, Role.BILLING}),
    Who.BOOKKEEPER: frozenset({Role.OWNER, Role.ADMIN, Role.BILLING, Role.AUDITOR}),
    Who.AUDITOR: frozenset({Role.OWNER, Role.ADMIN, Role.AUDITOR}),
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
    "verify_invoice": Who.ANYONE,
    "leaked_key": Who.ANYONE,
    "gitleaks": Who.ANYONE,
    "stripe_webhook": Who.ANYONE,
    "mailbox": Who.ANYONE,
    "pricing": Who.ANYONE,
    "home": Who.USER,
    "sso_start": Who.ANYONE,
    "account": Who.USER,
    "account_session_end": Who.USER,
    "organization_create": Who.USER,
    "invitation": Who.ANYONE,
    "org_home": Who.MEMBER,
    "org_closed": Who.MEMBER,
    "org_settings": Who.MANAGER,
    "org_archive": Who.OWNER,
    "org_delete": Who.OWNER,
    "org_restore": Who.OWNER,
    "members": Who.MEMBER,
    "member_role": Who.MANAGER,
    "member_remove": Who.MANAGER,
    "member_leave": Who.MEMBER,
    "invitation_create": Who.MANAGER,
    "invitation_send_again": Who.MANAGER,
    "invitation_revoke": Who.MANAGER,
    "ownership_offer": Who.OWNER,
    "ownership_answer": Who.MEMBER,
    "projects": Who.MEMBER,
    "project_create": Who.MANAGER,
    "project": Who.MEMBER,
    "project_rename": Who.MANAGER,
    "project_archive": Who.MANAGER,
    "project_restore": Who.MANAGER,
    "service_account_create": Who.MANAGER,
    "service_account_archive": Who.MANAGER,
    "keys": Who.MEMBER,
    "key_create": Who.KEY_MAKER,
    "keys_revoke": Who.MANAGER,
    "keys_policy": Who.MANAGER,
    "key_detail": Who.MEMBER,
    "key_edit": Who.KEY_MAKER,
    "key_rotate": Who.KEY_MAKER,
    "key_retiring_end": Who.KEY_MAKER,
    "key_revoke": Who.KEY_MAKER,
    "key_first_request": Who.KEY_MAKER,
    "admin_keys": Who.MANAGER,
    "admin_key_create": Who.MANAGER,
    "admin_key_revoke": Who.MANAGER,
    "playground": Who.KEY_MAKER,
    "playground_embeddings": Who.KEY_MAKER,
    "playground_rerank": Who.KEY_MAKER,
    "playground_transcription": Who.KEY_MAKER,
    "usage": Who.MEMBER,
    "usage_csv": Who.MEMBER,
    "requests": Who.MEMBER,
    "requests_csv": Who.MEMBER,
    "request_detail": Who.MEMBER,
    "sign_on": Who.OWNER,
    "second_factor_rule": Who.OWNER,
    "sso_provider": Who.OWNER,
    "sso_remove": Who.OWNER,
    "sso_enforce": Who.OWNER,
    "sso_domain_add": Who.OWNER,
    "sso_domain_verify": Who.OWNER,
    "sso_domain_remove": Who.OWNER,
    "limits": Who.MEMBER,
    "limit_add": Who.LIMIT_SETTER,
    "limit_remove": Who.LIMIT_SETTER,
    "budgets": Who.MEMBER,
    "budget_add": Who.SPENDER,
    "budget_edit": Who.SPENDER,
    "budget_remove": Who.SPENDER,
    "budget_alerts_seen": Who.SPENDER,
    "billing": Who.MEMBER,
    "costs": Who.MEMBER,
    "costs_csv": Who.MEMBER,
    "statement": Who.BOOKKEEPER,
    "statement_csv": Who.BOOKKEEPER,
    "invoices": Who.BOOKKEEPER,
    "invoice": Who.BOOKKEEPER,
    "invoice_pdf": Who.BOOKKEEPER,
    "invoice_usage": Who.BOOKKEEPER,
    "invoice_bundle": Who.BOOKKEEPER,
    "credit_note_pdf": Who.BOOKKEEPER,
    "billing_profile": Who.SPENDER,
    "top_up": Who.SPENDER,
    "top_up_payment": Who.SPENDER,
    "payment_confirm": Who.SPENDER,
    "auto_top_up": Who.SPENDER,
    "payment_method": Who.SPENDER,
    "plan": Who.MEMBER,
    "plan_choose": Who.SPENDER,
    "audit": Who.AUDITOR,
    "audit_export": Who.AUDITOR,
    "models": Who.MEMBER,
    "org_docs": Who.MEMBER,
    "org_docs_page": Who.MEMBER,
    "model": Who.MEMBER,
    "impersonation_end": Who.HELPER,
    "operator_overview": Who.OPERATOR,
    "operator_staff": Who.OPERATOR,
    "operator_staff_add": Who.ADMINISTRATOR,
    "operator_staff_role": Who.ADMINISTRATOR,
    "operator_staff_remove": Who.ADMINISTRATOR,
    "operator_waiting": Who.OPERATOR,
    "operator_waiting_rule": Who.ADMINISTRATOR,
    "operator_sign_up": Who.ADMINISTRATOR,
    "operator_waiting_approve": Who.ADMINISTRATOR,
    "operator_waiting_refuse": Who.ADMINISTRATOR,
    "operator_organization_suspend": Who.ADMINISTRATOR,
    "operator_organization_lift": Who.ADMINISTRATOR,
    "operator_organization_delete": Who.ADMINISTRATOR,
    "operator_organization_restore": Who.ADMINISTRATOR,
    "operator_impersonate": Who.HELPER,
    "operator_organizations": Who.OPERATOR,
    "operator_organization": Who.OPERATOR,
    "operator_organization_add": Who.ADMINISTRATOR,
    "operator_organization_routing": Who.ADMINISTRATOR,
    "operator_organization_plan": Who.FINANCE,
    "operator_organization_terms": Who.FINANCE,
    "operator_organization_book": Who.FINANCE,
    "operator_organization_currency": Who.FINANCE,
    "operator_organization_vat": Who.FINANCE,
    "operator_organization_payment": Who.FINANCE,
    "operator_organization_grant": Who.FINANCE,
    "operator_organization_month": Who.FINANCE,
    "operator_audit": Who.OPERATOR,
    "operator_audit_export": Who.OPERATOR,
    "operator_organization_audit": Who.OPERATOR,
    "operator_organization_audit_export": Who.OPERATOR,
    "operator_reason": Who.OPERATOR,
    "operator_requests": Who.OPERATOR,
    "operator_requests_csv": Who.OPERATOR,
    "operator_request": Who.OPERATOR,
    "operator_explorer": Who.OPERATOR,
    "operator_explorer_csv": Who.OPERATOR,
    "operator_metering": Who.OPERATOR,
    "operator_model_release": Who.ADMINISTRATOR,
    "operator_dead_retry": Who.FINANCE,
    "operator_limits": Who.OPERATOR,
    "operator_limit_remove": Who.ADMINISTRATOR,
    "operator_organization_limits": Who.OPERATOR,
    "operator_plans": Who.OPERATOR,
    "operator_plan_add": Who.ADMINISTRATOR,
    "operator_plan": Who.ADMINISTRATOR,
    "operator_backends": Who.OPERATOR,
    "operator_backend": Who.OPERATOR,
    "operator_backend_add": Who.ADMINISTRATOR,
    "operator_backend_edit": Who.ADMINISTRATOR,
    "operator_backend_test": Who.OPERATOR,
    "operator_backend_state": Who.ADMINISTRATOR,
    "operator_queues": Who.OPERATOR,
    "operator_region_add": Who.ADMINISTRATOR,
    "operator_models": Who.OPERATOR,
    "operator_model_add": Who.ADMINISTRATOR,
    "operator_model_catalog": Who.ADMINISTRATOR,
    "operator_model": Who.OPERATOR,
    "operator_model_edit": Who.ADMINISTRATOR,
    "operator_model_card": Who.ADMINISTRATOR,
    "operator_model_status": Who.ADMINISTRATOR,
    "operator_model_visibility": Who.ADMINISTRATOR,
    "operator_model_rates": Who.FINANCE,
    "operator_model_enabled": Who.ADMINISTRATOR,
    "operator_model_routing": Who.ADMINISTRATOR,
    "operator_routing": Who.OPERATOR,
    "operator_routing_try": Who.OPERATOR,
    "operator_deployments": Who.OPERATOR,
    "operator_deployment_add": Who.ADMINISTRATOR,
    "operator_deployment_edit": Who.ADMINISTRATOR,
    "operator_deployment_remove": Who.ADMINISTRATOR,
    "operator_revenue": Who.OPERATOR,
    "operator_backend_cost": Who.FINANCE,
    "operator_books": Who.OPERATOR,
    "operator_books_check": Who.FINANCE,
    "operator_accounts": Who.OPERATOR,
    "operator_transfers": Who.OPERATOR,
    "operator_transfer": Who.OPERATOR,
    "operator_transfer_events": Who.OPERATOR,
    "operator_prices": Who.OPERATOR,
    "operator_price_book": Who.OPERATOR,
    "operator_price_book_add": Who.FINANCE,
    "operator_price_book_edit": Who.FINANCE,
    "operator_price_tiers": Who.FINANCE,
    "operator_price": Who.FINANCE,
    "operator_rate_approve": Who.FINANCE,
    "operator_rate_withdraw": Who.FINANCE,
    "operator_invoices": Who.OPERATOR,
    "operator_invoice": Who.OPERATOR,
    "operator_invoice_finalise": Who.FINANCE,
    "operator_invoice_release": Who.FINANCE,
    "operator_invoice_void": Who.FINANCE,
    "operator_invoice_write_off": Who.FINANCE,
    "operator_credit_note": Who.FINANCE,
    "operator_invoice_payment": Who.FINANCE,
    "operator_invoice_pdf": Who.OPERATOR,
    "operator_invoice_usage": Who.OPERATOR,
    "operator_credit_note_pdf": Who.OPERATOR,
    "operator_vat": Who.OPERATOR,
    "operator_vat_csv": Who.FINANCE,
    "operator_exchange_rates": Who.OPERATOR,
    "operator_exchange_rate_add": Who.FINANCE,
    "operator_payments": Who.OPERATOR,
    "operator_payment": Who.OPERATOR,
    "operator_payment_refund": Who.FINANCE,
    "operator_payment_excess": Who.FINANCE,
    "operator_refund_again": Who.FINANCE,
    "operator_dunning": Who.OPERATOR,
    "operator_stripe": Who.OPERATOR,
    "operator_outbox_item": Who.FINANCE,
    "operator_outbox_retry": Who.FINANCE,
    "operator_webhooks": Who.OPERATOR,
    "operator_webhook": Who.FINANCE,
    "operator_webhook_replay": Who.FINANCE,
    "operator_reconciliation": Who.OPERATOR,
}

CHANGES: Final[dict[str, Who]] = {"operator_organization_limits": Who.ADMINISTRATOR}
"""Pages that fewer may send to than may read."""

SECRETIVE: Final = frozenset({Who.KEY_MAKER})
"""Audiences whose pages make and show secrets: not for whoever looks over a shoulder."""

STILL_TAKEN: Final = frozenset({
    "admin_key_revoke",
    "budget_alerts_seen",
    "invitation_revoke",
    "key_retiring_end",
    "key_revoke",
    "keys_revoke",
    "member_leave",
    "member_remove",
    "org_delete",
    "org_restore",
    "payment_confirm",
    "payment_method",
    "project_archive",
    "service_account_archive",
    "top_up",
})  # fmt: skip
"""What members may still do where their organization is stopped: what takes away, and to pay."""

CLOSED: Final = frozenset({OrganizationState.WAITING, OrganizationState.REFUSED})
"""Where there is nothing to see yet but why."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SEEN_S: Final = 60

type View[R: HttpRequest, **P] = Callable[Concatenate[R, P], HttpResponseBase]


class NotNow(PermissionDenied):
    """403 for a reason other than the role: its text says which, and is shown."""


def may_open(request: HttpRequest, page: str) -> bool:
    """Whether whoever asks has the role for `page`, an operator's or one of their organization.

    Who looks over a member's shoulder has the member's, but for secrets.
    """
    who = ACCESS[page]
    if who in STAFF:
        return getattr(request.user, "staff_role", "") in STAFF[who]
    if who in SECRETIVE and getattr(request, "impersonation", None):
        return False
    member: Membership | None = getattr(request, "member", None)
    return member is not None and member.role in ROLES[who]


def may_act(request: HttpRequest, page: str) -> bool:
    """Whether what is sent to `page` would be taken: whoever asks has the role, and nothing that
    stops the organization stands against it.
    """
    organization: Organization | None = getattr(request, "organization", None)
    return may_open(request, page) and (organization is None or takes(organization, page))


def takes(organization: Organization, page: str) -> bool:
    """Whether `organization`, as it is now, takes what is sent to `page`."""
    return organization.is_active or page in STILL_TAKEN


def member_page[**P](view: View[OrganizationRequest, P]) -> Callable[..., HttpResponseBase]:
    """A page under `/o/<org>/`: sets `request.organization` and `request.member`.

    A stranger gets 404, a member without the right 403, someone logged out the log-in page. An
    operator who looks over a member's shoulder sees what they see, but for secrets.
    """
    page = view.__name__
    who = ACCESS[page]
    allowed = ROLES[who]

    @wraps(view)
    def guarded(
        request: OrganizationRequest, org: str, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        request.member = _membership(request, org)
        request.organization = request.member.organization
        tenancy.become(tenancy.member(request.organization.pk, request.user.pk))
        if request.member.role not in allowed:
            raise PermissionDenied
        if led := led_to_it(request, must=member_must(request.member)):
            return led
        if request.impersonation and who in SECRETIVE:
            raise NotNow(_("This page may show secrets, which are for the members alone."))
        if request.organization.state in CLOSED and page != "org_closed":
            return redirect("org_closed", request.organization.slug)
        _state_check(request, page)
        if request.impersonation:
            _seen_tell(request.impersonation, request.path)
        with amounts_in(currency_of(request.organization)):
            return view(request, *args, **kwargs)

    return guarded


def operator_page[**P](view: View[OperatorRequest, P]) -> Callable[..., HttpResponseBase]:
    """A page under `/operator/`: 404 to everyone who is not staff, 403 to other staff roles."""
    reads = STAFF[ACCESS[view.__name__]]
    sends = STAFF[CHANGES.get(view.__name__, ACCESS[view.__name__])]

    @wraps(view)
    def guarded(request: OperatorRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not request.user.is_staff:
            raise Http404
        if led := led_to_it(request, must=staff_must()):
            return led
        if request.user.staff_role not in (reads if request.method in SAFE else sends):
            raise PermissionDenied
        tenancy.become(tenancy.STAFF)
        return view(request, *args, **kwargs)

    return guarded


def _membership(request: OrganizationRequest, org: str) -> Membership:
    """The member's own, or the one that an operator looks over the shoulder of."""
    lent = request.impersonation
    if lent:
        tenancy.become(tenancy.member(lent.organization_id, request.user.pk))
    found = Membership.objects.filter(
        user=lent.member_id if lent else request.user.pk, organization__slug=org
    )
    if lent:
        found = found.filter(organization=lent.organization_id)
    if member := found.select_related("organization__terms").first():
        return member
    raise Http404


def _seen_tell(impersonation: Impersonation, path: str) -> None:
    """Put on record what an operator sees of a customer; a page that asks again, once a minute."""
    if cache.add(f"seen:{impersonation.pk}:{path}", value=True, timeout=SEEN_S):
        impersonation_saw(impersonation=impersonation, path=path)


def _state_check(request: OrganizationRequest, page: str) -> None:
    """NotNow for a change where the organization is stopped."""
    if request.method not in SAFE and not takes(request.organization, page):
        raise NotNow(why_stopped(request.organization))
