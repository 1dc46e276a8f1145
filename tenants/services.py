"""What can be done to organizations, projects and keys. Each act is atomic and audited."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from django.db import transaction
from django.utils import timezone

from tenants import audit, keys
from tenants.models import ApiKey, KeyKind, Membership, Organization, Project, Role, User
from tenants.valkey import snapshot_changed


class NewKey(NamedTuple):
    """A key just made, and its secret, which is shown once and kept nowhere."""

    api_key: ApiKey
    secret: str


@transaction.atomic
def organization_create(*, actor: User | None, name: str, slug: str) -> Organization:
    organization = Organization.objects.create(name=name, slug=slug)
    audit.record(
        actor=actor,
        action="organization.create",
        target=organization,
        organization=organization,
        name=name,
    )
    return organization


@transaction.atomic
def organization_set_share(
    *, actor: User | None, organization: Organization, share: int
) -> Organization:
    """Its weight, 1 to 100, beside other organizations when requests wait."""
    organization = Organization.objects.select_for_update().get(pk=organization.pk)
    before, organization.share = organization.share, share
    organization.full_clean()
    organization.save(update_fields=["share"])
    return _policy_told(actor, "organization.set_share", organization, before, share)


@transaction.atomic
def organization_set_regions(
    *, actor: User | None, organization: Organization, regions: Sequence[str]
) -> Organization:
    """The codes of the only regions that its requests may go to; none are all."""
    organization = Organization.objects.select_for_update().get(pk=organization.pk)
    before, organization.allowed_regions = organization.allowed_regions, sorted(regions)
    organization.save(update_fields=["allowed_regions"])
    after = organization.allowed_regions
    return _policy_told(actor, "organization.set_regions", organization, before, after)


def _policy_told[V](
    actor: User | None, action: str, organization: Organization, before: V, after: V
) -> Organization:
    audit.record(
        actor=actor,
        action=action,
        target=organization,
        organization=organization,
        before=before,
        after=after,
    )
    transaction.on_commit(snapshot_changed)
    return organization


@transaction.atomic
def organization_open(
    *, actor: User | None, name: str, slug: str, owner_email: str, owner_name: str
) -> Organization:
    """Make a customer ready to work: the organization, its owner and a first project.

    An owner who has no account yet gets one without a password, and chooses it by "forgot your
    password".
    """
    organization = organization_create(actor=actor, name=name, slug=slug)
    owner = User.objects.filter(email__iexact=owner_email).first() or user_create(
        actor=actor, email=owner_email, name=owner_name
    )
    member_add(actor=actor, organization=organization, user=owner, role=Role.OWNER)
    project_create(actor=actor, organization=organization, name="Default")
    return organization


@transaction.atomic
def user_create(*, actor: User | None, email: str, name: str) -> User:
    """An account that cannot log in before its person has chosen a password."""
    user = User.objects.create_user(email, None, name=name)
    audit.record(actor=actor, action="user.create", target=user)
    return user


@transaction.atomic
def member_add(
    *, actor: User | None, organization: Organization, user: User, role: Role
) -> Membership:
    membership = Membership.objects.create(organization=organization, user=user, role=role)
    audit.record(
        actor=actor, action="member.add", target=membership, organization=organization, role=role
    )
    return membership


@transaction.atomic
def project_create(*, actor: User | None, organization: Organization, name: str) -> Project:
    project = Project.objects.create(organization=organization, name=name)
    audit.record(
        actor=actor, action="project.create", target=project, organization=organization, name=name
    )
    return project


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
