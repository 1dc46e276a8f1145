"""Whether the books are right: balances against transfers, and these against the usage itself."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from tenants.valkey import client

CHECKED_KEY: Final = "books:checked"
"""In Valkey: when the books were last looked through, and how many differences there were."""

TRACED: Final = timedelta(days=2)
"""Each night batches are compared with their events from so long ago on."""

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
        ('overdrawn', CASE WHEN account.kind IN ('prepaid', 'promo', 'owed') THEN
            GREATEST(0, kept.debits_posted + kept.debits_pending - kept.credits_posted) END, 0)
    ) AS side(name, kept, added_up)
WHERE COALESCE(side.kept, 0) <> COALESCE(side.added_up, 0)
ORDER BY account.id, side.name
"""

# An event occurs before its batch is posted; an hour is for clocks that do not agree on that.
_TRACE: Final = """
WITH posted AS (
    SELECT transfer.batch_id, payer.organization_id, sum(transfer.amount) AS amount
    FROM billing_transfer transfer JOIN billing_account payer ON payer.id = transfer.debit_id
    WHERE transfer.source_type = 'batch' AND transfer.created_at >= %(since)s
    GROUP BY 1, 2
), used AS (
    SELECT batch_id, organization_id, sum(amount) AS amount FROM billing_usageevent
    WHERE batch_id IN (SELECT batch_id FROM posted)
        OR batch_id IS NOT NULL AND occurred_at >= %(since)s + interval '1 hour'
    GROUP BY 1, 2
)
SELECT batch_id, 'usage', COALESCE(posted.amount, 0), COALESCE(used.amount, 0)
FROM posted FULL JOIN used USING (batch_id, organization_id)
WHERE COALESCE(posted.amount, 0) <> COALESCE(used.amount, 0)
ORDER BY batch_id
"""

# A credit note takes what it can off what is open; the rest of it was paid, and is owed.
_INVOICED: Final = """
WITH invoices AS (
    SELECT id, organization_id, currency, state,
        total - paid - COALESCE((
            SELECT sum(from_open) FROM billing_creditnote WHERE invoice_id = billing_invoice.id
        ), 0) AS open
    FROM billing_invoice WHERE number <> '' AND state NOT IN ('void', 'uncollectible')
), receivable AS (
    SELECT account.id, account.organization_id, account.currency,
        kept.debits_posted - kept.credits_posted AS owed
    FROM billing_account account JOIN billing_balance kept ON kept.account_id = account.id
    WHERE account.kind = 'receivable'
), open AS (
    SELECT organization_id, currency, sum(open) AS open FROM invoices GROUP BY 1, 2
), booked AS (
    SELECT transfer.source_id,
        sum(CASE WHEN debit.kind = 'receivable' THEN transfer.amount ELSE 0 END
            - CASE WHEN credit.kind = 'receivable' THEN transfer.amount ELSE 0 END) AS amount
    FROM billing_transfer transfer
        JOIN billing_account debit ON debit.id = transfer.debit_id
        JOIN billing_account credit ON credit.id = transfer.credit_id
    WHERE transfer.source_type = 'invoice' GROUP BY 1
)
SELECT COALESCE(receivable.id, open.organization_id), 'receivable',
    COALESCE(receivable.owed, 0), COALESCE(open.open, 0)
FROM receivable FULL JOIN open USING (organization_id, currency)
WHERE COALESCE(receivable.owed, 0) <> COALESCE(open.open, 0)
UNION ALL
SELECT invoice.id, 'invoice', COALESCE(booked.amount, 0), due.amount
FROM billing_invoice invoice
    CROSS JOIN LATERAL (
        SELECT CASE WHEN invoice.state = 'void' THEN 0 ELSE invoice.total END AS amount
    ) AS due
    LEFT JOIN booked ON booked.source_id = invoice.id::text
WHERE invoice.kind = 'usage' AND invoice.number <> ''
    AND COALESCE(booked.amount, 0) <> due.amount
ORDER BY 1, 2
"""


class Difference(NamedTuple):
    """`kept` is what is on record, `added_up` what its parts are together.

    It is about an account, by the side of its balance; about a batch for `usage`; and about an
    invoice for what of it is booked. For `receivable`, what all open invoices are is `added_up`,
    and for `overdrawn`, of credit that went below zero, 0 is what it should be.
    """

    about: UUID
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


def invoices_check() -> list[Difference]:
    """Compare the books with the invoices: of each, and what of all of them is open."""
    with connection.cursor() as cursor:
        cursor.execute(_INVOICED)
        return [Difference(*row) for row in cursor.fetchall()]


def batches_check(since: datetime) -> list[Difference]:
    """Compare what was posted `since` with the events of each batch, by organization.

    It reads all events: one that was long on its way may be of any month.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TRACE, {"since": since})
        return [Difference(*row) for row in cursor.fetchall()]


def books_verify() -> None:
    """Look the books through; the number of differences is left in Valkey, each in the log."""
    found = [*books_check(), *batches_check(timezone.now() - TRACED), *invoices_check()]
    for one in found:
        log.error(
            "books.wrong",
            about=str(one.about),
            name=one.name,
            kept=str(one.kept),
            added_up=str(one.added_up),
        )
    seen = {"at": timezone.now().isoformat(), "differences": len(found)}
    client().set(CHECKED_KEY, json.dumps(seen))
