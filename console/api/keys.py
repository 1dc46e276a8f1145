"""API keys of projects and of their service accounts. A secret is in the answer that made it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.utils import timezone
from msgspec import UNSET, Meta, Struct, UnsetType

from billing.payments import key_making_check
from console.api.callers import Caller
from console.api.operations import OrganizationView, operation
from console.api.paging import Page, Paged, page_of
from console.api.projects import (
    Lifetime,
    ServiceAccount,
    account_of,
    account_shown,
    accounts_of,
    project_of,
    seconds,
    seconds_or_none,
)
from console.api.reading import Name, Sent, Text
from console.api.words import TaskName
from inference.gateway.errors import InvalidRequest
from tenants import services
from tenants.models import ApiKey as ApiKeyRow
from tenants.models import ApiKeyQuerySet
from tenants.models import ServiceAccount as ServiceAccountRow
from tenants.services import KeyScope, NewKey

Texts = Annotated[tuple[Text, ...], Meta(max_length=100)]
Tasks = Annotated[tuple[TaskName, ...], Meta(max_length=20)]


class OwnerOf(Struct, kw_only=True):
    id: str
    name: str
    created_at: int
    role: Literal["member"] = "member"
    email: str | None = None


class Owner(Struct, kw_only=True):
    """A service account, or the person who made the key; neither, when the person is erased."""

    type: Literal["user", "service_account"] | None
    user: OwnerOf | None = None
    service_account: OwnerOf | None = None


class ApiKey(Struct, kw_only=True):
    """`allowed_…` say what it may do; none are all."""

    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    id: str
    name: str
    redacted_value: str
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    owner: Owner
    owner_project_access: Literal["active", "inactive"]
    allowed_tasks: list[str]
    allowed_models: list[str]
    allowed_networks: list[str]
    value: str | UnsetType = UNSET


class NewSecret(Struct, kw_only=True):
    object: Literal["organization.project.service_account.api_key"] = (
        "organization.project.service_account.api_key"
    )
    id: str
    name: str
    value: str
    created_at: int
    expires_at: int | None


class ServiceAccountMade(ServiceAccount, kw_only=True):
    api_key: NewSecret | None


class Deleted(Struct, kw_only=True):
    object: str
    id: str
    deleted: bool = True


class ServiceAccountNew(Sent, kw_only=True):
    name: Name
    create_service_account_only: bool | None = None
    expires_in_seconds: Lifetime | None = None


class Scope(Sent, kw_only=True):
    allowed_tasks: Tasks | UnsetType = UNSET
    allowed_models: Texts | UnsetType = UNSET
    allowed_networks: Texts | UnsetType = UNSET


class ApiKeyNew(Scope, kw_only=True):
    """Of a service account; somebody who is logged in may leave that out, then it is theirs."""

    name: Name
    service_account_id: UUID | None = None
    expires_in_seconds: Lifetime | None = None


class ApiKeyChange(Scope, kw_only=True):
    name: Name | UnsetType = UNSET
    expires_in_seconds: Lifetime | UnsetType | None = UNSET


class SecretNew(Scope, kw_only=True):
    name: Name = "Secret"
    expires_in_seconds: Lifetime | None = None


class Rotation(Sent, kw_only=True):
    overlap_seconds: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400


def ends_at(lifetime_s: int | None) -> datetime:
    """A key that is said nothing of ends in a year."""
    after = services.LIFETIME if lifetime_s is None else timedelta(seconds=lifetime_s)
    return timezone.now() + after


def _scope(given: Scope, row: ApiKeyRow | None = None) -> KeyScope:
    """What is given; of the rest what the key has."""

    def told(kind: str) -> list[str]:
        value: Sequence[str] | UnsetType = getattr(given, f"allowed_{kind}")
        kept: list[str] = getattr(row, f"allowed_{kind}") if row else []
        return kept if value is UNSET else list(value)

    return KeyScope(told("tasks"), told("models"), told("networks"))


def keys_of(caller: Caller, project: UUID) -> ApiKeyQuerySet:
    """Those that were not revoked."""
    found = ApiKeyRow.objects.for_organization(caller.organization).listed()
    mine = found.filter(project=project_of(caller, project), revoked_at=None)
    return mine.select_related("project", "service_account", "created_by")


def key_shown(row: ApiKeyRow, secret: str | UnsetType = UNSET) -> ApiKey:
    owner = row.service_account
    works = row.project.is_active and (owner is None or owner.is_active)
    return ApiKey(
        id=str(row.pk),
        name=row.name,
        redacted_value=row.hint,
        created_at=seconds(row.created_at),
        last_used_at=seconds_or_none(row.last_used_at),
        expires_at=seconds_or_none(row.expires_at),
        owner=_owner(row),
        owner_project_access="active" if works else "inactive",
        allowed_tasks=row.allowed_tasks,
        allowed_models=row.allowed_models,
        allowed_networks=row.allowed_networks,
        value=secret,
    )


def _owner(row: ApiKeyRow) -> Owner:
    if account := row.service_account:
        of = OwnerOf(id=str(account.pk), name=account.name, created_at=seconds(account.created_at))
        return Owner(type="service_account", service_account=of)
    if user := row.created_by:
        joined = seconds(user.date_joined)
        person = OwnerOf(id=str(user.pk), name=user.name, email=user.email, created_at=joined)
        return Owner(type="user", user=person)
    return Owner(type=None)


class ApiKeysView(OrganizationView):
    route = "project_api_keys"

    @operation
    def get(self, caller: Caller, project: UUID, query: Paged) -> Page[ApiKey]:
        """List the keys of a project that were not revoked."""
        return page_of(keys_of(caller, project), query, key_shown)

    @operation
    def post(self, caller: Caller, project: UUID, body: ApiKeyNew) -> ApiKey:
        """Make a key. Its `value` is in this answer and nowhere else."""
        key_making_check(caller.organization)
        account = _account(caller, project, body.service_account_id)
        new = services.api_key_create(
            actor=caller.user,
            project=project_of(caller, project),
            name=body.name,
            service_account=account,
            expires_at=ends_at(body.expires_in_seconds),
            scope=_scope(body),
        )
        return key_shown(new.api_key, new.secret)


def _account(caller: Caller, project: UUID, account: UUID | None) -> ServiceAccountRow | None:
    """An admin key is nobody who could own an API key."""
    if account:
        return account_of(caller, project, account)
    if caller.user is None:
        raise InvalidRequest(
            "An admin key makes keys for service accounts: say which.", param="service_account_id"
        )
    return None


class ApiKeyView(OrganizationView):
    route = "project_api_key"

    @operation
    def get(self, caller: Caller, project: UUID, api_key: UUID) -> ApiKey:
        """One key of a project."""
        return key_shown(get_object_or_404(keys_of(caller, project), pk=api_key))

    @operation
    def post(self, caller: Caller, project: UUID, api_key: UUID, body: ApiKeyChange) -> ApiKey:
        """Change the name, the end or the scope of a key; what is left out stays."""
        row = get_object_or_404(keys_of(caller, project), pk=api_key)
        expires_at = row.expires_at
        if body.expires_in_seconds is not UNSET:
            expires_at = ends_at(body.expires_in_seconds)
        changed = services.api_key_change(
            actor=caller.user,
            api_key=row,
            name=row.name if body.name is UNSET else body.name,
            expires_at=expires_at,
            scope=_scope(body, row),
        )
        return key_shown(changed)

    @operation
    def delete(self, caller: Caller, project: UUID, api_key: UUID) -> Deleted:
        """Revoke a key for good."""
        row = get_object_or_404(keys_of(caller, project), pk=api_key)
        services.api_key_revoke(actor=caller.user, api_key=row)
        return Deleted(object="organization.project.api_key.deleted", id=str(row.pk))


class ApiKeyRotateView(OrganizationView):
    route = "project_api_key_rotate"

    @operation
    def post(self, caller: Caller, project: UUID, api_key: UUID, body: Rotation) -> ApiKey:
        """Give a key a new `value`; the old one works for a while more."""
        row = get_object_or_404(keys_of(caller, project), pk=api_key)
        new = services.api_key_rotate(
            actor=caller.user, api_key=row, overlap=timedelta(seconds=body.overlap_seconds)
        )
        return key_shown(new.api_key, new.secret)


class ServiceAccountsView(OrganizationView):
    route = "service_accounts"

    @operation
    def get(self, caller: Caller, project: UUID, query: Paged) -> Page[ServiceAccount]:
        """List the service accounts of a project."""
        return page_of(accounts_of(project_of(caller, project)), query, account_shown)

    @operation
    def post(self, caller: Caller, project: UUID, body: ServiceAccountNew) -> ServiceAccountMade:
        """Make a service account, with a key unless told otherwise."""
        account = services.service_account_create(
            actor=caller.user, project=project_of(caller, project), name=body.name
        )
        secret = None
        if not body.create_service_account_only:
            secret = _secret_make(
                caller, account, SecretNew(expires_in_seconds=body.expires_in_seconds)
            )
        return ServiceAccountMade(
            id=str(account.pk),
            name=account.name,
            created_at=seconds(account.created_at),
            api_key=secret,
        )


def _secret_make(caller: Caller, account: ServiceAccountRow, given: SecretNew) -> NewSecret:
    key_making_check(caller.organization)
    new: NewKey = services.api_key_create(
        actor=caller.user,
        project=account.project,
        name=given.name,
        service_account=account,
        expires_at=ends_at(given.expires_in_seconds),
        scope=_scope(given),
    )
    return NewSecret(
        id=str(new.api_key.pk),
        name=new.api_key.name,
        value=new.secret,
        created_at=seconds(new.api_key.created_at),
        expires_at=seconds_or_none(new.api_key.expires_at),
    )


class ServiceAccountView(OrganizationView):
    route = "service_account"

    @operation
    def get(self, caller: Caller, project: UUID, account: UUID) -> ServiceAccount:
        """One service account of a project."""
        return account_shown(account_of(caller, project, account))

    @operation
    def delete(self, caller: Caller, project: UUID, account: UUID) -> Deleted:
        """Archive a service account for good: its keys stop working at once."""
        row = account_of(caller, project, account)
        services.service_account_archive(actor=caller.user, service_account=row)
        return Deleted(object="organization.project.service_account.deleted", id=str(row.pk))


class ServiceAccountKeysView(OrganizationView):
    route = "service_account_api_keys"

    @operation
    def post(self, caller: Caller, project: UUID, account: UUID, body: SecretNew) -> NewSecret:
        """Make another key of a service account."""
        return _secret_make(caller, account_of(caller, project, account), body)
