"""What can be done to organizations, people, projects and keys. Each act is atomic and audited."""

from __future__ import annotations

from tenants.services.invitations import (
    InvitationRefused,
    Problem,
    invitation_accept,
    invitation_check,
    invitation_create,
    invitation_revoke,
    invitation_send_again,
)
from tenants.services.keys import (
    PLAYGROUND,
    NewKey,
    api_key_create,
    api_key_revoke,
    playground_key_open,
)
from tenants.services.lifecycle import (
    GRACE,
    organization_apply,
    organization_approve,
    organization_archive,
    organization_delete,
    organization_erase,
    organization_lift,
    organization_refuse,
    organization_restore,
    organization_suspend,
    organizations_approve_set,
)
from tenants.services.members import (
    member_add,
    member_remove,
    member_set_role,
    user_create,
)
from tenants.services.operators import (
    HELPERS,
    impersonation_end,
    impersonation_start,
    impersonations_lapse,
    staff_add,
    staff_remove,
    staff_set_role,
)
from tenants.services.organizations import (
    organization_create,
    organization_open,
    organization_rename,
    organization_set_regions,
    organization_set_share,
)
from tenants.services.ownership import (
    ownership_accept,
    ownership_offer,
    ownership_withdraw,
)
from tenants.services.projects import (
    project_archive,
    project_create,
    project_rename,
    project_restore,
    service_account_archive,
    service_account_create,
)

__all__ = [
    "GRACE",
    "HELPERS",
    "PLAYGROUND",
    "InvitationRefused",
    "NewKey",
    "Problem",
    "api_key_create",
    "api_key_revoke",
    "impersonation_end",
    "impersonation_start",
    "impersonations_lapse",
    "invitation_accept",
    "invitation_check",
    "invitation_create",
    "invitation_revoke",
    "invitation_send_again",
    "member_add",
    "member_remove",
    "member_set_role",
    "organization_apply",
    "organization_approve",
    "organization_archive",
    "organization_create",
    "organization_delete",
    "organization_erase",
    "organization_lift",
    "organization_open",
    "organization_refuse",
    "organization_rename",
    "organization_restore",
    "organization_set_regions",
    "organization_set_share",
    "organization_suspend",
    "organizations_approve_set",
    "ownership_accept",
    "ownership_offer",
    "ownership_withdraw",
    "playground_key_open",
    "project_archive",
    "project_create",
    "project_rename",
    "project_restore",
    "service_account_archive",
    "service_account_create",
    "staff_add",
    "staff_remove",
    "staff_set_role",
    "user_create",
]
