"""The audit trail of the organization, its newest entry first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from django.db.models import Q
from msgspec import Meta, Struct

from console.api.callers import Caller
from console.api.operations import OrganizationView, operation
from console.api.paging import Page, PagedByNumber, page_made, rows_of
from console.api.projects import seconds
from console.api.reading import Moment, Text
from tenants.audit import KEY_ACTS, personal_open
from tenants.models import AuditEntry, User

Texts = Annotated[tuple[Text, ...], Meta(max_length=100)]

TYPES: Final = {
    "api_key.create": "api_key.created",
    "api_key.change": "api_key.updated",
    "api_key.rotate": "api_key.updated",
    "api_key.revoke": "api_key.deleted",
    "invitation.create": "invite.sent",
    "invitation.accept": "invite.accepted",
    "invitation.revoke": "invite.deleted",
    "limit.set": "rate_limit.updated",
    "limit.remove": "rate_limit.deleted",
    "member.add": "user.added",
    "member.set_role": "user.updated",
    "member.remove": "user.deleted",
    "member.leave": "user.deleted",
    "organization.rename": "organization.updated",
    "project.create": "project.created",
    "project.rename": "project.updated",
    "project.restore": "project.updated",
    "project.archive": "project.archived",
    "service_account.create": "service_account.created",
    "service_account.archive": "service_account.deleted",
}
"""OpenAI's names of what it knows, too; the rest have ours."""


class ActorUser(Struct, kw_only=True):
    id: str
    email: str | None
    name: str


class ActorSession(Struct, kw_only=True):
    user: ActorUser
    ip_address: str | None
    user_agent: str | None


class ActorKey(Struct, kw_only=True):
    """An admin key."""

    id: str
    type: Literal["service_account"] = "service_account"


class Actor(Struct, kw_only=True):
    type: Literal["session", "api_key"]
    session: ActorSession | None = None
    api_key: ActorKey | None = None


class Target(Struct, kw_only=True):
    type: str
    id: str


class AuditLog(Struct, kw_only=True):
    """`action` is our name of what happened; nobody is the actor of what the platform did.

    `on_behalf_of` is the member whose pages an operator saw.
    """

    object: Literal["organization.audit_log"] = "organization.audit_log"
    id: str
    type: str
    action: str
    effective_at: int
    actor: Actor | None
    on_behalf_of: ActorUser | None
    target: Target
    data: dict[str, Any]
    reason: str
    request_id: str
    hash: str


class AuditLogsAsked(PagedByNumber, kw_only=True):
    event_types: Texts = ()
    actor_ids: Texts = ()
    actor_emails: Texts = ()
    resource_ids: Texts = ()
    project_ids: Annotated[tuple[UUID, ...], Meta(max_length=100)] = ()
    after_time: Moment | None = msgspec.field(name="effective_at[gt]", default=None)
    from_time: Moment | None = msgspec.field(name="effective_at[gte]", default=None)
    before_time: Moment | None = msgspec.field(name="effective_at[lt]", default=None)
    until_time: Moment | None = msgspec.field(name="effective_at[lte]", default=None)


class AuditLogsView(OrganizationView):
    route = "audit_logs"

    @operation
    def get(self, caller: Caller, query: AuditLogsAsked) -> Page[AuditLog]:
        """List what happened in the organization."""
        found = AuditEntry.objects.for_organization(caller.organization).filter(_chosen(query))
        rows, has_more = rows_of(found.select_related("actor", "on_behalf_of"), query, "seq")
        personal = personal_open(rows)
        return page_made([_shown(row, personal[row.pk]) for row in rows], has_more=has_more)


def _chosen(asked: AuditLogsAsked) -> Q:
    """Each list is of what may be; all that is asked must be."""
    which = Q()
    if asked.event_types:
        known = [ours for ours, theirs in TYPES.items() if theirs in asked.event_types]
        which &= Q(action__in=[*asked.event_types, *known])
    if asked.actor_ids:
        people = [int(one) for one in asked.actor_ids if one.isdecimal() and len(one) < 19]
        which &= Q(actor__in=people) | Q(auth__in=[f"{KEY_ACTS}{one}" for one in asked.actor_ids])
    if asked.actor_emails:
        emails = [one.lower() for one in asked.actor_emails]
        which &= Q(actor__email__in=emails, actor__is_staff=False)
    if targets := [*asked.resource_ids, *map(str, asked.project_ids)]:
        which &= Q(target_id__in=targets)
    for name, moment in _bounds(asked):
        which &= Q(**{f"created_at__{name}": datetime.fromtimestamp(moment, UTC)})
    return which


def _bounds(asked: AuditLogsAsked) -> list[tuple[str, int]]:
    told = (
        ("gt", asked.after_time),
        ("gte", asked.from_time),
        ("lt", asked.before_time),
        ("lte", asked.until_time),
    )
    return [(name, moment) for name, moment in told if moment is not None]


def _shown(row: AuditEntry, personal: Mapping[str, Any]) -> AuditLog:
    told = {name: value for name, value in personal.items() if name not in {"ip", "user_agent"}}
    return AuditLog(
        id=str(row.seq),
        type=TYPES.get(row.action, row.action),
        action=row.action,
        effective_at=seconds(row.created_at),
        actor=_actor(row, personal),
        on_behalf_of=_user(row.on_behalf_of) if row.on_behalf_of else None,
        target=Target(type=row.target_type, id=row.target_id),
        data=row.data | told,
        reason=row.reason,
        request_id=row.request_id,
        hash=bytes(row.hash).hex(),
    )


def _actor(row: AuditEntry, personal: Mapping[str, Any]) -> Actor | None:
    if row.auth.startswith(KEY_ACTS):
        return Actor(type="api_key", api_key=ActorKey(id=row.auth.removeprefix(KEY_ACTS)))
    if row.actor is None:
        return None
    session = ActorSession(
        user=_user(row.actor),
        ip_address=personal.get("ip"),
        user_agent=personal.get("user_agent"),
    )
    return Actor(type="session", session=session)


def _user(user: User) -> ActorUser:
    """Of the operator's staff the name alone."""
    email = None if user.is_staff else user.email
    return ActorUser(id=str(user.pk), email=email, name=user.name)
