"""What people can do to their own accounts, beside what allauth does; and who may have one."""

from __future__ import annotations

from django.db import transaction

from tenants import audit
from tenants.models import PlatformPolicy, User


@transaction.atomic
def user_set_name(*, user: User, name: str) -> User:
    """What others read where an act of theirs is named."""
    user.name = name
    user.save(update_fields=["name"])
    audit.record(actor=user, action="account.set_name", target=user, person=name)
    return user


@transaction.atomic
def sign_up_set(*, actor: User, is_open: bool) -> PlatformPolicy:
    """Whether anyone may sign up, whatever the setting of the platform says."""
    PlatformPolicy.objects.get_or_create(pk=1)
    policy = PlatformPolicy.objects.select_for_update().get(pk=1)
    before, policy.sign_up_is_open = policy.sign_up_is_open, is_open
    policy.save(update_fields=["sign_up_is_open"])
    audit.record(
        actor=actor, action="platform.set_sign_up", target=policy, before=before, after=is_open
    )
    return policy
