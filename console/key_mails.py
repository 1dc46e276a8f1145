"""What people are mailed about keys: that one will end, each once a threshold, and that one leaked.

Whom and what is told is in the database before a mail leaves, so that each is told once.
"""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.db import close_old_connections, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from console.mails import mail_send
from tenants.models import AdminKey, ApiKey, KeyLeak, Membership, Role
from tenants.services import WARNED_DAYS

type Key = ApiKey | AdminKey


@shared_task
def ends_tell() -> None:
    """Tell of the keys that end in 30, 7 or 1 days."""
    close_old_connections()
    keys_warn()


@shared_task
def leaks_tell() -> None:
    """Tell of the keys that leaked."""
    close_old_connections()
    leaks_mail()


def keys_warn() -> int:
    """How many mails' worth of keys ended soon enough to tell of, and were not told of yet."""
    return sum(_warned(model, days) for model in (ApiKey, AdminKey) for days in sorted(WARNED_DAYS))


def _warned(model: type[ApiKey] | type[AdminKey], days: int) -> int:
    """Of those that end within `days`; who was told of that, or of less, is not again."""
    due = Q(warned_days=None) | Q(warned_days__gt=days)
    before = timezone.now() + timedelta(days=days)
    count = 0
    for pk in list(model.objects.expiring(before).filter(due).values_list("pk", flat=True)):
        with transaction.atomic():
            locked = model.objects.select_for_update(skip_locked=True, of=("self",))
            if key := locked.filter(due, pk=pk).select_related("organization").first():
                key.warned_days = days
                key.save(update_fields=["warned_days"])
                _end_mail(key)
                count += 1
    return count


def _end_mail(key: Key) -> None:
    is_admin = isinstance(key, AdminKey)
    assert key.expires_at, "it ends"  # noqa: S101
    mail_send(
        "key_ends",
        to=people_of(key),
        url=_page_of(key),
        key=key,
        is_admin=is_admin,
        days=key.days_left,
        until=date_format(key.expires_at, "j M Y H:i"),
    )


def leaks_mail() -> int:
    """How many leaks were told of."""
    count = 0
    while _leak_mailed():
        count += 1
    return count


@transaction.atomic
def _leak_mailed() -> bool:
    found = KeyLeak.objects.select_for_update(skip_locked=True, of=("self",)).filter(told_at=None)
    leak = found.select_related("organization", "api_key", "admin_key").first()
    if leak is None:
        return False
    leak.told_at = timezone.now()
    leak.save(update_fields=["told_at"])
    mail_send(
        "key_leaked",
        to=people_of(leak.key, managers_too=True),
        url=_page_of(leak.key),
        leak=leak,
        key=leak.key,
        when=date_format(leak.reported_at, "j M Y H:i"),
        is_whole=leak.key.revoked_at is not None,
    )
    return True


def people_of(key: Key, *, managers_too: bool = False) -> list[str]:
    """The addresses of the member whose key it is; of one that nobody is, owners and admins."""
    owner = None if isinstance(key, ApiKey) and key.service_account_id else key.created_by
    members = Membership.objects.for_organization(key.organization).filter(user__is_active=True)
    theirs = members.filter(user=owner) if owner else members.none()
    managers = members.filter(role__in=[Role.OWNER, Role.ADMIN])
    told = theirs | managers if managers_too or not theirs.exists() else theirs
    return list(told.order_by("user__email").values_list("user__email", flat=True).distinct())


def _page_of(key: Key) -> str:
    slug = key.organization.slug
    if isinstance(key, AdminKey):
        return reverse("admin_keys", args=[slug])
    return reverse("key_detail", args=[slug, key.pk])
