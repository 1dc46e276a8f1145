"""An invitation, from the link in its mail to a membership."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from tenants import services, tenancy
from tenants.invitations import Link, token_read
from tenants.models import Invitation, User
from tenants.services import InvitationRefused, Problem

GONE: Final = frozenset(
    {Problem.EXPIRED, Problem.USED, Problem.REVOKED, Problem.OUTDATED, Problem.CLOSED}
)
WORDS: Final[dict[Problem, tuple[Promise, Promise]]] = {
    Problem.UNKNOWN: (
        gettext_lazy("No such invitation"),
        gettext_lazy("Open the link as it stands in the mail: a part of it may be missing."),
    ),
    Problem.EXPIRED: (
        gettext_lazy("This invitation has expired"),
        gettext_lazy("Invitations hold for 7 days. Ask whoever invited you to send it again."),
    ),
    Problem.USED: (
        gettext_lazy("This invitation was accepted"),
        gettext_lazy("A link works once. If it was you, log in; if not, tell whoever invited you."),
    ),
    Problem.REVOKED: (
        gettext_lazy("This invitation was revoked"),
        gettext_lazy("Ask whoever invited you."),
    ),
    Problem.OUTDATED: (
        gettext_lazy("There is a newer mail"),
        gettext_lazy("The invitation was sent again: open the link of the newest mail."),
    ),
    Problem.CLOSED: (
        gettext_lazy("This organization takes no members now"),
        gettext_lazy("It is not active. Ask whoever invited you."),
    ),
    Problem.OTHER_PERSON: (
        gettext_lazy("This invitation is for somebody else"),
        gettext_lazy("Log out, and log in with the address that the mail was sent to."),
    ),
    Problem.UNVERIFIED: (
        gettext_lazy("Confirm your e-mail address first"),
        gettext_lazy("We have to know that the address is yours. Then open the link again."),
    ),
    Problem.MEMBER_ALREADY: (
        gettext_lazy("You are a member already"),
        gettext_lazy("There is nothing to accept."),
    ),
    Problem.OPERATOR: (
        gettext_lazy("Operators belong to no organization"),
        gettext_lazy("Log out, and log in with an account of your own."),
    ),
}


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@tenancy.everything("whoever holds its link reads an invitation, and is no member yet")
def invitation(request: HttpRequest, token: str) -> HttpResponseBase:
    """Who invites and as what; POST accepts. Why it cannot be, is a page that says what to do."""
    link, user = token_read(token), _user(request)
    try:
        if request.method == "POST" and link and user:
            return _accepted(request, user, link)
        found = services.invitation_check(link=link, user=user, verified=_verified(user))
    except InvitationRefused as refused:
        return _refused(request, refused.problem)
    if user is None:
        _let_sign_up(request, found)
    return render(request, "console/organization/invitation.html", {"invitation": found})


def _user(request: HttpRequest) -> User | None:
    return request.user if request.user.is_authenticated else None


def _verified(user: User | None) -> list[str]:
    found = EmailAddress.objects.filter(user=user, verified=True)
    return list(found.values_list("email", flat=True)) if user else []


def _accepted(request: HttpRequest, user: User, link: Link) -> HttpResponse:
    member = services.invitation_accept(actor=user, link=link, verified=_verified(user))
    said = _("Welcome to %(name)s.") % {"name": member.organization}
    messages.success(request, said)
    return redirect("org_home", member.organization.slug)


def _let_sign_up(request: HttpRequest, found: Invitation) -> None:
    """Whoever holds the link got our mail: an account of this address needs no further proof."""
    get_adapter(request).stash_verified_email(request, found.email)


def _refused(request: HttpRequest, problem: Problem) -> HttpResponse:
    heading, advice = WORDS[problem]
    context = {"heading": heading, "advice": advice, "problem": problem.value}
    status = HTTPStatus.FORBIDDEN
    if problem is Problem.UNKNOWN:
        status = HTTPStatus.NOT_FOUND
    elif problem in GONE:
        status = HTTPStatus.GONE
    return render(request, "console/organization/invitation.html", context, status=status)
