"""Projects, their service accounts, and who may use them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from msgspec import UNSET, Meta, Struct, UnsetType

from console.api.callers import Caller
from console.api.operations import OrganizationView, operation
from console.api.paging import Page, Paged, page_of
from console.api.reading import Name, Sent
from tenants import services
from tenants.models import Project as ProjectRow
from tenants.models import ServiceAccount as ServiceAccountRow

Lifetime = Annotated[int, Meta(ge=1, le=10 * 366 * 86_400, description="Seconds until it expires")]


class Project(Struct, kw_only=True):
    object: Literal["organization.project"] = "organization.project"
    id: str
    name: str
    created_at: int
    archived_at: int | None
    status: Literal["active", "archived"]


class ProjectsAsked(Paged, kw_only=True):
    include_archived: bool = False


class ProjectNew(Sent, kw_only=True):
    name: Name


class ProjectChange(Sent, kw_only=True):
    name: Name | UnsetType = UNSET


class ServiceAccount(Struct, kw_only=True):
    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    id: str
    name: str
    role: Literal["member"] = "member"
    created_at: int


def seconds(moment: datetime) -> int:
    """Unix, UTC."""
    return int(moment.timestamp())


def seconds_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else seconds(moment)


def project_shown(row: ProjectRow) -> Project:
    return Project(
        id=str(row.pk),
        name=row.name,
        created_at=seconds(row.created_at),
        archived_at=seconds_or_none(row.archived_at),
        status="active" if row.is_active else "archived",
    )


def project_of(caller: Caller, project: UUID) -> ProjectRow:
    """NotFound for one of another organization."""
    mine = ProjectRow.objects.for_organization(caller.organization)
    return get_object_or_404(mine.select_related("organization"), pk=project)


class ProjectsView(OrganizationView):
    route = "projects"

    @operation
    def get(self, caller: Caller, query: ProjectsAsked) -> Page[Project]:
        """List the projects of the organization."""
        found = ProjectRow.objects.for_organization(caller.organization)
        return page_of(found if query.include_archived else found.active(), query, project_shown)

    @operation
    def post(self, caller: Caller, body: ProjectNew) -> Project:
        """Make a project."""
        made = services.project_create(
            actor=caller.user, organization=caller.organization, name=body.name
        )
        return project_shown(made)


class ProjectView(OrganizationView):
    route = "project"

    @operation
    def get(self, caller: Caller, project: UUID) -> Project:
        """One project."""
        return project_shown(project_of(caller, project))

    @operation
    def post(self, caller: Caller, project: UUID, body: ProjectChange) -> Project:
        """Rename a project."""
        row = project_of(caller, project)
        if body.name is not UNSET:
            row = services.project_rename(actor=caller.user, project=row, name=body.name)
        return project_shown(row)


class ProjectArchiveView(OrganizationView):
    route = "project_archive"

    @operation
    def post(self, caller: Caller, project: UUID) -> Project:
        """Archive a project: its keys stop working, and what it used stays."""
        row = project_of(caller, project)
        return project_shown(services.project_archive(actor=caller.user, project=row))


def account_shown(row: ServiceAccountRow) -> ServiceAccount:
    return ServiceAccount(id=str(row.pk), name=row.name, created_at=seconds(row.created_at))


def accounts_of(project: ProjectRow) -> QuerySet[ServiceAccountRow]:
    found = ServiceAccountRow.objects.for_organization(project.organization)
    return found.filter(project=project).active()


def account_of(caller: Caller, project: UUID, account: UUID) -> ServiceAccountRow:
    return get_object_or_404(accounts_of(project_of(caller, project)), pk=account)
