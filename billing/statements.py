"""What came onto an organization's balance and left it, as the books have it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from django.db import connection

from billing.budgets import Span
from billing.models import AccountKind
from tenants.models import Organization
from tenants.tenancy import everything

OWN: Final = (
    AccountKind.PREPAID, AccountKind.PROMO, AccountKind.UNBILLED, AccountKind.RECEIVABLE,
    AccountKind.OWED,
)  # fmt: skip
"""What is between us: the accounts of `billing.ledger.Wallet`, and what we have to pay back."""

# Both ends of a transfer count: what moves between two of them changes nothing. Usage is a line a
# day, for it is posted a batch at a time.
_MOVED: Final = """
WITH own AS (
    SELECT id FROM billing_account WHERE organization_id = %(of)s AND kind = ANY(%(kinds)s)
), moved AS (
    SELECT transfer.*, transfer.amount AS effect
    FROM own JOIN billing_transfer transfer ON transfer.credit_id = own.id
    WHERE transfer.created_at >= %(start)s AND transfer.kind IN ('single', 'post')
    UNION ALL
    SELECT transfer.*, -transfer.amount
    FROM own JOIN billing_transfer transfer ON transfer.debit_id = own.id
    WHERE transfer.created_at >= %(start)s AND transfer.kind IN ('single', 'post')
)
SELECT (created_at AT TIME ZONE 'UTC')::date, source_type, code,
    CASE code WHEN 'usage' THEN '' ELSE source_id END, created_at < %(end)s, sum(effect)
FROM moved GROUP BY 1, 2, 3, 4, 5 HAVING sum(effect) <> 0 ORDER BY 1, 2, 3, 4
"""
_BALANCE: Final = """
SELECT coalesce(sum(kept.credits_posted - kept.debits_posted), 0)
FROM billing_account account JOIN billing_balance kept ON kept.account_id = account.id
WHERE account.organization_id = %(of)s AND account.kind = ANY(%(kinds)s)
"""


class StatementLine(NamedTuple):
    """`amount` is above 0 for what came in. `source_type`, `code` and `source_id` say for what."""

    day: date
    source_type: str
    code: str
    source_id: str
    amount: Decimal


class Statement(NamedTuple):
    """Below 0 is what is owed. `opening` and the lines add up to `closing`."""

    opening: Decimal
    lines: list[StatementLine]
    closing: Decimal


def statement_read(organization: Organization, span: Span) -> Statement:
    """What the books say of `span`, to the last decimal. Two queries."""
    facts = {"of": organization.pk, "kinds": [kind.value for kind in OWN], **span._asdict()}
    with everything("transfers have no policy"), connection.cursor() as cursor:
        cursor.execute(_BALANCE, facts)
        (now,) = cursor.fetchone() or (Decimal(0),)
        cursor.execute(_MOVED, facts)
        rows = cursor.fetchall()
    lines = [
        StatementLine(day, kind, code, source_id, amount)
        for day, kind, code, source_id, is_within, amount in rows
        if is_within
    ]
    opening = now - sum((row[5] for row in rows), Decimal(0))
    return Statement(opening, lines, opening + sum((line.amount for line in lines), Decimal(0)))
