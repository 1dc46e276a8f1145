"""Who may do what: a row for each route of the management API, for reading and for changing.

A route without a row does not exist. An admin key may what an admin may, and without its write
scope it only reads.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from console.access import ROLES, STAFF, Who
from tenants.models import Role, StaffRole


class Allowed(NamedTuple):
    """Who may read, and who may change; None is nobody."""

    reads: Who
    changes: Who | None = None

    def roles(self, *, change: bool) -> frozenset[Role]:
        who = self.changes if change else self.reads
        return ROLES[who] if who else frozenset()

    def staff(self, *, change: bool) -> frozenset[StaffRole]:
        who = self.changes if change else self.reads
        return STAFF[who] if who else frozenset()


STILL_TAKEN: Final = frozenset({
    ("DELETE", "admin_api_key"),
    ("DELETE", "invite"),
    ("DELETE", "project_api_key"),
    ("DELETE", "service_account"),
    ("DELETE", "user"),
    ("POST", "project_archive"),
})  # fmt: skip
"""What a stopped organization may still change: what takes away, as in `console.access`."""

ROUTES: Final[dict[str, Allowed]] = {
    "openapi": Allowed(Who.ANYONE),
    "unknown": Allowed(Who.ANYONE),
    "projects": Allowed(Who.MEMBER, Who.MANAGER),
    "project": Allowed(Who.MEMBER, Who.MANAGER),
    "project_archive": Allowed(Who.MEMBER, Who.MANAGER),
    "project_users": Allowed(Who.MEMBER),
    "project_user": Allowed(Who.MEMBER),
    "project_api_keys": Allowed(Who.MEMBER, Who.KEY_MAKER),
    "project_api_key": Allowed(Who.MEMBER, Who.KEY_MAKER),
    "project_api_key_rotate": Allowed(Who.MEMBER, Who.KEY_MAKER),
    "service_accounts": Allowed(Who.MEMBER, Who.MANAGER),
    "service_account": Allowed(Who.MEMBER, Who.MANAGER),
    "service_account_api_keys": Allowed(Who.MEMBER, Who.MANAGER),
    "project_rate_limits": Allowed(Who.MEMBER),
    "project_rate_limit": Allowed(Who.MEMBER, Who.LIMIT_SETTER),
    "project_spend_limit": Allowed(Who.MEMBER, Who.SPENDER),
    "spend_limit": Allowed(Who.MEMBER, Who.SPENDER),
    "budgets": Allowed(Who.MEMBER, Who.SPENDER),
    "budget": Allowed(Who.MEMBER, Who.SPENDER),
    "users": Allowed(Who.MEMBER, Who.MANAGER),
    "user": Allowed(Who.MEMBER, Who.MANAGER),
    "invites": Allowed(Who.MEMBER, Who.MANAGER),
    "invite": Allowed(Who.MEMBER, Who.MANAGER),
    "admin_api_keys": Allowed(Who.MANAGER, Who.MANAGER),
    "admin_api_key": Allowed(Who.MANAGER, Who.MANAGER),
    "usage": Allowed(Who.MEMBER),
    "costs": Allowed(Who.MEMBER),
    "audit_logs": Allowed(Who.AUDITOR),
    "platform_organizations": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_organization": Allowed(Who.OPERATOR),
    "platform_organization_state": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_limits": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_limit": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_models": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_model": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_backends": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_backend": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_deployments": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_deployment": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_organization_terms": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_plans": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_plan": Allowed(Who.OPERATOR, Who.ADMINISTRATOR),
    "platform_price_books": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_price_book": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_volume_tiers": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_exchange_rates": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_rates": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_rate_preview": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_rate": Allowed(Who.OPERATOR, Who.FINANCE),
    "platform_rate_approve": Allowed(Who.OPERATOR, Who.FINANCE),
}
