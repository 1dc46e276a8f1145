"""The dance with a provider: code flow with PKCE, a nonce, and the issuer to the letter.

allauth has the dance; what is stricter here is that the issuer is the one that the organization
named, that each ID token's signature is verified, and that nothing of it comes from the address.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, override
from uuid import UUID

from allauth.account.internal.decorators import login_not_required
from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from allauth.utils import build_absolute_uri
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import reverse

from console.sso.outbound import session
from tenants import tenancy

WELL_KNOWN = "/.well-known/openid-configuration"
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def discovered(issuer: str) -> dict[str, Any]:
    """What the provider says of itself. OAuth2Error unless it is `issuer`, to the letter."""
    with session() as calls:
        answer = calls.get(issuer.rstrip("/") + WELL_KNOWN)
        answer.raise_for_status()
        found = answer.json()
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise OAuth2Error("another issuer")
    if not all(isinstance(found.get(name), str) for name in NEEDED):
        raise OAuth2Error("an incomplete answer")
    return found


class OidcAdapter(OpenIDConnectOAuth2Adapter):
    """`state` is what was kept in the session when the person was sent to the provider."""

    def __init__(self, request: HttpRequest, provider_id: str) -> None:
        super().__init__(request, provider_id)
        self.state: dict[str, Any] = {}
        self._found: dict[str, Any] | None = None

    @property
    def openid_config(self) -> dict[str, Any]:
        if self._found is None:
            self._found = discovered(self.get_provider().app.settings["server_url"])
        return self._found

    @override
    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **facts: Any
    ) -> SocialLogin:
        claims = self._claims(app, facts["response"].get("id_token", ""))
        nonce = self.state.get("nonce", "")
        if not nonce or not secrets.compare_digest(str(claims.get("nonce", "")), nonce):
            raise OAuth2Error("another nonce")
        return self.get_provider().sociallogin_from_response(request, {"id_token": claims})

    def _claims(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwtkit.verify_and_decode(
            credential=id_token,
            keys_url=self.openid_config["jwks_uri"],
            issuer=app.settings["server_url"],
            audience=app.client_id,
            lookup_kid=jwtkit.lookup_kid_jwk,
        )
        return claims

    @override
    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        path = reverse("sso_callback", kwargs={"provider_id": self.provider_id})
        return str(build_absolute_uri(request, path))


class OidcProvider(OpenIDConnectProvider):
    """One organization's; allauth's `app` is made of its row by `console.sso.adapter`."""

    id = "sso"
    name = "Single sign-on"
    oauth2_adapter_class = OidcAdapter
    pkce_enabled_default = True

    @override
    def extract_uid(self, data: dict[str, Any]) -> str:
        """Of a subject and its issuer: another issuer's subjects are other people."""
        who = f"{self.app.settings['server_url']}\n{data['id_token']['sub']}"
        return hashlib.sha256(who.encode()).hexdigest()

    @override
    def get_redirect_from_request_kwargs(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing but where to go afterwards is taken from the address."""
        nonce = secrets.token_urlsafe(32)
        asked: dict[str, str] = {"nonce": nonce}
        if "again" in request.GET:
            asked |= {"prompt": "login", "max_age": "0"}
        return {
            "process": AuthProcess.LOGIN,
            "next_url": get_next_redirect_url(request),
            "auth_params": asked,
            "nonce": nonce,
        }


class Callback(OAuth2CallbackView):
    @override
    def _get_state(self, request: HttpRequest, provider: OidcProvider) -> Any:
        state, response = super()._get_state(request, provider)
        self.adapter.state = state or {}
        return state, response


@login_not_required
def login(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    return _answered(OAuth2LoginView, request, provider_id)


@login_not_required
def callback(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    return _answered(Callback, request, provider_id)


def _answered(view: Any, request: HttpRequest, provider_id: str) -> HttpResponseBase:
    tenancy.become(tenancy.member(UUID(str(provider_id))))
    try:
        answer: HttpResponseBase = view.adapter_view(OidcAdapter(request, provider_id))(request)
    except SocialApp.DoesNotExist as gone:
        raise Http404 from gone
    return answer
