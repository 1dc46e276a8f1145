"""What an audit entry says of the request that its act came by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from allauth.account.authentication import get_authentication_records
from django.http import HttpRequest, HttpResponseBase

from console.http import client_address
from tenants.audit import acting
from tenants.models import new_id

HEADER: Final = "X-Request-Id"


class AuditContextMiddleware:
    """Tells `tenants.audit` where an act comes from, and the answer which request it was.

    Stands below the middlewares of sessions and people.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = str(new_id())
        with acting(
            ip=client_address(request),
            user_agent=request.headers.get("User-Agent", ""),
            request_id=request_id,
            auth=lambda: auth_strength(request),
        ):
            response = self.get_response(request)
        response.headers.setdefault(HEADER, request_id)
        return response


def auth_strength(request: HttpRequest) -> str:
    """How whoever is logged in has shown who they are, in this session: `password+totp`.

    Empty where nobody is logged in, or nothing is known of it.
    """
    if not request.user.is_authenticated:
        return ""
    records = get_authentication_records(request, request.user)
    return "+".join(dict.fromkeys(_method(record) for record in records))


def _method(record: Mapping[str, Any]) -> str:
    """A factor by its own name: `totp`, `webauthn`, `recovery_codes`; single sign-on is `sso`."""
    method = str(record.get("method", ""))
    if method == "mfa":
        return str(record.get("type", method))
    return "sso" if method == "socialaccount" else method
