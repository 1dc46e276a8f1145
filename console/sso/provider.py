"""Where allauth looks for providers."""

from __future__ import annotations

from console.sso.oidc import OidcProvider

provider_classes = [OidcProvider]
