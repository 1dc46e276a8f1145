"""An operator who sees a customer's pages as one of its members does, for reading.

The session stays the operator's own, and so does `request.user`: what a member may see is lent to
it, by `console.access`, in the one organization and for as long as the impersonation runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _

from console.access import SAFE, NotNow
from console.http import UserRequest
from tenants import services, tenancy
from tenants.audit import acting
from tenants.models import Impersonation, Membership

SESSION_KEY: Final = "impersonation"
STILL_TAKEN: Final = frozenset({"impersonation_end", "theme", "account_logout"})
"""What may be sent meanwhile."""
API: Final = "api"
"""It refuses whoever sees as somebody else by itself, in its own words."""


def impersonation_open(request: UserRequest, membership: Membership, reason: str) -> None:
    """ValidationError says why not."""
    started = services.impersonation_start(actor=request.user, membership=membership, reason=reason)
    request.session[SESSION_KEY] = str(started.pk)


def impersonation_close(request: UserRequest) -> None:
    if request.impersonation:
        services.impersonation_end(actor=request.user, impersonation=request.impersonation)
    request.session.pop(SESSION_KEY, None)


class ImpersonationMiddleware:
    """Sets `request.impersonation`; while there is one nothing can be sent, and the trail tells."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: UserRequest) -> HttpResponseBase:
        with tenancy.everything("an impersonation is the operator’s, and tells of which customer"):
            request.impersonation = _running(request)
        if request.impersonation is None:
            return self.get_response(request)
        with acting(on_behalf_of=request.impersonation.member):
            return self.get_response(request)

    def process_view(self, request: UserRequest, *_args: Any) -> None:
        match = request.resolver_match
        if match is None or match.app_name == API or match.url_name in STILL_TAKEN:
            return
        if request.impersonation and request.method not in SAFE:
            raise NotNow(_("You see this as somebody else does: it is for reading."))


def _running(request: UserRequest) -> Impersonation | None:
    """The session's, while it runs; one that is over is put on record and forgotten."""
    if SESSION_KEY not in request.session:
        return None
    mine = Impersonation.objects.filter(
        pk=UUID(request.session[SESSION_KEY]), operator=request.user.pk
    )
    found = mine.select_related("organization", "member").first()
    if found and _still_holds(request, found):
        return found
    if found:
        services.impersonation_end(actor=None, impersonation=found)
    del request.session[SESSION_KEY]
    messages.info(request, _("You see your own pages again: the 30 minutes are over."))
    return None


def _still_holds(request: UserRequest, impersonation: Impersonation) -> bool:
    """Whether it has not ended, the operator may still help, and the member is still one."""
    if impersonation.ended_at or timezone.now() >= impersonation.expires_at:
        return False
    members = Membership.objects.for_organization(impersonation.organization)
    is_member = members.filter(user=impersonation.member_id, user__is_staff=False).exists()
    return is_member and request.user.staff_role in services.HELPERS
