"""Organizations and their projects."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar, Self, override

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from tenants.models.people import User


def new_id() -> uuid.UUID:
    """A UUIDv7: unique, and sorted by time."""
    return uuid7()


class OrganizationState(models.TextChoices):
    """Only an active one makes requests; in all others its pages are for reading.

    A deleted one can be restored until `erase_at`; of an erased one only money is left.
    """

    WAITING = "waiting", _("Waiting for approval")
    REFUSED = "refused", _("Refused")
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")
    ARCHIVED = "archived", _("Archived")
    DELETED = "deleted", _("To be erased")
    ERASED = "erased", _("Erased")


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def for_user(self, user: User) -> Self:
        return self.filter(memberships__user=user)

    def waiting(self) -> Self:
        """Those that ask to be let in, the first first."""
        return self.filter(state=OrganizationState.WAITING).order_by("created_at")

    def erasable(self, now: datetime) -> Self:
        """Those whose time to be restored is over."""
        return self.filter(state=OrganizationState.DELETED, erase_at__lte=now)


class Organization(models.Model):
    """The tenant: the unit of billing, isolation and policy.

    `allowed_regions` are codes of regions that its requests may go to; none are all. `share` is its
    weight beside others when requests wait. With `keys_end_with_member` the keys of a member who
    leaves are revoked, unless a service account owns them. `state_reason` is what its members are
    told of the state, and `state_before` what a deleted one is restored to.
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
    keys_end_with_member = models.BooleanField(default=True)
    requires_second_factor = models.BooleanField(
        _("every member must have a second factor"), default=False
    )
    state = models.CharField(
        _("state"), max_length=10, choices=OrganizationState, default=OrganizationState.ACTIVE
    )
    state_reason = models.CharField(_("reason"), max_length=500, blank=True)
    state_before = models.CharField(max_length=10, blank=True, editable=False)
    erase_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.state == OrganizationState.ACTIVE


class TenantQuerySet[M: models.Model](models.QuerySet[M]):
    """The one door to tenant-owned rows."""

    def for_organization(self, organization: Organization) -> Self:
        return self.filter(organization=organization)


class ProjectQuerySet(TenantQuerySet["Project"]):
    def active(self) -> Self:
        return self.filter(archived_at=None)


class Project(models.Model):
    """A part of an organization with its own keys. The keys of an archived one do not work."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="projects")
    name = models.CharField(_("name"), max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint("organization", Lower("name"), name="project_name_unique")
        ]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.archived_at is None


class ServiceAccountQuerySet(TenantQuerySet["ServiceAccount"]):
    def active(self) -> Self:
        return self.filter(archived_at=None)


class ServiceAccount(models.Model):
    """An owner of keys in a project that is no person. The keys of an archived one do not work."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="service_accounts")
    project = models.ForeignKey(Project, models.PROTECT, related_name="service_accounts")
    name = models.CharField(_("name"), max_length=100)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects = ServiceAccountQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint("project", Lower("name"), name="service_account_name_unique")
        ]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.archived_at is None
