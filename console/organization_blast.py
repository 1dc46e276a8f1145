"""What stops when an organization does, counted."""

from __future__ import annotations

import redis
from django.utils.translation import gettext as _

from billing.holds import running_count
from billing.ledger import wallet_read
from console.templatetags.ui import NONE, money
from tenants.models import ApiKey, Membership, Organization, Project, ServiceAccount
from tenants.services import GRACE


def delete_means() -> str:
    """What a sheet says before an organization is deleted."""
    said = _(
        "Its requests get 403 within seconds. It can be restored for %(days)s days; then its "
        "people, invitations and keys are erased. What was billed stays, as the law wants."
    )
    return said % {"days": GRACE.days}


def blast_of(organization: Organization) -> list[tuple[str, object]]:
    """Members, projects, keys, what runs now, and money that is open either way."""
    keys = ApiKey.objects.for_organization(organization).active().listed()
    accounts = ServiceAccount.objects.for_organization(organization).active()
    wallet = wallet_read([organization.pk])[organization.pk]
    return [
        (_("Members"), Membership.objects.for_organization(organization).count()),
        (_("Projects"), Project.objects.for_organization(organization).active().count()),
        (_("Active keys"), keys.count()),
        (_("Service accounts"), accounts.count()),
        (_("Requests running now"), _running(organization)),
        (_("Credit left"), money(wallet.prepaid + wallet.promo)),
        (_("Not paid yet"), money(wallet.unbilled + wallet.receivable)),
    ]


def _running(organization: Organization) -> object:
    """Not known while Valkey does not answer."""
    try:
        return running_count(organization.pk)
    except redis.RedisError:
        return NONE
