"""What is done about a key that was found where it should not be: who can show it may revoke it."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import Model, QuerySet

from tenants import keys
from tenants.models import AdminKey, ApiKey, KeyLeak, LeakSource, Organization, RetiringSecret
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
        _keep(admin_key.organization, admin_key.hint, source, url, admin_key=admin_key)


def _end_api_key(api_key: ApiKey, source: LeakSource, url: str) -> None:
    if api_key.is_active:
        api_key_revoke(actor=None, api_key=api_key, reason=LEAKED)
        _keep(api_key.organization, api_key.hint, source, url, api_key=api_key)


def _end_retiring(retiring: RetiringSecret, source: LeakSource, url: str) -> None:
    """The key's new secret did not leak, and goes on."""
    if retiring.is_active and retiring.api_key.is_active:
        retiring_secret_end(actor=None, retiring=retiring, reason=LEAKED)
        api_key = retiring.api_key
        _keep(api_key.organization, retiring.hint, source, url, api_key=api_key)


def _keep(
    organization: Organization, hint: str, source: LeakSource, url: str, **key: ApiKey | AdminKey
) -> None:
    """`url` is a stranger's: what no text column takes must not keep a key alive."""
    found_at = url.replace("\0", "")[:500]
    KeyLeak.objects.create(organization=organization, hint=hint, source=source, url=found_at, **key)
