"""API keys."""

from __future__ import annotations

from typing import ClassVar, Self, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from tenants.models.organizations import Organization, Project, TenantQuerySet
from tenants.models.people import User


class ApiKeyQuerySet(TenantQuerySet["ApiKey"]):
    def active(self) -> Self:
        return self.filter(revoked_at=None)

    def listed(self) -> Self:
        """Those that people make, see and revoke."""
        return self.filter(kind=KeyKind.SECRET)


class KeyKind(models.TextChoices):
    """What calls with a key: whoever holds its secret, or the playground by signed tokens."""

    SECRET = "secret", _("Secret")
    PLAYGROUND = "playground", _("Playground")


class ApiKey(models.Model):
    """A credential for `/v1`. Only its HMAC-SHA256 digest is stored; see `tenants.keys`.

    The playground's has no secret that fits its digest: `tenants.tokens` speak for it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="api_keys")
    project = models.ForeignKey(Project, models.PROTECT, related_name="api_keys")
    kind = models.CharField(
        _("kind"), max_length=20, choices=KeyKind, default=KeyKind.SECRET, editable=False
    )
    name = models.CharField(_("name"), max_length=100)
    hint = models.CharField(max_length=20, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    pepper_version = models.PositiveSmallIntegerField(editable=False)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(kind=KeyKind.PLAYGROUND),
                name="api_key_playground_unique",
            )
        ]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None
