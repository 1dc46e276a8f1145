"""What the read-only admin shows. No secret has a field here: a form would print it.

Usage events and their rollup are left out: the admin takes no composite primary keys.
"""

from __future__ import annotations

from typing import override

from django.contrib import admin
from django.http import HttpRequest

from billing.models import Rate
from console.admin_site import ReadOnlyAdmin
from inference.models import Backend, Deployment, Model, Region
from tenants.models import (
    ApiKey,
    AuditEntry,
    AuditEntryQuerySet,
    Membership,
    Organization,
    Project,
    User,
)


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("email", "name", "staff_role", "is_active", "last_login")
    search_fields = ("email", "name")
    list_filter = ("staff_role", "is_active")
    exclude = ("password", "groups", "user_permissions")


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "state", "created_at")
    search_fields = ("name", "slug")
    list_filter = ("state",)


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    list_display = ("name", "organization", "created_at")
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name")


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ("user", "organization", "role", "created_at")
    list_select_related = ("user", "organization")
    list_filter = ("role",)
    search_fields = ("user__email", "organization__name")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "name", "kind", "hint", "organization", "project", "last_used_at", "revoked_at",
    )  # fmt: skip
    list_select_related = ("organization", "project")
    search_fields = ("name", "hint", "organization__name")
    fields = (
        "id", "kind", "name", "hint", "organization", "project", "created_by", "created_at",
        "last_used_at", "revoked_at",
    )  # fmt: skip
    readonly_fields = fields


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Of the platform alone: what customers did is read on its own page, for a reason."""

    list_display = ("created_at", "action", "target_type", "target_id", "actor")
    list_select_related = ("actor",)
    list_filter = ("action",)
    search_fields = ("target_id", "actor__email")
    show_full_result_count = False

    @override
    def get_queryset(self, request: HttpRequest) -> AuditEntryQuerySet:
        return AuditEntry.objects.of_platform()


@admin.register(Region)
class RegionAdmin(ReadOnlyAdmin):
    list_display = ("code", "site", "country", "jurisdiction")


@admin.register(Backend)
class BackendAdmin(ReadOnlyAdmin):
    list_display = ("name", "base_url", "engine", "region", "state")
    list_select_related = ("region",)
    list_filter = ("state", "engine")
    fields = (
        "id", "name", "base_url", "engine", "region", "weight", "max_in_flight", "state",
        "created_at",
    )  # fmt: skip
    readonly_fields = fields


@admin.register(Model)
class ModelAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "name", "status", "is_enabled", "context_tokens", "owned_by")
    list_filter = ("is_enabled", "status")
    search_fields = ("public_id", "name")


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    list_display = ("model", "backend", "engine_model", "weight", "is_enabled")
    list_select_related = ("model", "backend")


@admin.register(Rate)
class RateAdmin(ReadOnlyAdmin):
    list_display = ("model", "component", "price", "unit_scale", "book", "valid")
    list_filter = ("book", "component")
    list_select_related = ("book",)
    search_fields = ("model",)
