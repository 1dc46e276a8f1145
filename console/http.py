"""Typed requests, what every page is given, and request metrics."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django_htmx.middleware import HtmxDetails
from prometheus_client import Histogram

from tenants.models import Impersonation, Membership, Organization, User
from tenants.peers import peer_of

THEMES: Final = ("light", "dark")
THEME_COOKIE: Final = "theme"

REQUEST_SECONDS: Final = Histogram(
    "sluice_console_request_seconds",
    "Time to answer a request of the console.",
    ["page", "status"],
)


class UserRequest(HttpRequest):
    """A request by somebody; `impersonation` is set for an operator who sees as a member does."""

    user: User
    htmx: HtmxDetails
    impersonation: Impersonation | None


class OrganizationRequest(UserRequest):
    """A request to a page of one organization, as `console.access.member_page` sets it up."""

    organization: Organization
    member: Membership


class OperatorRequest(UserRequest):
    """A request by staff."""


def page_context(request: HttpRequest) -> dict[str, Any]:
    """What the base template needs on every page, error pages included."""
    user = getattr(request, "user", None)
    return {
        "site_name": settings.SITE_NAME,
        "version": settings.VERSION,
        "gateway_url": settings.GATEWAY_URL,
        "theme": chosen_theme(request),
        "organization": getattr(request, "organization", None),
        "member": getattr(request, "member", None),
        "impersonation": getattr(request, "impersonation", None),
        "organizations": lambda: Organization.objects.for_user(user) if user else (),
        "is_operator": user is not None and user.is_authenticated and user.is_staff,
    }


def client_address(request: HttpRequest) -> str:
    """Of whoever asks, behind TRUSTED_PROXIES; as the gateway sees it."""
    forwarded = request.headers.get("x-forwarded-for")
    hops = [forwarded] if forwarded else []
    return peer_of(request.META.get("REMOTE_ADDR", ""), hops, settings.TRUSTED_PROXIES)


def chosen_theme(request: HttpRequest) -> str:
    theme = request.COOKIES.get(THEME_COOKIE, THEMES[0])
    return theme if theme in THEMES else THEMES[0]


class RequestMetricsMiddleware:
    """Times each request under the name of its page, never its path: paths hold ids."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        start = perf_counter()
        response = self.get_response(request)
        page = request.resolver_match.view_name if request.resolver_match else "none"
        REQUEST_SECONDS.labels(page, response.status_code).observe(perf_counter() - start)
        return response
