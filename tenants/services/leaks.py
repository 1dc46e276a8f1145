"""What is done about a key that was found where it should not be: who can show it may revoke it."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import Model, QuerySet

from tenants import keys
from tenants.models import AdminKey, ApiKey, KeyLeak, LeakSource, RetiringSecret
from tenants.services.admin_keys import admin_key_revoke
from tenants.services.keys import api_key_revoke, retiring_secret_end

LEAKED: Final = "leaked"


@transaction.atomic
def key_leak_report(*, secret: str, source: LeakSource, url: str = "") -> bool:
    """Revoke the key of `secret`, and keep that it leaked, so that its people are told.

    Whether it is a key at all, or was one; of one that is over nothing is kept. Junk is refused by
    its checksum, without a lookup.
    """
    if not keys.key_is_well_formed(secret):
        return False
    digests = list(keys.key_digests(secret))
    if admin_key := _locked(AdminKey.objects.all(), digests):
        _end_admin_key(admin_key, source, url)
    elif api_key := _locked(ApiKey.objects.all(), digests):
        _end_api_key(api_key, source, url)
    elif retiring := _locked(RetiringSecret.objects.all(), digests):
        _end_retiring(retiring, source, url)
    else:
        return False
    return True


def _locked[M: Model](found: QuerySet[M], digests: list[bytes]) -> M | None:
    """One report of a key at a time: the next finds it revoked, and tells nobody again."""
    return found.select_for_update().filter(digest__in=digests).first()


def _end_admin_key(admin_key: AdminKey, source: LeakSource, url: str) -> None:
    if admin_key.is_active:
        admin_key_revoke(actor=None, admin_key=admin_key, reason=LEAKED)
        KeyLeak.objects.create(
            organization=admin_key.organization,
            admin_key=admin_key,
            hint=admin_key.hint,
            source=source,
            url=url[:500],
        )


def _end_api_key(api_key: ApiKey, source: LeakSource, url: str) -> None:
    if api_key.is_active:
        api_key_revoke(actor=None, api_key=api_key, reason=LEAKED)
        _keep(api_key, api_key.hint, source, url)


def _end_retiring(retiring: RetiringSecret, source: LeakSource, url: str) -> None:
    """The key's new secret did not leak, and goes on."""
    if retiring.is_active and retiring.api_key.is_active:
        retiring_secret_end(actor=None, retiring=retiring, reason=LEAKED)
        _keep(retiring.api_key, retiring.hint, source, url)


def _keep(api_key: ApiKey, hint: str, source: LeakSource, url: str) -> None:
    KeyLeak.objects.create(
        organization=api_key.organization, api_key=api_key, hint=hint, source=source, url=url[:500]
    )
