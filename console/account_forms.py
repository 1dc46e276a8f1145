"""What a person tells of themselves."""

from __future__ import annotations

from typing import Any, override

from allauth.core import context
from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from console.organization_forms import line_check
from console.sign_up import invited_address, sign_up_is_open
from tenants.models import User


class SignUpForm(forms.Form):
    """What allauth's form of signing up asks for beside e-mail address and password."""

    field_order = ("name", "email", "password1")

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        validators=[line_check],
        widget=forms.TextInput(attrs={"autocomplete": "name", "autofocus": True}),
    )

    @override
    def clean(self) -> dict[str, Any]:
        """Where sign-up is closed it is open to an invited address alone."""
        typed = super().clean() or self.cleaned_data
        invited = invited_address(context.request)
        if not sign_up_is_open() and typed.get("email", invited) != invited:
            self.add_error("email", _("Sign-up is closed, but for %s.") % invited)
        return typed

    def signup(self, request: HttpRequest, user: User) -> None:
        user.name = self.cleaned_data["name"]
        user.save(update_fields=["name"])


class NameForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        validators=[line_check],
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
