"""The heads of organizations' books: their locks and versions."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final
from uuid import UUID

import redis
import structlog
from django.db import connection, transaction

from billing.models import Books

_MAKE: Final = """
INSERT INTO billing_books (organization_id, currency, version)
SELECT one.id, COALESCE(terms.currency, 'EUR'), 0 FROM unnest(%s::uuid[]) AS one(id)
    LEFT JOIN billing_terms terms ON terms.organization_id = one.id
WHERE NOT EXISTS (SELECT FROM billing_books WHERE organization_id = one.id)
ORDER BY one.id
ON CONFLICT DO NOTHING
"""
_LOCK: Final = """
SELECT * FROM billing_books WHERE organization_id = ANY(%s) ORDER BY organization_id FOR UPDATE
"""
_ADVANCE: Final = """
UPDATE billing_books SET version = version + 1 WHERE organization_id = ANY(%s)
"""

log = structlog.get_logger()


def books_lock(organization_ids: Collection[UUID]) -> dict[UUID, Books]:
    """Lock the books of all of them, in the order of ids, until the transaction ends.

    A transaction that moves money of several organizations locks them all at once, and first: so
    no two wait for each other.
    """
    ids = list(organization_ids)
    with connection.cursor() as cursor:
        cursor.execute(_MAKE, [ids])
    return {row.pk: row for row in Books.objects.raw(_LOCK, [ids])}


def books_advance(organization_ids: Collection[UUID]) -> dict[UUID, Books]:
    """Lock, and count up the versions: balances that are read after the commit are newer."""
    locked = books_lock(organization_ids)
    with connection.cursor() as cursor:
        cursor.execute(_ADVANCE, [list(organization_ids)])
    return locked


def books_announce(organization_ids: Collection[UUID]) -> None:
    """After the commit, what may be spent is counted from the balances of then.

    Not only postings change that: a credit limit or a budget does too. So it is a version of its
    own, and who read the one before cannot undo it.
    """
    transaction.on_commit(partial(_seed, tuple(organization_ids)))


def _seed(organization_ids: Collection[UUID]) -> None:
    """Without Valkey there is nothing to correct: its counters come back from the books."""
    from billing.seeding import accounts_seed  # it reads these books

    with transaction.atomic():
        books_advance(organization_ids)
    try:
        accounts_seed(organization_ids)
    except redis.RedisError as error:
        log.warning("accounts.seed_failed", error=type(error).__name__)
