"""How allauth fits Sluice."""

from __future__ import annotations

from typing import override

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by the operator: there is no open sign-up yet."""

    @override
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
