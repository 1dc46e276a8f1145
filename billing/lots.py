"""The lots of promotional credit that an organization still has."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import F, Q

from billing.models import Account, AccountKind
from tenants.models import Organization


class Lot(NamedTuple):
    """Credit granted at `granted_at`; what is `left` of it is gone at `expires_at`, if ever."""

    granted_at: datetime
    granted: Decimal
    left: Decimal
    expires_at: datetime | None


def lots_read(organization: Organization, now: datetime) -> list[Lot]:
    """Those that have something left, the next to expire first: as usage is drawn from them."""
    found = Account.objects.for_organization(organization).filter(
        Q(expires_at=None) | Q(expires_at__gt=now), kind=AccountKind.PROMO
    )
    spent = F("balance__debits_posted") + F("balance__debits_pending")
    granted = F("balance__credits_posted")
    rows = found.annotate(left=granted - spent, granted=granted).filter(left__gt=0)
    ordered = rows.order_by(F("expires_at").asc(nulls_last=True), "created_at")
    return [
        Lot._make(row) for row in ordered.values_list("created_at", "granted", "left", "expires_at")
    ]
