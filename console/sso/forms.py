"""What is typed about single sign-on."""

from __future__ import annotations

from typing import Any, override

import requests
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.organization_forms import QUIET, EmailField
from console.sso.oidc import discovered
from console.sso.outbound import why_not
from tenants.models import JOINS_AS, SsoProvider


class ProviderForm(forms.Form):
    """A provider, asked who it is before it is taken."""

    issuer = forms.CharField(
        label=gettext_lazy("Issuer"),
        max_length=300,
        help_text=gettext_lazy("As it calls itself, to the letter: https://login.example.com"),
        widget=forms.URLInput(attrs=QUIET),
    )
    client_id = forms.CharField(
        label=gettext_lazy("Client ID"), max_length=200, widget=forms.TextInput(attrs=QUIET)
    )
    secret = forms.CharField(
        label=gettext_lazy("Client secret"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("Kept sealed, and never shown again."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    joins_as = forms.ChoiceField(
        label=gettext_lazy("Who comes for the first time becomes"), choices=JOINS_AS
    )

    def __init__(self, data: dict[str, str] | None, known: SsoProvider | None) -> None:
        super().__init__(data, initial=_initial(known))
        self.known = known
        self.fields["secret"].required = known is None

    def clean_issuer(self) -> str:
        issuer: str = self.cleaned_data["issuer"].strip()
        if why := why_not(issuer):
            raise ValidationError(why)
        try:
            discovered(issuer)
        except OAuth2Error as error:
            raise ValidationError(
                _("It answers with %(what)s. Copy the issuer from its own settings."),
                params={"what": error},
            ) from error
        except (requests.RequestException, ValueError) as error:
            raise ValidationError(
                _("No provider answers there with an OpenID configuration.")
            ) from error
        return issuer

    @override
    def clean(self) -> dict[str, Any]:
        """Another issuer never gets the secret of this one."""
        typed = self.cleaned_data
        is_other = self.known and typed.get("issuer") not in {None, self.known.issuer}
        if is_other and not typed.get("secret"):
            self.add_error("secret", _("Another issuer needs a secret of its own."))
        return typed


class DomainForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Domain"),
        max_length=253,
        help_text=gettext_lazy("What stands after the @ of your addresses: example.com"),
        widget=forms.TextInput(attrs={**QUIET, "data-focus": True}),
    )


class StartForm(forms.Form):
    email = EmailField()


def _initial(known: SsoProvider | None) -> dict[str, str]:
    if known is None:
        return {}
    return {"issuer": known.issuer, "client_id": known.client_id, "joins_as": known.joins_as}
