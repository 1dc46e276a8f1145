"""How an organization is let in, stopped, deleted and erased."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants import audit
from tenants.models import (
    AdminKey,
    ApiKey,
    Invitation,
    Membership,
    Organization,
    OrganizationState,
    OwnershipOffer,
    PlatformPolicy,
    Role,
    ServiceAccount,
    SsoDomain,
    SsoProvider,
    User,
)
from tenants.services.members import member_add, organization_lock
from tenants.services.organizations import organization_create
from tenants.services.projects import project_create
from tenants.valkey import snapshot_changed

GRACE: Final = timedelta(days=30)
"""How long a deleted organization can be restored."""

_DELETABLE: Final = {
    OrganizationState.ACTIVE,
    OrganizationState.SUSPENDED,
    OrganizationState.ARCHIVED,
}


@transaction.atomic
def organization_apply(*, actor: User, name: str, slug: str) -> Organization:
    """Open an organization of `actor`'s own: at once, or once an administrator has let it in.

    ValidationError when they are an operator, or one of theirs waits already.
    """
    if actor.is_staff:
        raise ValidationError(_("Operators own no organization."))
    User.objects.select_for_update().get(pk=actor.pk)
    if Organization.objects.for_user(actor).filter(state=OrganizationState.WAITING).exists():
        raise ValidationError(
            _("One of your organizations waits for approval already: make the next after that.")
        )
    organization = organization_create(actor=actor, name=name, slug=slug)
    if PlatformPolicy.read().approves_organizations:
        organization.state = OrganizationState.WAITING
        organization.save(update_fields=["state"])
    member_add(actor=actor, organization=organization, user=actor, role=Role.OWNER)
    project_create(actor=actor, organization=organization, name="Default")
    return organization


@transaction.atomic
def organization_approve(*, actor: User, organization: Organization) -> Organization:
    organization = _locked_in(organization, OrganizationState.WAITING)
    return _move(actor, "organization.approve", organization, OrganizationState.ACTIVE)


@transaction.atomic
def organization_refuse(*, actor: User, organization: Organization, reason: str) -> Organization:
    """It stays closed; its owner reads `reason`."""
    organization = _locked_in(organization, OrganizationState.WAITING)
    return _move(actor, "organization.refuse", organization, OrganizationState.REFUSED, reason)


@transaction.atomic
def organization_suspend(
    *, actor: User | None, organization: Organization, reason: str
) -> Organization:
    """Its requests are refused, and its pages are for reading; its members read `reason`."""
    organization = _locked_in(organization, OrganizationState.ACTIVE)
    return _move(actor, "organization.suspend", organization, OrganizationState.SUSPENDED, reason)


@transaction.atomic
def organization_lift(*, actor: User | None, organization: Organization) -> Organization:
    """End its suspension."""
    organization = _locked_in(organization, OrganizationState.SUSPENDED)
    return _move(actor, "organization.lift", organization, OrganizationState.ACTIVE)


@transaction.atomic
def organization_archive(*, actor: User, organization: Organization) -> Organization:
    """Its requests are refused, and its pages are for reading, until it is restored."""
    organization = _locked_in(organization, OrganizationState.ACTIVE)
    return _move(actor, "organization.archive", organization, OrganizationState.ARCHIVED)


@transaction.atomic
def organization_delete(
    *, actor: User, organization: Organization, reason: str = ""
) -> Organization:
    """As archived, and after `GRACE` it is erased for good."""
    organization = _locked_in(organization, *_DELETABLE)
    organization.state_before = organization.state
    organization.erase_at = timezone.now() + GRACE
    reason = reason or organization.state_reason
    return _move(actor, "organization.delete", organization, OrganizationState.DELETED, reason)


@transaction.atomic
def organization_restore(*, actor: User, organization: Organization) -> Organization:
    """An archived one works again; a deleted one is what it was before."""
    stopped = (OrganizationState.ARCHIVED, OrganizationState.DELETED)
    organization = _locked_in(organization, *stopped)
    to = OrganizationState(organization.state_before or OrganizationState.ACTIVE)
    reason = organization.state_reason if to == OrganizationState.SUSPENDED else ""
    organization.state_before, organization.erase_at = "", None
    return _move(actor, "organization.restore", organization, to, reason)


@transaction.atomic
def organization_erase(*, organization: Organization) -> Organization:
    """Take away who its people are, for good. Its name, usage and money stay, as the law wants.

    Of people who belong nowhere else the trail forgets who they were, too.
    """
    organization = _locked_in(organization, OrganizationState.DELETED)
    people = list(User.objects.filter(memberships__organization=organization))
    invited = Invitation.objects.for_organization(organization).values_list("email", flat=True)
    addresses = {email.lower() for email in invited}
    for personal in (OwnershipOffer, Invitation, SsoProvider, SsoDomain, Membership):
        personal.objects.for_organization(organization).delete()
    now = timezone.now()
    for held in (ApiKey, AdminKey):
        keys = held.objects.for_organization(organization)
        keys.active().update(revoked_at=now)
        keys.update(created_by=None)
    accounts = ServiceAccount.objects.for_organization(organization)
    accounts.update(created_by=None)
    accounts.active().update(archived_at=now)
    organization.state_before, organization.erase_at = "", None
    erased = _move(None, "organization.erase", organization, OrganizationState.ERASED)
    _people_forget(people, addresses)
    return erased


def _people_forget(people: Iterable[User], addresses: set[str]) -> None:
    """Those who are not of another organization, or of the staff."""
    still = set(Membership.objects.filter(user__in=people).values_list("user", flat=True))
    for user in people:
        if user.pk not in still and not user.is_staff:
            audit.person_erase(actor=None, user=user)
    invited = Invitation.objects.filter(email__in=addresses).values_list("email", flat=True)
    known = User.objects.filter(email__in=addresses).values_list("email", flat=True)
    audit.addresses_erase(
        actor=None, emails=addresses - {one.lower() for one in (*invited, *known)}
    )


@transaction.atomic
def organizations_approve_set(*, actor: User, approves: bool) -> PlatformPolicy:
    """Whether new organizations wait until an administrator lets them in."""
    PlatformPolicy.objects.get_or_create(pk=1)
    policy = PlatformPolicy.objects.select_for_update().get(pk=1)
    before, policy.approves_organizations = policy.approves_organizations, approves
    if before != approves:
        policy.save(update_fields=["approves_organizations"])
        audit.record(
            actor=actor,
            action="platform.set_approval",
            target=policy,
            before=before,
            after=approves,
        )
    return policy


def _locked_in(organization: Organization, *states: OrganizationState) -> Organization:
    """As it is now; ValidationError when it is in none of `states`."""
    organization = organization_lock(organization)
    if organization.state not in states:
        raise ValidationError(
            _("This cannot be done: the organization is %(state)s.")
            % {"state": organization.get_state_display().lower()}
        )
    return organization


def _move(
    actor: User | None,
    action: str,
    organization: Organization,
    to: OrganizationState,
    reason: str = "",
) -> Organization:
    before, organization.state = organization.state, to
    organization.state_reason = reason
    organization.save(update_fields=["state", "state_reason", "state_before", "erase_at"])
    audit.record(
        actor=actor,
        action=action,
        target=organization,
        organization=organization,
        before=before,
        after=to,
        reason=reason,
    )
    transaction.on_commit(snapshot_changed)
    return organization
