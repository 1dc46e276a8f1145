"""Files that people take away: each is on record."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from console.http import UserRequest
from tenants import audit
from tenants.models import Organization


@transaction.atomic
def export_told(
    request: UserRequest, action: str, organization: Organization | None, **facts: Any
) -> None:
    """Put on record that a file was asked for; None is one of the whole platform."""
    target: models.Model = organization or request.user
    if request.method != "HEAD":
        audit.record(
            actor=request.user, action=action, target=target, organization=organization, **facts
        )
