"""What can be done to people and members."""

from __future__ import annotations

from django.db import transaction

from tenants import audit
from tenants.models import Membership, Organization, Role, User


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
