"""Who comes in through a provider: people with an address at a domain of its organization.

allauth knows a provider by the id of its organization.
"""

from __future__ import annotations

from typing import Any, NoReturn, override
from uuid import UUID

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from django.http import HttpRequest
from django.shortcuts import render
from django.utils.translation import gettext as _

from console.sso import outbound
from tenants import services
from tenants.models import SsoDomain, SsoProvider, User
from tenants.sealing import unseal


def app_of(sso: SsoProvider) -> SocialApp:
    """allauth's form of a provider. It is never saved: the secret stays sealed."""
    return SocialApp(
        provider="sso",
        provider_id=str(sso.organization_id),
        name=sso.organization.name,
        client_id=sso.client_id,
        secret=unseal(bytes(sso.sealed_secret)),
        settings={"server_url": sso.issuer},
    )


class SsoAdapter(DefaultSocialAccountAdapter):
    @override
    def list_apps(
        self, request: HttpRequest, provider: Any = None, client_id: str | None = None
    ) -> list[SocialApp]:
        """The one that is asked for; nobody is shown a list of all."""
        try:
            found = SsoProvider.objects.filter(organization=UUID(str(provider)))
        except ValueError:
            return []
        return [app_of(sso) for sso in found.select_related("organization")]

    @override
    def get_requests_session(self) -> Any:
        return outbound.session()

    @override
    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Only addresses at the organization's domains; a customer's provider lets in no staff."""
        sso = _sso_of(sociallogin)
        claims = sociallogin.account.extra_data["id_token"]
        email = str(claims.get("email", ""))
        if claims.get("email_verified") is False or not _is_theirs(sso, email):
            self._refuse(
                request, _("%(email)s is no address that this provider vouches for."), email
            )
        user = sociallogin.user
        if sociallogin.is_existing and user.is_staff:
            self._refuse(request, _("%(email)s is an operator’s, and logs in without it."), email)
        if sociallogin.is_existing and user.is_active:
            services.sso_joined(provider=sso, user=user, is_first=_is_first(sociallogin))

    def _refuse(self, request: HttpRequest, why: str, email: str) -> NoReturn:
        said = {"why": why % {"email": email or _("Nobody")}}
        raise ImmediateHttpResponse(
            render(request, "socialaccount/authentication_error.html", said, status=403)
        )

    @override
    def is_email_verified(self, provider: Any, email: str) -> bool:
        """An address is as good as its domain is proven to be."""
        return _is_theirs(SsoProvider.objects.get(organization=provider.app.provider_id), email)

    @override
    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        return _is_theirs(_sso_of(login), email)

    @override
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """`pre_social_login` has looked at the domain."""
        return True

    @override
    def populate_user(
        self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]
    ) -> User:
        user: User = sociallogin.user
        user.email = str(data.get("email", "")).lower()
        name = str(data.get("name") or "")
        user.name = "".join(filter(str.isprintable, name))[:100]  # what hides is left out
        return user

    @override
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        user: User = super().save_user(request, sociallogin, form)
        services.sso_joined(provider=_sso_of(sociallogin), user=user, is_first=True)
        return user


def _sso_of(login: SocialLogin) -> SsoProvider:
    return SsoProvider.objects.select_related("organization").get(
        organization=login.account.provider
    )


def _is_theirs(sso: SsoProvider, email: str) -> bool:
    return SsoDomain.objects.for_organization(sso.organization).of(email).exists()


def _is_first(login: SocialLogin) -> bool:
    return bool(login.account._state.adding)
