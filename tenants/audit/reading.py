"""Questions about a chain that are quick however long it is."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db import connection

from tenants.models import User

_DISTINCT: Final = """
WITH RECURSIVE found AS (
    (SELECT {column} AS value FROM tenants_auditentry
        WHERE chain = %(chain)s AND {column} IS NOT NULL ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (SELECT {column} FROM tenants_auditentry
        WHERE chain = %(chain)s AND {column} > found.value ORDER BY {column} LIMIT 1)
    FROM found WHERE found.value IS NOT NULL
)
SELECT value FROM found WHERE value IS NOT NULL
"""
_ACTIONS: Final = _DISTINCT.format(column="action")
_ACTORS: Final = _DISTINCT.format(column="actor_id")
"""From value to value in the index: reading them all off would take as long as the chain."""


def actions_of(chain: UUID) -> list[str]:
    """The actions that are in `chain`."""
    return [action for [action] in _rows(_ACTIONS, chain)]


def actors_of(chain: UUID) -> list[User]:
    """The people who acted in `chain`, by name."""
    ids = [actor for [actor] in _rows(_ACTORS, chain)]
    return sorted(User.objects.filter(pk__in=ids), key=str)


def _rows(query: str, chain: UUID) -> list[tuple[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"chain": chain})
        return list(cursor.fetchall())
