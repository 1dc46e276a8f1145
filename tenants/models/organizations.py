"""Organizations and their projects."""

from __future__ import annotations

import uuid
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
