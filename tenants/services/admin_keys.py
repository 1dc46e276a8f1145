"""What can be done to admin keys."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from tenants import audit, keys
from tenants.models import AdminKey, Organization, User
from tenants.services.keys import expiry_facts, secret_facts


class NewAdminKey(NamedTuple):
    """A key just made, and its secret, which is shown once and kept nowhere."""

    admin_key: AdminKey
    secret: str


@transaction.atomic
def admin_key_create(
    *,
    actor: User | None,
    organization: Organization,
    name: str,
    may_write: bool,
    expires_at: datetime | None,
) -> NewAdminKey:
    """A key for the management API of `organization`. ValidationError says why not."""
    secret = keys.key_mint(keys.ADMIN_PREFIX)
    admin_key = AdminKey.objects.create(
        organization=organization,
        name=name,
        may_write=may_write,
        created_by=actor,
        **secret_facts(secret),
        **expiry_facts(expires_at),
    )
    audit.record(
        actor=actor,
        action="admin_key.create",
        target=admin_key,
        organization=organization,
        name=name,
        hint=admin_key.hint,
        may_write=may_write,
        expires_at=expires_at and expires_at.isoformat(),
    )
    return NewAdminKey(admin_key, secret)


@transaction.atomic
def admin_key_revoke(*, actor: User | None, admin_key: AdminKey, reason: str = "") -> AdminKey:
    """Revoke `admin_key` for good; revoking it again changes nothing."""
    admin_key = AdminKey.objects.select_for_update().get(pk=admin_key.pk)
    if admin_key.revoked_at is None:
        admin_key.revoked_at = timezone.now()
        admin_key.save(update_fields=["revoked_at"])
        audit.record(
            actor=actor,
            action="admin_key.revoke",
            target=admin_key,
            organization=admin_key.organization,
            name=admin_key.name,
            hint=admin_key.hint,
            reason=reason,
        )
    return admin_key


def admin_key_find(secret: str) -> AdminKey | None:
    """The active admin key of `secret`; junk and API keys are refused without a lookup."""
    if not secret.startswith(keys.ADMIN_PREFIX) or not keys.key_is_well_formed(secret):
        return None
    found = AdminKey.objects.active().filter(digest__in=[*keys.key_digests(secret)])
    return found.select_related("organization").first()
