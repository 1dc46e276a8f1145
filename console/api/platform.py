"""For operators: the organizations of the platform, and what each may use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from django.shortcuts import get_object_or_404
from msgspec import Meta, Struct

from billing import limiting
from billing.models import Limit as LimitRow
from billing.models import LimitKind
from console.api.callers import Operator
from console.api.keys import Deleted
from console.api.operations import PlatformView, operation
from console.api.paging import Page, Paged, page_of
from console.api.projects import seconds, seconds_or_none
from console.api.reading import Moment, Name, Sent, Text
from console.api.words import LimitKindName, OrganizationStateName
from console.organization_forms import RESERVED
from console.organization_mails import state_mail
from inference.gateway.errors import InvalidRequest
from tenants import services
from tenants.emails import email_clean
from tenants.models import Organization as OrganizationRow
from tenants.models import OrganizationState, User

Slug = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$(?!\n)")]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^\x00-\x20@]+@[^\x00-\x20@]+$(?!\n)")]


class Organization(Struct, kw_only=True):
    object: Literal["platform.organization"] = "platform.organization"
    id: str
    name: str
    slug: str
    state: str
    state_reason: str
    allowed_regions: list[str]
    share: int
    created_at: int
    erase_at: int | None


class OrganizationsAsked(Paged, kw_only=True):
    states: Annotated[tuple[OrganizationStateName, ...], Meta(max_length=10)] = ()


class OrganizationNew(Sent, kw_only=True):
    """The owner gets an account without a password, unless they have one."""

    name: Name
    slug: Slug
    owner_email: Email
    owner_name: Name


class StateChange(Sent, kw_only=True):
    """Its members read the reason of a suspension."""

    state: Literal["active", "suspended"]
    reason: Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")] = ""


class Limit(Struct, kw_only=True):
    """An organization's own goes before its plan's."""

    object: Literal["platform.limit"] = "platform.limit"
    id: str
    organization_id: str
    project_id: str | None
    api_key_id: str | None
    model: str
    kind: str
    value: int
    reason: str
    ends_at: int | None
    created_at: int


class LimitsAsked(Paged, kw_only=True):
    organization_id: UUID | None = None


class LimitNew(Sent, kw_only=True):
    """Of all models unless one is named. One of the same kind and model is replaced."""

    organization_id: UUID
    kind: LimitKindName
    value: Annotated[int, Meta(ge=1, le=limiting.MOST)]
    model: Annotated[str, Meta(max_length=100, pattern=r"^[^\x00]*$")] = ""
    reason: Text = ""
    ends_at: Moment | None = None


def _shown(row: OrganizationRow) -> Organization:
    return Organization(
        id=str(row.pk),
        name=row.name,
        slug=row.slug,
        state=row.state,
        state_reason=row.state_reason,
        allowed_regions=row.allowed_regions,
        share=row.share,
        created_at=seconds(row.created_at),
        erase_at=seconds_or_none(row.erase_at),
    )


class OrganizationsView(PlatformView):
    route = "platform_organizations"

    @operation
    def get(self, caller: Operator, query: OrganizationsAsked) -> Page[Organization]:
        """List the organizations of the platform."""
        found = OrganizationRow.objects.all()
        return page_of(
            found.filter(state__in=query.states) if query.states else found, query, _shown
        )

    @operation
    def post(self, caller: Operator, body: OrganizationNew) -> Organization:
        """Open an organization with its owner and a first project."""
        made = services.organization_open(
            actor=caller.user,
            name=body.name,
            slug=_slug_free(body.slug),
            owner_email=_owner_email(body.owner_email),
            owner_name=body.owner_name,
        )
        return _shown(made)


def _slug_free(slug: str) -> str:
    if slug in RESERVED or OrganizationRow.objects.filter(slug=slug).exists():
        raise InvalidRequest("Another organization has this short name.", param="slug")
    return slug


def _owner_email(typed: str) -> str:
    email = email_clean(typed)
    if User.objects.filter(email__iexact=email, is_staff=True).exists():
        said = "This is an operator, and operators own no organization: name somebody else."
        raise InvalidRequest(said, param="owner_email")
    return email


class OrganizationView(PlatformView):
    route = "platform_organization"

    @operation
    def get(self, caller: Operator, organization: UUID) -> Organization:
        """One organization."""
        return _shown(get_object_or_404(OrganizationRow, pk=organization))


class OrganizationStateView(PlatformView):
    route = "platform_organization_state"

    @operation
    def post(self, caller: Operator, organization: UUID, body: StateChange) -> Organization:
        """Suspend an organization with a reason, or lift that."""
        row = get_object_or_404(OrganizationRow, pk=organization)
        if body.state == "suspended":
            if not body.reason.strip():
                raise InvalidRequest("Say why: its members read it.", param="reason")
            row = services.organization_suspend(
                actor=caller.user, organization=row, reason=body.reason
            )
        else:
            row = _LIFTS.get(row.state, services.organization_lift)(
                actor=caller.user, organization=row
            )
        state_mail(row)
        return _shown(row)


_LIFTS: Final = {OrganizationState.WAITING.value: services.organization_approve}


def _limit_shown(row: LimitRow) -> Limit:
    return Limit(
        id=str(row.pk),
        organization_id=str(row.organization_id),
        project_id=str(row.project_id) if row.project_id else None,
        api_key_id=str(row.api_key_id) if row.api_key_id else None,
        model=row.model,
        kind=row.kind,
        value=row.value,
        reason=row.reason,
        ends_at=seconds_or_none(row.ends_at),
        created_at=seconds(row.created_at),
    )


class LimitsView(PlatformView):
    route = "platform_limits"

    @operation
    def get(self, caller: Operator, query: LimitsAsked) -> Page[Limit]:
        """List the limits that were set, of all organizations or of one."""
        found = LimitRow.objects.all()
        if query.organization_id:
            found = found.filter(organization=query.organization_id)
        return page_of(found, query, _limit_shown)

    @operation
    def post(self, caller: Operator, body: LimitNew) -> Limit:
        """Set what an organization may use."""
        made = limiting.limit_set(
            actor=caller.user,
            organization=get_object_or_404(OrganizationRow, pk=body.organization_id),
            kind=LimitKind(body.kind),
            value=body.value,
            model=body.model,
            reason=body.reason,
            ends_at=None if body.ends_at is None else datetime.fromtimestamp(body.ends_at, UTC),
        )
        return _limit_shown(made)


class LimitView(PlatformView):
    route = "platform_limit"

    @operation
    def delete(self, caller: Operator, limit: UUID) -> Deleted:
        """Take a limit away."""
        found = LimitRow.objects.select_related("organization", "project", "api_key")
        limiting.limit_remove(actor=caller.user, limit=get_object_or_404(found, pk=limit))
        return Deleted(object="platform.limit.deleted", id=str(limit))
