"""API keys, admin keys, and what became of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final, Self, override

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from tenants.models.organizations import (
    Organization,
    Project,
    ServiceAccount,
    TenantQuerySet,
    new_id,
)
from tenants.models.people import User

UNUSED: Final = timedelta(days=90)
"""A key that nobody used for so long can go, its organization is told."""


class CredentialQuerySet[M: models.Model](TenantQuerySet[M]):
    def active(self) -> Self:
        """Neither revoked nor expired."""
        return self.filter(_never_or_after("expires_at", timezone.now()), revoked_at=None)

    def expired(self) -> Self:
        return self.filter(revoked_at=None, expires_at__lte=timezone.now())

    def expiring(self, before: datetime) -> Self:
        """Active ones that are not any more at `before`."""
        return self.active().filter(expires_at__lte=before)


class ApiKeyQuerySet(CredentialQuerySet["ApiKey"]):
    def listed(self) -> Self:
        """Those that people make, see and revoke."""
        return self.filter(kind=KeyKind.SECRET)

    def working(self) -> Self:
        """Active ones of a project and an owner that are not archived."""
        owned = Q(service_account=None) | Q(service_account__archived_at=None)
        return self.active().filter(owned, project__archived_at=None)

    def personal(self, user: User) -> Self:
        """Those that `user` made and no service account owns."""
        return self.listed().filter(created_by=user, service_account=None)

    def unused_since(self, moment: datetime) -> Self:
        """Those that are older than `moment` and were not used from then on."""
        never = Q(last_used_at=None, created_at__lt=moment)
        return self.filter(never | Q(last_used_at__lt=moment))


def _never_or_after(field: str, moment: datetime) -> Q:
    return Q(**{field: None}) | Q(**{f"{field}__gt": moment})


class KeyKind(models.TextChoices):
    """What calls with a key: whoever holds its secret, or the playground by signed tokens."""

    SECRET = "secret", _("Secret")
    PLAYGROUND = "playground", _("Playground")


class Credential(models.Model):
    """What every key has. Only its HMAC-SHA256 digest is stored; see `tenants.keys`.

    When and from where it was last used is known to the minute and to the /24 or /48 (see
    `tenants.uses`). `warned_days` is the last threshold before its expiry that its people were
    told of.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=100)
    hint = models.CharField(max_length=20, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    pepper_version = models.PositiveSmallIntegerField(editable=False)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    warned_days = models.PositiveSmallIntegerField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_network = models.CharField(max_length=50, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None and not self.is_expired

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def days_left(self) -> int | None:
        """Whole days until it expires, begun ones too; None when it never does."""
        if self.expires_at is None:
            return None
        return -((timezone.now() - self.expires_at) // timedelta(days=1))

    @property
    def is_unused(self) -> bool:
        """For so long that it can go."""
        return (self.last_used_at or self.created_at) < timezone.now() - UNUSED


class ApiKey(Credential):
    """A credential for `/v1`, of a service account, or else of the person who made it.

    `allowed_tasks` are names of `inference.models.Task`, `allowed_models` public ids of models, and
    `allowed_networks` CIDR; of each, none are all.

    The playground's has no secret that fits its digest: `tenants.tokens` speak for it.
    """

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="api_keys")
    project = models.ForeignKey(Project, models.PROTECT, related_name="api_keys")
    service_account = models.ForeignKey(
        ServiceAccount, models.PROTECT, null=True, blank=True, related_name="api_keys"
    )
    kind = models.CharField(
        _("kind"), max_length=20, choices=KeyKind, default=KeyKind.SECRET, editable=False
    )
    allowed_tasks = ArrayField(models.SlugField(max_length=20), default=list, blank=True)
    allowed_models = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    allowed_networks = ArrayField(models.CharField(max_length=50), default=list, blank=True)

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


class RetiringSecret(models.Model):
    """The secret that a key had before it was rotated; it works until `until`, and then no more."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    api_key = models.OneToOneField(ApiKey, models.CASCADE, related_name="retiring")
    hint = models.CharField(max_length=20)
    digest = models.BinaryField(max_length=32, unique=True)
    until = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    last_network = models.CharField(max_length=50, blank=True)

    objects = TenantQuerySet["RetiringSecret"].as_manager()

    @override
    def __str__(self) -> str:
        return self.hint

    @property
    def is_active(self) -> bool:
        return self.until > timezone.now()


class AdminKeyQuerySet(CredentialQuerySet["AdminKey"]):
    pass


class AdminKey(Credential):
    """A credential for the management API of one organization. It calls no models.

    Without `may_write` it only reads.
    """

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="admin_keys")
    may_write = models.BooleanField(default=False)

    objects = AdminKeyQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]


class LeakSource(models.TextChoices):
    """Who reported a leaked key: a scanner of code, or whoever held it in hand."""

    SCANNER = "scanner", _("Secret scanning")
    HOLDER = "holder", _("Someone who found it")


class KeyLeak(models.Model):
    """That a key was found where it should not be, and revoked. `told_at` is when its people were.

    `url` is where it was found, as far as the reporter said; `hint` is that of the secret.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="key_leaks")
    api_key = models.ForeignKey(ApiKey, models.CASCADE, null=True, related_name="leaks")
    admin_key = models.ForeignKey(AdminKey, models.CASCADE, null=True, related_name="leaks")
    hint = models.CharField(max_length=20)
    source = models.CharField(max_length=10, choices=LeakSource)
    url = models.CharField(max_length=500, blank=True)
    reported_at = models.DateTimeField(default=timezone.now)
    told_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["KeyLeak"].as_manager()

    class Meta:
        ordering: ClassVar = ["-reported_at"]

    @override
    def __str__(self) -> str:
        return self.hint

    @property
    def key(self) -> ApiKey | AdminKey:
        found = self.api_key or self.admin_key
        assert found, "a leak is of a key"  # noqa: S101
        return found
