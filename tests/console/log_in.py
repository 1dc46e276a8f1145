"""People who are logged in, and have shown just now that it is they; operators who look in."""

from __future__ import annotations

import time

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.internal.flows import login
from django.test import Client
from django.urls import reverse

from tenants.models import Membership, User


def log_in_freshly(client: Client, user: User, *, age_s: float = 0) -> Client:
    """`client` logged in as `user`, by a password given `age_s` seconds ago.

    Django's `force_login` leaves no record of how, so that each stepped-up page asks again.
    """
    client.force_login(user)
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [
        {"method": "password", "at": time.time() - age_s}
    ]
    session[login._AUTHENTICATION_METHODS_USER_SESSION_KEY] = str(user.pk)
    session.save()
    return client


def looking_in(client: Client, membership: Membership) -> Client:
    """`client`, of an operator, who sees from now on what the member sees."""
    page = reverse(
        "operator_impersonate",
        kwargs={"org": membership.organization.slug, "member": membership.pk},
    )
    answer = client.post(page, {"reason": "ticket 7"})
    assert answer.status_code == 302, answer.content
    return client
