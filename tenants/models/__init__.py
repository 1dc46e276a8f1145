"""Who: people, organizations, projects, API keys and the audit trail."""

from __future__ import annotations

from tenants.models.audit import (
    PLATFORM,
    AnchoredHead,
    AuditAnchor,
    AuditEntry,
    AuditEntryQuerySet,
    AuditHead,
    AuditStanding,
    PersonKey,
)
from tenants.models.keys import (
    UNUSED,
    AdminKey,
    ApiKey,
    ApiKeyQuerySet,
    KeyKind,
    KeyLeak,
    LeakSource,
    RetiringSecret,
)
from tenants.models.members import (
    INVITATION_LASTS,
    OFFER_LASTS,
    Invitation,
    Membership,
    OwnershipOffer,
    Role,
)
from tenants.models.operators import IMPERSONATION_LASTS, Impersonation, PlatformPolicy
from tenants.models.organizations import (
    Organization,
    OrganizationQuerySet,
    OrganizationState,
    Project,
    ProjectQuerySet,
    ServiceAccount,
    ServiceAccountQuerySet,
    TenantQuerySet,
    new_id,
)
from tenants.models.people import StaffRole, User, UserManager
from tenants.models.sso import JOINS_AS, SsoDomain, SsoProvider

__all__ = [
    "IMPERSONATION_LASTS",
    "INVITATION_LASTS",
    "JOINS_AS",
    "OFFER_LASTS",
    "PLATFORM",
    "UNUSED",
    "AdminKey",
    "AnchoredHead",
    "ApiKey",
    "ApiKeyQuerySet",
    "AuditAnchor",
    "AuditEntry",
    "AuditEntryQuerySet",
    "AuditHead",
    "AuditStanding",
    "Impersonation",
    "Invitation",
    "KeyKind",
    "KeyLeak",
    "LeakSource",
    "Membership",
    "Organization",
    "OrganizationQuerySet",
    "OrganizationState",
    "OwnershipOffer",
    "PersonKey",
    "PlatformPolicy",
    "Project",
    "ProjectQuerySet",
    "RetiringSecret",
    "Role",
    "ServiceAccount",
    "ServiceAccountQuerySet",
    "SsoDomain",
    "SsoProvider",
    "StaffRole",
    "TenantQuerySet",
    "User",
    "UserManager",
    "new_id",
]
