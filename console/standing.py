"""As whom the console asks PostgreSQL: as nobody, until a request has shown whose it is."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from tenants import tenancy
from tenants.models import User


class NobodyMiddleware:
    """Stands above all that asks PostgreSQL."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with tenancy.standing_as(tenancy.NOBODY):
            return self.get_response(request)


class PersonMiddleware:
    """Whoever is logged in sees where they belong. `console.access` goes on from there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if isinstance(request.user, User):
            tenancy.recognize(request.user.pk)
        return self.get_response(request)
