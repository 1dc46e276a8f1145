"""The heads of organizations' books: their locks and versions."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from uuid import UUID

import redis
import structlog
from django.db import transaction
from django.db.models import F

from billing.models import Books

log = structlog.get_logger()


def books_lock(organization_ids: Collection[UUID]) -> dict[UUID, Books]:
    """Lock the books of all of them, in the order of ids, until the transaction ends.

    A transaction that moves money of several organizations locks them all at once, and first: so
    no two wait for each other.
    """
    rows = Books.objects.filter(pk__in=organization_ids)
    missing = set(organization_ids) - set(rows.values_list("pk", flat=True))
    new = (Books(organization_id=pk) for pk in sorted(missing))
    Books.objects.bulk_create(new, ignore_conflicts=True)
    return {row.pk: row for row in rows.select_for_update().order_by("pk")}


def books_advance(organization_ids: Collection[UUID]) -> dict[UUID, Books]:
    """Count up the versions, so that balances which are read from now on go before older ones.

    Not only postings change what may be spent: a credit limit or a budget does so too.
    """
    books = books_lock(organization_ids)
    Books.objects.filter(pk__in=books).update(version=F("version") + 1)
    return books


def books_announce(organization_ids: Collection[UUID]) -> None:
    """After the commit, what may be spent is counted from the balances of then."""
    transaction.on_commit(partial(_seed, tuple(organization_ids)))


def _seed(organization_ids: Collection[UUID]) -> None:
    """Without Valkey there is nothing to correct: its counters come back from the books."""
    from billing.seeding import accounts_seed  # it reads these books

    try:
        accounts_seed(organization_ids)
    except redis.RedisError as error:
        log.warning("accounts.seed_failed", error=type(error).__name__)
