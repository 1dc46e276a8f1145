"""The audit trail."""

from __future__ import annotations

from typing import ClassVar, override

from django.db import models
from django.utils import timezone

from tenants.models.organizations import Organization, TenantQuerySet
from tenants.models.people import User


class AuditEntry(models.Model):
    """What happened, who did it, when. Written by `tenants.audit.record` alone, never changed."""

    organization = models.ForeignKey(
        Organization, models.PROTECT, null=True, related_name="audit_entries"
    )
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=50)
    target_type = models.CharField(max_length=50)
    target_id = models.CharField(max_length=100)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["AuditEntry"].as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "audit entries"

    @override
    def __str__(self) -> str:
        return f"{self.action} {self.target_type} {self.target_id}"
