"""What can be done to keys."""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

from django.db import transaction
from django.utils import timezone

from tenants import audit, keys
from tenants.models import ApiKey, KeyKind, Project, User
from tenants.valkey import snapshot_changed


class NewKey(NamedTuple):
    """A key just made, and its secret, which is shown once and kept nowhere."""

    api_key: ApiKey
    secret: str


@transaction.atomic
def api_key_create(*, actor: User | None, project: Project, name: str) -> NewKey:
    secret = keys.key_mint()
    api_key = ApiKey.objects.create(
        organization=project.organization,
        project=project,
        name=name,
        hint=keys.key_hint(secret),
        digest=keys.key_digest(secret),
        pepper_version=keys.newest_pepper_version(),
        created_by=actor,
    )
    audit.record(
        actor=actor,
        action="api_key.create",
        target=api_key,
        organization=project.organization,
        name=name,
        hint=api_key.hint,
    )
    transaction.on_commit(snapshot_changed)
    return NewKey(api_key, secret)


PLAYGROUND: Final = "Playground"
"""The name of the key that usage shows."""


@transaction.atomic
def playground_key_open(*, actor: User | None, project: Project) -> ApiKey:
    """The one key that `project` has for the playground, made at its first use."""
    api_key, is_new = ApiKey.objects.get_or_create(
        organization=project.organization,
        project=project,
        kind=KeyKind.PLAYGROUND,
        defaults={
            "name": PLAYGROUND,
            "digest": secrets.token_bytes(32),
            "pepper_version": keys.newest_pepper_version(),
            "created_by": actor,
        },
    )
    if is_new:
        audit.record(
            actor=actor,
            action="api_key.create",
            target=api_key,
            organization=project.organization,
            name=PLAYGROUND,
            kind=KeyKind.PLAYGROUND.value,
        )
        transaction.on_commit(snapshot_changed)
    return api_key


@transaction.atomic
def api_key_revoke(*, actor: User | None, api_key: ApiKey) -> ApiKey:
    """Revoke `api_key` for good; revoking it again changes nothing."""
    api_key = ApiKey.objects.select_for_update().get(pk=api_key.pk)
    if api_key.revoked_at is None:
        api_key.revoked_at = timezone.now()
        api_key.save(update_fields=["revoked_at"])
        audit.record(
            actor=actor,
            action="api_key.revoke",
            target=api_key,
            organization=api_key.organization,
            name=api_key.name,
            hint=api_key.hint,
        )
        transaction.on_commit(snapshot_changed)
    return api_key
