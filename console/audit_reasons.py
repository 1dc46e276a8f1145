"""Why staff reads a customer's data: asked once in half an hour, and on the customer's record."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlencode

from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from console.http import OperatorRequest
from tenants import audit
from tenants.models import Organization

LASTS_S: Final = 30 * 60
SESSION_KEY: Final = "data_reasons"
"""In the session: until when (epoch) the data of an organization, by its id, may be read."""


def reason_first(request: OperatorRequest, organization: Organization) -> HttpResponse | None:
    """The way to the page that asks for the reason; None where it was given lately."""
    until = request.session.get(SESSION_KEY, {}).get(str(organization.pk), 0)
    if until > time.time():
        return None
    page = reverse("operator_reason", args=[organization.slug])
    asks = f"{page}?{urlencode({'next': request.get_full_path()})}"
    return HttpResponseClientRedirect(asks) if request.htmx else redirect(asks)


@transaction.atomic
def reason_give(request: OperatorRequest, organization: Organization, reason: str) -> None:
    """Let staff read for half an hour; the customer sees who, when and why."""
    audit.record(
        actor=request.user,
        action="customer_data.read",
        target=organization,
        organization=organization,
        reason=reason,
    )
    now = time.time()
    kept = {id_: at for id_, at in request.session.get(SESSION_KEY, {}).items() if at > now}
    request.session[SESSION_KEY] = kept | {str(organization.pk): now + LASTS_S}
