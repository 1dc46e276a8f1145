"""Who calls: an admin key, a member who is logged in, or an operator who is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast, override
from uuid import UUID

import redis
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
)
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from console.access import SAFE
from console.api.access import ROUTES, STILL_TAKEN
from console.api.errors import (
    ApiKeyRefused,
    CsrfMissing,
    NotAllowed,
    NotFound,
    NotWhileSeeing,
    OrganizationStopped,
    OrganizationUnnamed,
    OwnersOnly,
    ScopeMissing,
    SecondFactorMissing,
    StepUpNeeded,
    WrongAdminKey,
)
from console.audit_context import auth_strength
from console.http import client_address
from console.second_factor import lacks, member_must, staff_must
from console.step_up import is_fresh
from console.stopped import why_stopped
from tenants import keys, services, tenancy
from tenants.audit import KEY_ACTS
from tenants.models import AdminKey, Membership, Organization, OrganizationState, Role, User
from tenants.peers import network_of
from tenants.uses import USED, use_note
from tenants.valkey import client

CHOSEN: Final = "OpenAI-Organization"
_CLOSED: Final = frozenset({
    OrganizationState.WAITING, OrganizationState.REFUSED, OrganizationState.ERASED,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody within one organization. `user` is None for an admin key."""

    organization: Organization
    role: Role
    user: User | None = None
    admin_key: AdminKey | None = None
    is_fresh: bool = True
    auth: Callable[[], str] = str

    @property
    def id(self) -> str:
        return f"{KEY_ACTS}{self.admin_key.pk}" if self.admin_key else _user_id(self.user)

    def check(self, route: str, method: str) -> None:
        """Raises what keeps them from it."""
        allowed, change = ROUTES[route], method not in SAFE
        if self.role not in allowed.roles(change=change):
            raise NotAllowed
        if change and self.admin_key and not self.admin_key.may_write:
            raise ScopeMissing
        takes = self.organization.is_active or not change or (method, route) in STILL_TAKEN
        if self.organization.state in _CLOSED or not takes:
            raise OrganizationStopped(why_stopped(self.organization))
        if change and not self.is_fresh:
            raise StepUpNeeded

    def owners_check(self, *roles: str) -> None:
        """Who is an owner is for owners to say, and a key is none."""
        if Role.OWNER in roles and self.role != Role.OWNER:
            raise OwnersOnly


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody of the staff."""

    user: User
    is_fresh: bool
    auth: Callable[[], str] = str
    organization: None = None

    @property
    def id(self) -> str:
        return _user_id(self.user)

    def check(self, route: str, method: str) -> None:
        allowed, change = ROUTES[route], method not in SAFE
        if self.user.staff_role not in allowed.staff(change=change):
            raise NotAllowed("Your staff role may not do this. Ask an administrator.")
        if change and not self.is_fresh:
            raise StepUpNeeded


def caller_of(request: Request) -> Caller | Operator | None:
    """None before anybody has told who they are."""
    return cast("Caller | Operator | None", request.auth)


def _user_id(user: User | None) -> str:
    return f"user:{user.pk}" if user else ""


class AdminKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer sluice_ak_…`."""

    @override
    def authenticate(self, request: Request) -> tuple[None, Caller] | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, secret = header.partition(" ")
        if secret.startswith(keys.PREFIX):
            raise ApiKeyRefused
        with tenancy.everything("the key itself says whose it is"):
            found = services.admin_key_find(secret) if scheme.lower() == "bearer" else None
        if found is None:
            raise WrongAdminKey
        tenancy.become(tenancy.member(found.organization_id))
        _use_note(request, found)
        auth = f"{KEY_ACTS}{found.pk}"
        return None, Caller(found.organization, Role.ADMIN, admin_key=found, auth=lambda: auth)

    @override
    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _use_note(request: Request, admin_key: AdminKey) -> None:
    """As the gateways note the uses of theirs; without Valkey a minute of that is lost."""
    network = network_of(client_address(request._request))
    with contextlib.suppress(redis.RedisError):
        client().hset(USED, bytes(admin_key.digest), use_note(timezone.now(), network))


class _InBrowser(SessionAuthentication):
    """Somebody who is logged in; what changes anything carries a CSRF token."""

    @override
    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        user = request._request.user
        if not isinstance(user, User) or not user.is_active:
            return None
        if getattr(request._request, "impersonation", None):
            raise NotWhileSeeing
        try:
            self.enforce_csrf(request)
        except PermissionDenied:
            raise CsrfMissing from None
        return user, self.caller(request, user)

    def caller(self, request: Request, user: User) -> Caller | Operator:
        raise NotImplementedError


class MemberAuthentication(_InBrowser):
    """A member, of the organization that the header names."""

    @override
    def caller(self, request: Request, user: User) -> Caller:
        member = _membership(user, request.headers.get(CHOSEN, ""))
        if lacks(user, member_must(member)):
            raise SecondFactorMissing
        tenancy.become(tenancy.member(member.organization_id, user.pk))
        return Caller(
            member.organization,
            Role(member.role),
            user=user,
            is_fresh=request.method in SAFE or is_fresh(request._request),
            auth=lambda: auth_strength(request._request),
        )


class OperatorAuthentication(_InBrowser):
    """Staff; for everyone else nothing is here."""

    @override
    def caller(self, request: Request, user: User) -> Operator:
        if not user.is_staff:
            raise NotFound
        if lacks(user, staff_must()):
            raise SecondFactorMissing
        tenancy.become(tenancy.STAFF)
        fresh = request.method in SAFE or is_fresh(request._request)
        return Operator(user, fresh, auth=lambda: auth_strength(request._request))


def _membership(user: User, chosen: str) -> Membership:
    mine = Membership.objects.filter(user=user).select_related("organization")
    if not chosen:
        found = list(mine[:2])
        if len(found) == 1:
            return found[0]
        raise OrganizationUnnamed
    if member := mine.filter(_named(chosen)).first():
        return member
    raise NotFound("There is no such organization, or you are not its member.")


def _named(chosen: str) -> Q:
    """By its id or its short name."""
    try:
        return Q(organization=UUID(chosen))
    except ValueError:
        return Q(organization__slug=chosen.replace("\0", ""))
