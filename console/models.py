"""What the console keeps for itself: answers of the management API, to give them once more."""

from __future__ import annotations

from typing import ClassVar, override

from django.db import models

from tenants.models import Organization, TenantQuerySet


class IdempotentAnswer(models.Model):
    """What a request with an `Idempotency-Key` was answered, until `expires_at`.

    `asked` is the SHA-256 of what was asked. The answer is sealed: it may hold a secret that is
    shown once. `organization` is None for an operator's request.
    """

    organization = models.ForeignKey(Organization, models.PROTECT, null=True, related_name="+")
    caller = models.CharField(max_length=60)
    key = models.CharField(max_length=255)
    asked = models.BinaryField(max_length=32)
    sealed_answer = models.BinaryField(default=bytes)
    expires_at = models.DateTimeField()

    objects = TenantQuerySet["IdempotentAnswer"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["caller", "key"], name="idempotent_answer_unique")
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="idempotent_answer_end")]

    @override
    def __str__(self) -> str:
        return self.key
