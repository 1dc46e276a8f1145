"""Staff that has said why it looks at a customer's data."""

from __future__ import annotations

from django.test import Client

from tenants.models import Organization

REASON = "Ticket 4711"


def reason_given(client: Client, *organizations: Organization) -> Client:
    """`client` may read the data of `organizations` for half an hour."""
    for organization in organizations:
        address = f"/operator/organizations/{organization.slug}/reason/"
        assert client.post(address, {"reason": REASON}).status_code == 302
    return client
