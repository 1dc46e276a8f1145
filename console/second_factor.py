"""Who must have a second factor, and how they are led to it before another page opens.

Always operators, owners and billing; the other members where their organization asks for it.
"""

from __future__ import annotations

from typing import Final

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from tenants.models import Membership, Role, User

FACTORS: Final = (Authenticator.Type.WEBAUTHN, Authenticator.Type.TOTP)
ALWAYS: Final = frozenset({Role.OWNER, Role.BILLING})


def has_factor(user: User) -> bool:
    """Recovery codes are none: they come with one, and go with the last."""
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


def staff_must() -> bool:
    """MFA_REQUIRED: true everywhere but where `make up` runs for one person to try."""
    return bool(settings.MFA_REQUIRED)


def member_must(member: Membership) -> bool:
    by_role = member.role in ALWAYS and bool(settings.MFA_REQUIRED)
    return by_role or member.organization.requires_second_factor


def lacks(user: User, must: bool) -> bool:
    return must and not has_factor(user)


def led_to_it(request: HttpRequest, *, must: bool) -> HttpResponse | None:
    """The way to the page of second factors, for who must have one and has none."""
    if not isinstance(request.user, User) or not lacks(request.user, must):
        return None
    messages.warning(
        request,
        _("Your role asks for a second factor. Add one here, then the rest opens."),
    )
    return redirect("mfa_index")
