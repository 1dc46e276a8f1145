"""Which requests PostgreSQL has: what holds a record elsewhere may let go of it then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.db import connection

_UNBOOKED: Final = """
SELECT organization_id, request_id FROM unnest(%s::uuid[], %s::uuid[])
    AS asked (organization_id, request_id)
WHERE NOT EXISTS (
    SELECT FROM billing_usageeventid booked
    WHERE booked.organization_id = asked.organization_id
    AND booked.request_id = asked.request_id
)
"""


def unbooked(ids: Sequence[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Those of `ids`, (organization, request), that have no event. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_UNBOOKED, [[pair[0] for pair in ids], [pair[1] for pair in ids]])
        return set(cursor.fetchall())
