"""Who: people, organizations, projects, API keys and the audit trail."""

from __future__ import annotations

from tenants.models.audit import AuditEntry
from tenants.models.keys import ApiKey, ApiKeyQuerySet, KeyKind
from tenants.models.members import Membership, Role
from tenants.models.organizations import (
    Organization,
    OrganizationQuerySet,
    Project,
    TenantQuerySet,
    new_id,
)
from tenants.models.people import User, UserManager

__all__ = [
    "ApiKey",
    "ApiKeyQuerySet",
    "AuditEntry",
    "KeyKind",
    "Membership",
    "Organization",
    "OrganizationQuerySet",
    "Project",
    "Role",
    "TenantQuerySet",
    "User",
    "UserManager",
    "new_id",
]
