"""What can be done to projects and service accounts."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants import audit
from tenants.models import Organization, Project, ServiceAccount, User
from tenants.valkey import snapshot_changed


@transaction.atomic
def project_create(*, actor: User | None, organization: Organization, name: str) -> Project:
    """ValidationError when the name is taken."""
    _name_check(organization, name)
    project = Project.objects.create(organization=organization, name=name)
    _project_told(actor, "project.create", project, name=name)
    return project


@transaction.atomic
def project_rename(*, actor: User | None, project: Project, name: str) -> Project:
    """ValidationError when the name is taken."""
    project = _locked(project)
    before, project.name = project.name, name
    if before != name:
        _name_check(project.organization, name, but=project)
        project.save(update_fields=["name"])
        _project_told(actor, "project.rename", project, before=before, after=name)
    return project


@transaction.atomic
def project_archive(*, actor: User | None, project: Project) -> Project:
    """Its keys stop working; what it used stays. It can be restored."""
    project = _locked(project)
    if project.is_active:
        project.archived_at = timezone.now()
        project.save(update_fields=["archived_at"])
        _project_told(actor, "project.archive", project, name=project.name)
        transaction.on_commit(snapshot_changed)
    return project


@transaction.atomic
def project_restore(*, actor: User | None, project: Project) -> Project:
    """Its keys work again, but for those revoked meanwhile."""
    project = _locked(project)
    if not project.is_active:
        project.archived_at = None
        project.save(update_fields=["archived_at"])
        _project_told(actor, "project.restore", project, name=project.name)
        transaction.on_commit(snapshot_changed)
    return project


@transaction.atomic
def service_account_create(*, actor: User | None, project: Project, name: str) -> ServiceAccount:
    """ValidationError when the project is archived, or has one of this name."""
    project = _locked(project)
    if not project.is_active:
        raise ValidationError(_("The project is archived. Restore it first."))
    named = ServiceAccount.objects.for_organization(project.organization).filter(project=project)
    if named.filter(name__iexact=name).exists():
        raise ValidationError(
            {"name": _("The project has a service account of this name: choose another.")}
        )
    made = ServiceAccount.objects.create(
        organization=project.organization, project=project, name=name, created_by=actor
    )
    _account_told(actor, "service_account.create", made)
    return made


@transaction.atomic
def service_account_archive(
    *, actor: User | None, service_account: ServiceAccount
) -> ServiceAccount:
    """For good: its keys stop working at once."""
    found = ServiceAccount.objects.select_for_update().select_related("organization", "project")
    service_account = found.get(pk=service_account.pk)
    if service_account.is_active:
        service_account.archived_at = timezone.now()
        service_account.save(update_fields=["archived_at"])
        _account_told(actor, "service_account.archive", service_account)
        transaction.on_commit(snapshot_changed)
    return service_account


def _locked(project: Project) -> Project:
    return Project.objects.select_for_update().select_related("organization").get(pk=project.pk)


def _name_check(organization: Organization, name: str, but: Project | None = None) -> None:
    others = Project.objects.for_organization(organization).exclude(pk__in=[but.pk] if but else [])
    if taken := others.filter(name__iexact=name).first():
        archived = _("An archived project has this name. Restore it, or choose another name.")
        active = _("Another project has this name.")
        raise ValidationError({"name": active if taken.is_active else archived})


def _project_told(actor: User | None, action: str, project: Project, **data: str) -> None:
    audit.record(
        actor=actor, action=action, target=project, organization=project.organization, **data
    )


def _account_told(actor: User | None, action: str, service_account: ServiceAccount) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=service_account,
        organization=service_account.organization,
        name=service_account.name,
        project=service_account.project.name,
    )
