"""Guessing at one account from many places is slowed down, and its owner is not locked out.

A browser in which its person has logged in before does not share the account's limit with the
guessers, and neither does a passkey.
"""

from __future__ import annotations

import hashlib
from typing import Final

from allauth.core import ratelimit
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE: Final = "known_here"
LASTS_S: Final = 180 * 86400
MOST: Final = 5
"""Accounts that one browser is known to; the oldest goes first."""

_SALT: Final = "console.known_here"


def may_try(request: HttpRequest, email: str) -> bool:
    """Whether a password is looked at: 20 in 15 minutes come from browsers not known here."""
    if _mark(email) in _marks(request):
        return True
    return bool(ratelimit.consume(request, action="login_account", key=email.lower()))


def known_here(request: HttpRequest, response: HttpResponse, email: str) -> None:
    """Remember in the browser that `email` logged in there."""
    marks = [_mark(email), *(mark for mark in _marks(request) if mark != _mark(email))]
    response.set_cookie(
        settings.COOKIE_PREFIX + COOKIE,
        signing.dumps(marks[:MOST], salt=_SALT),
        max_age=LASTS_S,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


def _marks(request: HttpRequest) -> list[str]:
    try:
        marks: list[str] = signing.loads(
            request.COOKIES.get(settings.COOKIE_PREFIX + COOKIE, ""), salt=_SALT, max_age=LASTS_S
        )
    except signing.BadSignature:
        return []
    return marks


def _mark(email: str) -> str:
    return hashlib.sha256(email.lower().encode()).hexdigest()[:32]
