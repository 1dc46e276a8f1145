"""What people can do to their own accounts; the rest is allauth's."""

from __future__ import annotations

from django.db import transaction

from tenants import audit
from tenants.models import User


@transaction.atomic
def user_set_name(*, user: User, name: str) -> User:
    """What others read where an act of theirs is named."""
    user.name = name
    user.save(update_fields=["name"])
    audit.record(actor=user, action="account.set_name", target=user, person=name)
    return user
