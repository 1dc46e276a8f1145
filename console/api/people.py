"""Members, invitations, and the admin keys of the organization."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.utils import timezone
from msgspec import Meta, Struct

from billing.payments import key_making_check
from console.api.callers import Caller
from console.api.keys import Deleted, ends_at
from console.api.operations import OrganizationView, operation
from console.api.paging import Page, Paged, PagedByNumber, page_made, page_of, rows_of
from console.api.projects import Lifetime, project_of, seconds, seconds_or_none
from console.api.reading import Name, Sent, Text
from console.organization_mails import invitation_mail
from tenants import services
from tenants.models import AdminKey as AdminKeyRow
from tenants.models import Invitation, Membership, Role

Given = Literal["owner", "admin", "developer", "billing", "auditor", "reader"]
"""A role to give; OpenAI's `reader` is a developer."""


class UserFacts(Struct, kw_only=True):
    object: Literal["user"] = "user"
    id: str
    email: str
    name: str
    enabled: bool


class User(Struct, kw_only=True):
    object: Literal["organization.user"] = "organization.user"
    id: str
    email: str
    name: str
    role: str
    added_at: int
    user: UserFacts


class ProjectUser(Struct, kw_only=True):
    object: Literal["organization.project.user"] = "organization.project.user"
    id: str
    email: str
    name: str
    role: Literal["owner", "member"]
    added_at: int


class UsersAsked(PagedByNumber, kw_only=True):
    emails: Annotated[tuple[Text, ...], Meta(max_length=100)] = ()


class UserChange(Sent, kw_only=True):
    role: Given


class Invite(Struct, kw_only=True):
    object: Literal["organization.invite"] = "organization.invite"
    id: str
    email: str
    role: str
    status: Literal["pending", "accepted", "expired"]
    created_at: int
    expires_at: int
    accepted_at: int | None
    projects: tuple[str, ...] = ()


class InviteNew(Sent, kw_only=True):
    """Members may use every project, so `projects` holds none."""

    email: Annotated[str, Meta(max_length=254, pattern=r"^[^\x00]*$")]
    role: Given
    projects: Annotated[tuple[str, ...], Meta(max_length=0)] = ()


class KeyOwner(Struct, kw_only=True):
    object: Literal["organization.user"] = "organization.user"
    type: Literal["user"] = "user"
    id: str
    name: str
    created_at: int
    role: Literal["member"] = "member"


class AdminKey(Struct, kw_only=True, omit_defaults=True):
    """`owner` is who made it, None for another key; `value` is in the answer that made it."""

    object: str
    id: str
    name: str
    redacted_value: str
    access: Literal["read", "write"]
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    owner: KeyOwner | None
    value: str | None = None


class AdminKeyNew(Sent, kw_only=True):
    name: Name
    access: Literal["read", "write"] = "read"
    expires_in_seconds: Lifetime | None = None


def _role(given: Given) -> Role:
    return Role.DEVELOPER if given == "reader" else Role(given)


def _member(caller: Caller, user: int) -> Membership:
    mine = Membership.objects.for_organization(caller.organization)
    return get_object_or_404(mine.select_related("user", "organization"), user=user)


def _user_shown(row: Membership) -> User:
    person = row.user
    facts = UserFacts(
        id=str(person.pk), email=person.email, name=person.name, enabled=person.is_active
    )
    return User(
        id=facts.id,
        email=facts.email,
        name=facts.name,
        role=row.role,
        added_at=seconds(row.created_at),
        user=facts,
    )


def _project_user_shown(row: Membership) -> ProjectUser:
    return ProjectUser(
        id=str(row.user_id),
        email=row.user.email,
        name=row.user.name,
        role="owner" if row.role in {Role.OWNER, Role.ADMIN} else "member",
        added_at=seconds(row.created_at),
    )


class UsersView(OrganizationView):
    route = "users"

    @operation
    def get(self, caller: Caller, query: UsersAsked) -> Page[User]:
        """List the members of the organization."""
        found = Membership.objects.for_organization(caller.organization).select_related("user")
        if query.emails:
            found = found.filter(user__email__in=[one.lower() for one in query.emails])
        rows, has_more = rows_of(found, query, "user_id")
        return page_made([_user_shown(row) for row in rows], has_more=has_more)


class UserView(OrganizationView):
    route = "user"

    @operation
    def get(self, caller: Caller, user: int) -> User:
        """One member."""
        return _user_shown(_member(caller, user))

    @operation
    def post(self, caller: Caller, user: int, body: UserChange) -> User:
        """Give a member another role."""
        member, role = _member(caller, user), _role(body.role)
        caller.owners_check(member.role, role)
        changed = services.member_set_role(actor=caller.user, membership=member, role=role)
        return _user_shown(changed)

    @operation
    def delete(self, caller: Caller, user: int) -> Deleted:
        """Remove a member from the organization."""
        member = _member(caller, user)
        caller.owners_check(member.role)
        services.member_remove(actor=caller.user, membership=member)
        return Deleted(object="organization.user.deleted", id=str(user))


class ProjectUsersView(OrganizationView):
    route = "project_users"

    @operation
    def get(self, caller: Caller, project: UUID, query: PagedByNumber) -> Page[ProjectUser]:
        """List who may use a project: every member may."""
        project_of(caller, project)
        found = Membership.objects.for_organization(caller.organization).select_related("user")
        rows, has_more = rows_of(found, query, "user_id")
        return page_made([_project_user_shown(row) for row in rows], has_more=has_more)


class ProjectUserView(OrganizationView):
    route = "project_user"

    @operation
    def get(self, caller: Caller, project: UUID, user: int) -> ProjectUser:
        """One of those who may use a project."""
        project_of(caller, project)
        return _project_user_shown(_member(caller, user))


def _invite_shown(row: Invitation) -> Invite:
    status: Literal["pending", "accepted", "expired"] = "pending"
    if row.accepted_at:
        status = "accepted"
    elif row.is_expired(timezone.now()):
        status = "expired"
    return Invite(
        id=str(row.pk),
        email=row.email,
        role=row.role,
        status=status,
        created_at=seconds(row.created_at),
        expires_at=seconds(row.expires_at),
        accepted_at=seconds_or_none(row.accepted_at),
    )


class InvitesView(OrganizationView):
    route = "invites"

    @operation
    def get(self, caller: Caller, query: Paged) -> Page[Invite]:
        """List the invitations that were not taken back."""
        found = Invitation.objects.for_organization(caller.organization)
        return page_of(found.filter(revoked_at=None), query, _invite_shown)

    @operation
    def post(self, caller: Caller, body: InviteNew) -> Invite:
        """Invite somebody by mail, for 7 days."""
        role = _role(body.role)
        caller.owners_check(role)
        made = services.invitation_create(
            actor=caller.user, organization=caller.organization, email=body.email, role=role
        )
        invitation_mail(made)
        return _invite_shown(made)


class InviteView(OrganizationView):
    route = "invite"

    @operation
    def get(self, caller: Caller, invite: UUID) -> Invite:
        """One invitation."""
        return _invite_shown(_invite(caller, invite))

    @operation
    def delete(self, caller: Caller, invite: UUID) -> Deleted:
        """Take an invitation back."""
        row = _invite(caller, invite)
        caller.owners_check(row.role)
        services.invitation_revoke(actor=caller.user, invitation=row)
        return Deleted(object="organization.invite.deleted", id=str(row.pk))


def _invite(caller: Caller, invite: UUID) -> Invitation:
    found = Invitation.objects.for_organization(caller.organization).filter(revoked_at=None)
    return get_object_or_404(found.select_related("organization"), pk=invite)


def _admin_key_shown(row: AdminKeyRow, secret: str | None = None) -> AdminKey:
    return AdminKey(
        object="organization.admin_api_key",
        id=str(row.pk),
        name=row.name,
        redacted_value=row.hint,
        access="write" if row.may_write else "read",
        created_at=seconds(row.created_at),
        last_used_at=seconds_or_none(row.last_used_at),
        expires_at=seconds_or_none(row.expires_at),
        owner=_maker(row),
        value=secret,
    )


def _maker(row: AdminKeyRow) -> KeyOwner | None:
    user = row.created_by
    if user is None:
        return None
    return KeyOwner(id=str(user.pk), name=user.name, created_at=seconds(user.date_joined))


class AdminKeysView(OrganizationView):
    route = "admin_api_keys"

    @operation
    def get(self, caller: Caller, query: Paged) -> Page[AdminKey]:
        """List the admin keys that were not revoked."""
        found = AdminKeyRow.objects.for_organization(caller.organization).filter(revoked_at=None)
        return page_of(found.select_related("created_by"), query, _admin_key_shown)

    @operation
    def post(self, caller: Caller, body: AdminKeyNew) -> AdminKey:
        """Make an admin key. Its `value` is in this answer and nowhere else."""
        key_making_check(caller.organization)
        new = services.admin_key_create(
            actor=caller.user,
            organization=caller.organization,
            name=body.name,
            may_write=body.access == "write",
            expires_at=ends_at(body.expires_in_seconds),
        )
        return _admin_key_shown(new.admin_key, new.secret)


class AdminKeyView(OrganizationView):
    route = "admin_api_key"

    @operation
    def get(self, caller: Caller, admin_key: UUID) -> AdminKey:
        """One admin key."""
        return _admin_key_shown(_admin_key(caller, admin_key))

    @operation
    def delete(self, caller: Caller, admin_key: UUID) -> Deleted:
        """Revoke an admin key for good."""
        row = _admin_key(caller, admin_key)
        services.admin_key_revoke(actor=caller.user, admin_key=row)
        return Deleted(object="organization.admin_api_key.deleted", id=str(row.pk))


def _admin_key(caller: Caller, admin_key: UUID) -> AdminKeyRow:
    found = AdminKeyRow.objects.for_organization(caller.organization).filter(revoked_at=None)
    return get_object_or_404(found.select_related("created_by"), pk=admin_key)
