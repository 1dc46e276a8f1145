"""What can be done to prices. Each act is atomic and audited."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import Component, Rate
from tenants import audit
from tenants.models import User
from tenants.valkey import snapshot_changed


@transaction.atomic
def rate_set(
    *,
    actor: User | None,
    model: str,
    component: Component,
    price: Decimal,
    valid_from: datetime | None = None,
) -> Rate:
    """Price `component` of `model` at `price` EUR from `valid_from` (now) on.

    The price is for a million tokens, or a minute of audio: `Component.unit_scale`.

    The rate in force ends there. A rate that has already begun later, or is scheduled, is not
    touched: ValidationError.
    """
    start = valid_from or timezone.now()
    rates = Rate.objects.select_for_update().filter(model=model, component=component)
    if rates.filter(valid__startswith__gte=start).exists():
        raise ValidationError(_("A rate that starts at or after this time exists already."))
    for current in rates.filter(valid__contains=start):
        current.valid = DateTimeTZRange(current.valid.lower, start)
        current.save(update_fields=["valid"])
    rate = Rate.objects.create(
        model=model,
        component=component,
        price=price,
        unit_scale=component.unit_scale,
        valid=DateTimeTZRange(start, None),
    )
    audit.record(
        actor=actor,
        action="rate.set",
        target=rate,
        model=model,
        component=component,
        price=str(price),
        valid_from=start.isoformat(),
    )
    transaction.on_commit(snapshot_changed)
    return rate
