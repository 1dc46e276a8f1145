"""Who organizations are at Stripe."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.models import BillingProfile, Op, OutboxItem, StripeCustomer
from billing.payments.queue import outbox_add
from tenants.models import Organization


def customer_require(organization: Organization, now: datetime) -> StripeCustomer:
    """The locked row of who it is there, which has an id once the outbox is sent."""
    StripeCustomer.objects.get_or_create(organization=organization)
    row = StripeCustomer.objects.select_for_update().get(organization=organization)
    if not row.stripe_id:
        mine = OutboxItem.objects.for_organization(organization).filter(op=Op.CUSTOMER)
        entity = f"organization:{organization.pk}:{mine.exclude(done_at=None).count()}"
        outbox_add(organization, Op.CUSTOMER, entity, _customer_of(organization), now)
    return row


def _customer_of(organization: Organization) -> dict[str, Any]:
    profile = BillingProfile.objects.for_organization(organization).first()
    customer: dict[str, Any] = {
        "name": profile.legal_name if profile else organization.name,
        "metadata": {"organization": str(organization.pk)},
    }
    if profile and profile.email:
        customer["email"] = profile.email
    return customer
