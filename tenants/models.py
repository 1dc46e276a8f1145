"""Who: people, organizations, projects, API keys and the audit trail."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self, override

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    @override
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. `is_staff` makes an operator: staff of the platform, member of no organization."""

    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True)
    is_staff = models.BooleanField(_("operator"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(Lower("email"), name="user_email_unique")]

    @override
    def __str__(self) -> str:
        return self.name or self.email


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def for_user(self, user: User) -> Self:
        return self.filter(memberships__user=user)


class Organization(models.Model):
    """The tenant: the unit of billing, isolation and policy.

    `allowed_regions` are codes of regions that its requests may go to; none are all. `share` is its
    weight beside others when requests wait.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=100)
    slug = models.SlugField(_("short name"), max_length=50, unique=True)
    allowed_regions = ArrayField(
        models.SlugField(max_length=50), verbose_name=_("allowed regions"), default=list, blank=True
    )
    share = models.PositiveSmallIntegerField(
        _("share"), default=1, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]

    @override
    def __str__(self) -> str:
        return self.name


class TenantQuerySet[M: models.Model](models.QuerySet[M]):
    """The one door to tenant-owned rows."""

    def for_organization(self, organization: Organization) -> Self:
        return self.filter(organization=organization)


class Project(models.Model):
    """A part of an organization with its own keys."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="projects")
    name = models.CharField(_("name"), max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["Project"].as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint("organization", Lower("name"), name="project_name_unique")
        ]

    @override
    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    DEVELOPER = "developer", _("Developer")
    BILLING = "billing", _("Billing")
    AUDITOR = "auditor", _("Auditor")


class Membership(models.Model):
    """A user's role in an organization."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=20, choices=Role)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["Membership"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_unique")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"


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


def new_id() -> uuid.UUID:
    """A UUIDv7: unique, and sorted by time."""
    return uuid7()
