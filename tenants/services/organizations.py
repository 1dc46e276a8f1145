"""What can be done to organizations while they work; `lifecycle` is how that begins and ends."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from tenants import audit
from tenants.models import Organization, Role, User
from tenants.services.members import member_add, organization_lock, user_create
from tenants.services.projects import project_create
from tenants.valkey import snapshot_changed


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
def organization_rename(*, actor: User, organization: Organization, name: str) -> Organization:
    """Another name; the short name in its addresses stays."""
    organization = organization_lock(organization)
    before, organization.name = organization.name, name
    if before != name:
        organization.save(update_fields=["name"])
        _told(actor, "organization.rename", organization, before, name)
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


@transaction.atomic
def organization_set_keys_end(
    *, actor: User | None, organization: Organization, keys_end_with_member: bool
) -> Organization:
    """Whether the keys of people end when they leave."""
    organization = organization_lock(organization)
    before, organization.keys_end_with_member = (
        organization.keys_end_with_member, keys_end_with_member,
    )  # fmt: skip
    if before != keys_end_with_member:
        organization.save(update_fields=["keys_end_with_member"])
        _told(actor, "organization.set_keys_end", organization, before, keys_end_with_member)
    return organization


@transaction.atomic
def organization_set_second_factor(
    *, actor: User, organization: Organization, is_required: bool
) -> Organization:
    """Whether every member must have a second factor, beside owners and billing."""
    organization = organization_lock(organization)
    before, organization.requires_second_factor = organization.requires_second_factor, is_required
    if before != is_required:
        organization.save(update_fields=["requires_second_factor"])
        _told(actor, "organization.set_second_factor", organization, before, is_required)
    return organization


def _policy_told[V](
    actor: User | None, action: str, organization: Organization, before: V, after: V
) -> Organization:
    _told(actor, action, organization, before, after)
    transaction.on_commit(snapshot_changed)
    return organization


def _told[V](
    actor: User | None, action: str, organization: Organization, before: V, after: V
) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=organization,
        organization=organization,
        before=before,
        after=after,
    )


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
