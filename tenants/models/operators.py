"""What belongs to the operator's staff: how customers are let in, and looking over a shoulder."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final, Self, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models.organizations import Organization, TenantQuerySet, new_id
from tenants.models.people import User

IMPERSONATION_LASTS: Final = timedelta(minutes=30)


class PlatformPolicy(models.Model):
    """The one row of what holds for the whole platform."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    approves_organizations = models.BooleanField(
        _("new organizations wait until an administrator lets them in"), default=False
    )
    sign_up_is_open = models.BooleanField(_("anyone may sign up"), null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="platform_policy_only_one")
        ]

    @override
    def __str__(self) -> str:
        return str(_("Policy of the platform"))

    @classmethod
    def read(cls) -> PlatformPolicy:
        """The policy; the usual one where nobody has set any."""
        return cls.objects.first() or cls()


class ImpersonationQuerySet(TenantQuerySet["Impersonation"]):
    def running(self, now: datetime) -> Self:
        return self.filter(ended_at=None, expires_at__gt=now)

    def lapsed(self, now: datetime) -> Self:
        """Those whose time is over, and whose end is not on record yet."""
        return self.filter(ended_at=None, expires_at__lte=now)


class Impersonation(models.Model):
    """That `operator` sees the pages of an organization as its member does, to help: for reading.

    The operator stays who they are; only what the member may see is lent, until `expires_at`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="impersonations")
    operator = models.ForeignKey(User, models.PROTECT, related_name="+")
    member = models.ForeignKey(User, models.PROTECT, related_name="+")
    reason = models.CharField(_("reason"), max_length=500)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    objects = ImpersonationQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-started_at"]

    @override
    def __str__(self) -> str:
        return f"{self.operator} as {self.member}"
