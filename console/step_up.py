"""Step-up: what matters most asks who is there once more, unless they showed it just now.

Keys, money, members, single sign-on and impersonation stand behind it, and so do allauth's own
pages of passwords, e-mail addresses and second factors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import suspend_request
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect

from console.http import UserRequest


def stepped_up[R: UserRequest, **P](
    view: Callable[Concatenate[R, P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """A page for people who showed in the last 5 minutes that it is they: by logging in, or again.

    Stands right below `@member_page` or `@operator_page`, on the GET of a form as on its POST. A
    POST that comes too late waits, and goes on by itself once its sender has shown it.
    """

    @wraps(view)
    def guarded(request: R, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return view(request, *args, **kwargs) if is_fresh(request) else _asked_again(request)

    return guarded


def is_fresh(request: HttpRequest) -> bool:
    """Whether the person logged in, or showed once more who they are, at most 5 minutes ago."""
    records = get_authentication_records(request, request.user)
    age_s = time.time() - records[-1]["at"] if records else float("inf")
    return bool(age_s < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)


def _asked_again(request: UserRequest) -> HttpResponse:
    """To the page that asks; the dialog of htmx leaves for it as a whole page.

    Who has no way but their organization's provider goes there, and comes back to where they were.
    """
    methods = get_adapter(request).get_reauthentication_methods(request.user)
    if methods:
        response = suspend_request(request, methods[0]["url"])
    else:
        response = redirect(way_to_provider(request))
    return HttpResponseClientRedirect(response.url) if request.htmx else response


def way_to_provider(request: HttpRequest) -> str:
    """For who has no password and no second factor; who has no provider either makes a password."""
    account = SocialAccount.objects.filter(user=request.user).order_by("-last_login").first()
    if account is None:
        return reverse("account_reset_password")
    here = request.get_full_path() if request.method == "GET" else reverse("home")
    way = reverse("sso_login", kwargs={"provider_id": account.provider})
    return f"{way}?{urlencode({'again': '', 'next': here})}"
