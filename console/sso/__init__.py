"""Single sign-on: each organization's own OpenID Connect provider, by allauth's socialaccount."""

from __future__ import annotations
