"""The only writer of the audit trail."""

from __future__ import annotations

from typing import Any

from django.db import connection, models

from tenants.models import AuditEntry, Organization, User


def record(
    *,
    actor: User | None,
    action: str,
    target: models.Model,
    organization: Organization | None = None,
    **data: Any,
) -> AuditEntry:
    """Put `action` on record, in the transaction of the act itself.

    `actor` is None for the platform's own acts; `organization` is None for acts on the platform.
    `data` holds JSON values and never a secret or a prompt.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An audit entry belongs to the transaction of the act it records.")
    return AuditEntry.objects.create(
        actor=actor,
        action=action,
        organization=organization,
        target_type=target._meta.model_name or "",
        target_id=str(target.pk),
        data=data,
    )
