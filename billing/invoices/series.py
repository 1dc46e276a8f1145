"""Numbers of documents, without gaps: each year of a series begins at 1."""

from __future__ import annotations

from typing import Final

from django.db import connection

INVOICES: Final = "R"
STATEMENTS: Final = "S"
CREDIT_NOTES: Final = "C"

# The row stays locked until the number is committed, and a number that is not is given again.
_NEXT: Final = """
INSERT INTO billing_numberseries AS kept (series, year, last) VALUES (%s, %s, 1)
ON CONFLICT (series, year) DO UPDATE SET last = kept.last + 1 RETURNING last
"""


def number_next(series: str, year: int) -> str:
    """Take it late in the transaction: all others of the series wait for its end."""
    if not connection.in_atomic_block:
        raise RuntimeError("A number belongs to the transaction of its document.")
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [series, year])
        [last] = cursor.fetchone() or [0]
    return f"{series}{year}-{last:05}"
