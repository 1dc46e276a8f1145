"""Whether the books are right: balances against transfers, and against what must never be."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from tenants.valkey import client

CHECKED_KEY: Final = "books:checked"
"""In Valkey: when the books were last looked through, and how many differences there were."""

log = structlog.get_logger()

_COMPARE: Final = """
WITH moves AS (
    SELECT one.id, one.debit_id, one.credit_id,
        CASE WHEN one.kind = 'pending' AND resolution.id IS NULL THEN one.amount ELSE 0 END
            AS pending,
        CASE WHEN one.kind IN ('single', 'post') THEN one.amount ELSE 0 END AS posted
    FROM billing_transfer one
        LEFT JOIN billing_transfer resolution ON resolution.pending_id = one.id
), sides AS (
    SELECT debit_id AS account_id, pending AS debits_pending, posted AS debits_posted,
        0 AS credits_pending, 0 AS credits_posted FROM moves
    UNION ALL SELECT credit_id, 0, 0, pending, posted FROM moves
), sums AS (
    SELECT account_id, sum(debits_pending) AS debits_pending, sum(debits_posted) AS debits_posted,
        sum(credits_pending) AS credits_pending, sum(credits_posted) AS credits_posted
    FROM sides GROUP BY account_id
)
SELECT account.id, side.name, COALESCE(side.kept, 0), COALESCE(side.added_up, 0)
FROM billing_account account
    LEFT JOIN billing_balance kept ON kept.account_id = account.id
    LEFT JOIN sums ON sums.account_id = account.id
    CROSS JOIN LATERAL (VALUES
        ('debits_pending', kept.debits_pending, sums.debits_pending),
        ('debits_posted', kept.debits_posted, sums.debits_posted),
        ('credits_pending', kept.credits_pending, sums.credits_pending),
        ('credits_posted', kept.credits_posted, sums.credits_posted),
        ('overdrawn', CASE WHEN account.kind IN ('prepaid', 'promo') THEN
            GREATEST(0, kept.debits_posted + kept.debits_pending - kept.credits_posted) END, 0)
    ) AS side(name, kept, added_up)
WHERE COALESCE(side.kept, 0) <> COALESCE(side.added_up, 0)
ORDER BY account.id, side.name
"""


class Difference(NamedTuple):
    """`kept` is what the balance says, `added_up` what the transfers do; both EUR.

    For `overdrawn`, of credit that went below zero, 0 is what it should be.
    """

    account: UUID
    name: str
    kept: Decimal
    added_up: Decimal


def books_check() -> list[Difference]:
    """Recompute every balance from all transfers; nothing is found when the books are right.

    One statement, so what is posted meanwhile does not show as a difference.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COMPARE)
        return [Difference(*row) for row in cursor.fetchall()]


def books_verify() -> None:
    """Look the books through; the number of differences is left in Valkey, each in the log."""
    found = books_check()
    for one in found:
        log.error(
            "books.wrong",
            account=str(one.account),
            name=one.name,
            kept=str(one.kept),
            added_up=str(one.added_up),
        )
    seen = {"at": timezone.now().isoformat(), "differences": len(found)}
    client().set(CHECKED_KEY, json.dumps(seen))
