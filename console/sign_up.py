"""Who may make an account: anyone, or who is invited."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from tenants.models import PlatformPolicy


def sign_up_is_open() -> bool:
    """As an administrator has set it; until one has, as SIGN_UP_OPEN says."""
    chosen = PlatformPolicy.read().sign_up_is_open
    return bool(settings.SIGN_UP_OPEN) if chosen is None else chosen


def invited_address(request: HttpRequest) -> str:
    """What an invitation in this browser proved to be its reader's; else an empty string."""
    return str(request.session.get("account_verified_email") or "").lower()
