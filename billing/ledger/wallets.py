"""What organizations have and owe, as one reads it from the books."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from billing.models import Mode

# One statement: the balances are those of the version beside them.
_READ: Final = """
SELECT organization.id,
    COALESCE(sum(own.amount) FILTER (WHERE own.kind = 'prepaid'), 0),
    COALESCE(sum(own.amount) FILTER (WHERE own.kind = 'promo'), 0),
    COALESCE(sum(-own.amount) FILTER (WHERE own.kind = 'unbilled'), 0),
    COALESCE(sum(-own.amount) FILTER (WHERE own.kind = 'receivable'), 0),
    COALESCE(max(books.version), 0), max(terms.mode), max(terms.credit_limit)
FROM unnest(%s::uuid[]) AS organization(id)
    LEFT JOIN billing_books books ON books.organization_id = organization.id
    LEFT JOIN billing_terms terms ON terms.organization_id = organization.id
    LEFT JOIN (
        SELECT account.organization_id, account.kind,
            kept.credits_posted - kept.debits_posted - kept.debits_pending AS amount
        FROM billing_account account JOIN billing_balance kept ON kept.account_id = account.id
        WHERE account.kind IN ('prepaid', 'promo', 'unbilled', 'receivable')
            AND (account.expires_at IS NULL OR account.expires_at > %s)
    ) own ON own.organization_id = organization.id
GROUP BY organization.id
"""


class Wallet(NamedTuple):
    """EUR that an organization has and owes. What is set apart by a pending transfer is not in it.

    `version` is that of its books, 0 while it has none.
    """

    prepaid: Decimal
    promo: Decimal
    unbilled: Decimal
    receivable: Decimal
    version: int
    mode: Mode
    credit_limit: Decimal | None

    @property
    def available(self) -> Decimal | None:
        """What may still be spent, below 0 when more was; None is no limit."""
        if self.mode is Mode.PREPAID:
            return self.balance
        return None if self.credit_limit is None else self.balance + self.credit_limit

    @property
    def balance(self) -> Decimal:
        return self.prepaid + self.promo - self.unbilled - self.receivable


def wallet_read(organization_ids: Collection[UUID]) -> dict[UUID, Wallet]:
    """The wallet of each, in one query. Credit that has expired does not count."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(organization_ids), timezone.now()])
        return {
            pk: Wallet._make((*sums, Mode(mode or Mode.POSTPAID), credit_limit))
            for pk, *sums, mode, credit_limit in cursor.fetchall()
        }
