"""Which requests PostgreSQL has."""

from __future__ import annotations

from uuid import uuid4

import pytest

from billing.booked import unbooked
from billing.models import UsageEventId


@pytest.mark.django_db
def test_a_request_without_an_event_is_not_booked() -> None:
    acme, rival, request_id, other_id = uuid4(), uuid4(), uuid4(), uuid4()
    UsageEventId.objects.create(organization_id=acme, request_id=request_id)
    asked = [(acme, request_id), (acme, other_id), (rival, request_id)]
    assert unbooked(asked) == {(acme, other_id), (rival, request_id)}
    assert unbooked([]) == set()
