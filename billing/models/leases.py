"""Credit that gateways set apart while nobody counts for all of them."""

from __future__ import annotations

from typing import ClassVar, override

from django.db import models
from django.db.models.functions import Now

from tenants.models import Organization, TenantQuerySet


class Spender(models.Model):
    """A gateway process that lets requests spend, by the name of its spool.

    `epoch` is the run of Valkey that counts what it spends. It is empty while none does: then its
    leases are all that it may spend or has spent unbooked. `heard_at` is by PostgreSQL's clock.
    """

    name = models.CharField(max_length=300, primary_key=True)
    epoch = models.CharField(max_length=100, blank=True)
    heard_at = models.DateTimeField(db_default=Now())

    @override
    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """What a spender set apart of a balance; `scope` names that as `billing.balances` does.

    `changed_at` is when it last took more.
    """

    spender = models.ForeignKey(Spender, models.CASCADE, related_name="leases")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    scope = models.CharField(max_length=60)
    amount_nano = models.BigIntegerField()
    changed_at = models.DateTimeField(db_default=Now())

    objects = TenantQuerySet["Lease"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "scope", "spender"], name="lease_of_spender"
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.scope} {self.amount_nano}"
