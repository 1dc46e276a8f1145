"""One batch, one transaction: events, sums, budgets, alerts and the books, or nothing of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import connection, transaction

from billing.ingest import rollups, staging
from billing.ingest.rating import Rated, euros
from billing.ledger import books_lock, usage_post
from billing.models import Books, DriftKind
from billing.partitions import Month, partitions_make
from tenants.models import new_id

_PICOS_OF_NANO: Final = 1000
_DRIFT: Final = """
INSERT INTO billing_drift AS kept (kind, about, at, expected, found, seen_at)
VALUES (%s, %s, %s, %s, %s, now())
ON CONFLICT (kind, about, at) DO UPDATE SET expected = kept.expected + EXCLUDED.expected,
    found = kept.found + EXCLUDED.found, seen_at = EXCLUDED.seen_at
"""

log = structlog.get_logger()


@transaction.atomic
def book(rows: Collection[Rated]) -> None:
    """Enter `rows`, no two of one request; those that have an event already change nothing.

    A batch is of one month's invoices: what came for several is as many batches.

    Raises DataError, IntegrityError, BooksError or (of a year that there is not) ValueError, and
    has booked nothing then.
    """
    books = books_lock({row.record.organization_id for row in rows})
    partitions_make({Month.of(row.record.occurred_at) for row in rows})
    for (month, is_late), some in _by_month(rows, books).items():
        _book(some, month if is_late else None)
    connection.check_constraints()


def _book(rows: Collection[Rated], billed_in: Month | None) -> None:
    batch_id = new_id()
    with connection.cursor() as cursor:
        staging.stage(cursor, rows, batch_id, billed_in)
        if staging.enter(cursor):
            entered = staging.entered_read(cursor)
            rows = [row for row in rows if _key(row) in entered]
        if not rows:
            return
        rollups.keys_grow(cursor)
        rollups.budgets_grow(cursor)
        usage_post(batch_id, staging.costs_read(cursor), _moment(rows))
        rollups.backends_grow(cursor)
    _charges_compare(rows)


def _by_month(
    rows: Iterable[Rated], books: Mapping[UUID, Books]
) -> dict[tuple[Month, bool], list[Rated]]:
    """By the month on whose invoice they are, and whether they are late for their own."""
    open_from = {pk: Month.of(one.closed_until) for pk, one in books.items() if one.closed_until}
    found = dict[tuple[Month, bool], list[Rated]]()
    for row in rows:
        own = Month.of(row.record.occurred_at)
        opened = open_from.get(row.record.organization_id, own)
        found.setdefault((max(own, opened), own < opened), []).append(row)
    return found


def _key(row: Rated) -> tuple[UUID, UUID]:
    return row.record.organization_id, row.record.request_id


def _moment(rows: Iterable[Rated]) -> datetime:
    """Credit that had not expired then pays for the batch."""
    return max(row.record.occurred_at for row in rows)


def _charges_compare(rows: Iterable[Rated]) -> None:
    """Say where a gateway charged another amount than what is booked, by model and hour."""
    wrong = defaultdict[tuple[str, datetime], list[Rated]](list)
    for row in rows:
        if row.record.amount_nano not in {None, row.amount_nano}:
            hour = row.record.occurred_at.replace(minute=0, second=0, microsecond=0)
            wrong[row.record.model, hour].append(row)
    with connection.cursor() as cursor:
        for (model, hour), some in sorted(wrong.items()):
            expected = euros(sum(row.amount_nano for row in some) * _PICOS_OF_NANO)
            found = euros(sum(row.record.amount_nano or 0 for row in some) * _PICOS_OF_NANO)
            log.error("usage.charged_otherwise", model=model, requests=len(some),
                      expected=str(expected), found=str(found))  # fmt: skip
            cursor.execute(_DRIFT, [DriftKind.CHARGE, model, hour, expected, found])
