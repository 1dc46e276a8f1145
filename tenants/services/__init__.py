"""What can be done to organizations, people, projects and keys. Each act is atomic and audited."""

from __future__ import annotations

from tenants.services.keys import (
    PLAYGROUND,
    NewKey,
    api_key_create,
    api_key_revoke,
    playground_key_open,
)
from tenants.services.members import (
    member_add,
    user_create,
)
from tenants.services.organizations import (
    organization_create,
    organization_open,
    organization_set_regions,
    organization_set_share,
    project_create,
)

__all__ = [
    "PLAYGROUND",
    "NewKey",
    "api_key_create",
    "api_key_revoke",
    "member_add",
    "organization_create",
    "organization_open",
    "organization_set_regions",
    "organization_set_share",
    "playground_key_open",
    "project_create",
    "user_create",
]
