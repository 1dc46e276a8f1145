"""Where people leave for their provider, and where it sends them back to."""

from __future__ import annotations

from django.urls import path

from console.sso import oidc

urlpatterns = [
    path("sso/<uuid:provider_id>/login/", oidc.login, name="sso_login"),
    path("sso/<uuid:provider_id>/login/callback/", oidc.callback, name="sso_callback"),
]
