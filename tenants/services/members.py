"""What can be done to people and members."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from tenants import audit
from tenants.models import Membership, Organization, Role, User
from tenants.services.keys import api_keys_end


@transaction.atomic
def user_create(*, actor: User | None, email: str, name: str) -> User:
    """An account that cannot log in before its person has chosen a password."""
    user = User.objects.create_user(email, None, name=name)
    audit.record(actor=actor, action="user.create", target=user, about=user, email=email)
    return user


@transaction.atomic
def member_add(
    *, actor: User | None, organization: Organization, user: User, role: Role
) -> Membership:
    membership = Membership.objects.create(organization=organization, user=user, role=role)
    audit.record(
        actor=actor,
        action="member.add",
        target=membership,
        organization=organization,
        about=user,
        email=user.email,
        role=role,
    )
    return membership


@transaction.atomic
def member_set_role(*, actor: User | None, membership: Membership, role: Role) -> Membership:
    """Another role, from the next page on. ValidationError says why not."""
    membership = _locked(membership)
    before = membership.role
    if before == role:
        return membership
    owners_check(actor, membership.organization, before, role)
    if before == Role.OWNER:
        _last_owner_check(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    audit.record(
        actor=actor,
        action="member.set_role",
        target=membership,
        organization=membership.organization,
        about=membership.user,
        email=membership.user.email,
        before=before,
        after=role,
    )
    return membership


@transaction.atomic
def member_remove(*, actor: User | None, membership: Membership) -> None:
    """The organization is 404 to them at once; who is removed by themselves leaves.

    Their own keys end, where the organization wants that. Their log-ins stay: they may have other
    organizations. ValidationError says why not.
    """
    membership = _locked(membership)
    is_leaving = actor is not None and membership.user_id == actor.pk
    if not is_leaving:
        owners_check(actor, membership.organization, membership.role)
    if membership.role == Role.OWNER:
        _last_owner_check(membership)
    audit.record(
        actor=actor,
        action="member.leave" if is_leaving else "member.remove",
        target=membership,
        organization=membership.organization,
        about=membership.user,
        email=membership.user.email,
        role=membership.role,
    )
    membership.delete()
    api_keys_end(actor=actor, organization=membership.organization, user=membership.user)


def organization_lock(organization: Organization) -> Organization:
    """One change of its members, or of its state, at a time."""
    return Organization.objects.select_for_update().get(pk=organization.pk)


def owners_check(actor: User | None, organization: Organization, *roles: str) -> None:
    """Only owners make owners and unmake them; the operator, who is no member, makes the first."""
    if Role.OWNER in roles and actor and not actor.is_staff:
        mine = Membership.objects.for_organization(organization).owners()
        if not mine.filter(user=actor).exists():
            raise ValidationError(
                _("Only an owner can make an owner, or change one: ask one of them.")
            )


def _locked(membership: Membership) -> Membership:
    """As it is now, whatever others do; ValidationError when it is gone."""
    organization = organization_lock(membership.organization)
    found = Membership.objects.for_organization(organization).select_related("user")
    if now := found.filter(pk=membership.pk).first():
        now.organization = organization
        return now
    raise ValidationError(_("This person is no member any more."))


def _last_owner_check(membership: Membership) -> None:
    others = Membership.objects.for_organization(membership.organization).owners()
    if not others.exclude(pk=membership.pk).exists():
        raise ValidationError(
            _("%(name)s is the only owner. Make somebody else an owner first.")
            % {"name": membership.user}
        )
