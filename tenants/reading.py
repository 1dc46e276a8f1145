"""Several queries that see the database as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def one_moment() -> Iterator[None]:
    """All that is read inside is read as it is now, unless a transaction is under way already."""
    is_outermost = not connection.in_atomic_block
    connection.cursor().close()  # as whom we ask is told before: it would be the first query
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
