"""Usage into the books: who pays, from what, and what we earned by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import starmap
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection

from billing.ledger.accounts import AccountKey, accounts_open, revenue_of
from billing.ledger.books import books_advance
from billing.ledger.transfers import BooksError, Entry, Source, entry_of, transfers_write
from billing.models import AccountKind, Books, Component

type Amounts = Mapping[UUID, Mapping[Component, Decimal]]
"""Money in its currency by organization and component."""

_PURSES: Final = """
SELECT account.organization_id, account.id,
    kept.credits_posted - kept.debits_posted - kept.debits_pending
FROM billing_account account JOIN billing_balance kept ON kept.account_id = account.id
WHERE account.organization_id = ANY(%s) AND account.kind IN ('promo', 'prepaid')
    AND (account.expires_at IS NULL OR account.expires_at > %s)
    AND kept.credits_posted > kept.debits_posted + kept.debits_pending
ORDER BY account.kind = 'prepaid', account.expires_at NULLS LAST, account.created_at, account.id
"""
_POSTED: Final = """
SELECT payer.organization_id, earned.part, sum(transfer.amount)
FROM billing_transfer transfer
    JOIN billing_account payer ON payer.id = transfer.debit_id
    JOIN billing_account earned ON earned.id = transfer.credit_id
WHERE transfer.batch_id = %s AND payer.organization_id = ANY(%s)
GROUP BY 1, 2
"""


class Purse(NamedTuple):
    """An account to draw from; `left` is None for one that has no end."""

    account: UUID
    left: Decimal | None


class Draw(NamedTuple):
    account: UUID
    component: Component
    amount: Decimal


def usage_post(batch_id: UUID, amounts: Amounts, moment: datetime) -> None:
    """Post what a batch cost each organization, in the caller's transaction.

    It is drawn from the promotional credit that had not expired at `moment`, the first to expire
    first, then from prepaid credit, and what these do not cover is unbilled. Locks the books; call
    it late in the transaction, since it also locks the platform's revenue, and once.

    Raises BooksError for a batch that these organizations have posted already.
    """
    books = books_advance(amounts)
    owing = {pk: costs for pk, of_one in amounts.items() if (costs := _costs(of_one))}
    if not owing:
        return
    if _posted(batch_id, owing):
        raise BooksError(f"Batch {batch_id} is posted already.")
    transfers_write(list(_entries(batch_id, owing, moment, books)))
    _verify(batch_id, owing)


def draws(purses: Iterable[Purse], costs: Mapping[Component, Decimal]) -> Iterator[Draw]:
    """Empty `purses`, none of which is empty yet, in their order; the last has no end."""
    following = iter(purses)
    account, left = next(following)
    for component, cost in costs.items():
        owed = cost
        while left is not None and owed >= left:
            yield Draw(account, component, left)
            owed -= left
            account, left = next(following)
        if owed:
            yield Draw(account, component, owed)
            left = None if left is None else left - owed


def _costs(amounts: Mapping[Component, Decimal]) -> dict[Component, Decimal]:
    """What costs, in the order of components; a part below zero is an error."""
    if any(amount < 0 for amount in amounts.values()):
        raise BooksError("Usage cannot cost less than nothing.")
    return {one: amounts[one] for one in Component if amounts.get(one)}


def _entries(
    batch_id: UUID, owing: Amounts, moment: datetime, books: Mapping[UUID, Books]
) -> Iterator[Entry]:
    currencies = {pk: books[pk].currency for pk in owing}
    earned = {(one, currencies[pk]) for pk, costs in owing.items() for one in costs}
    unbilled = {
        pk: AccountKey(pk, AccountKind.UNBILLED, currency=currency)
        for pk, currency in currencies.items()
    }
    accounts = accounts_open([*starmap(revenue_of, earned), *unbilled.values()])
    purses = _purses(owing, moment)
    source = Source("batch", str(batch_id), "usage")
    for pk, costs in owing.items():
        ends_with = Purse(accounts[unbilled[pk]], None)
        for draw in draws([*purses.get(pk, ()), ends_with], costs):
            credit = accounts[revenue_of(draw.component, currencies[pk])]
            yield entry_of(source, draw.account, credit, draw.amount, batch_id=batch_id)


def _purses(organization_ids: Collection[UUID], moment: datetime) -> dict[UUID, list[Purse]]:
    purses = dict[UUID, list[Purse]]()
    with connection.cursor() as cursor:
        cursor.execute(_PURSES, [list(organization_ids), moment])
        for organization_id, account, left in cursor.fetchall():
            purses.setdefault(organization_id, []).append(Purse(account, left))
    return purses


def _verify(batch_id: UUID, owing: Amounts) -> None:
    """What the table holds equals what was asked for.

    It is read back, since PostgreSQL rounds what is finer than its column and sums in Python before
    would not see that.
    """
    if _posted(batch_id, owing) != {pk: dict(costs) for pk, costs in owing.items()}:
        raise BooksError(f"The transfers of batch {batch_id} do not add up to its usage.")


def _posted(batch_id: UUID, organization_ids: Collection[UUID]) -> Amounts:
    """The transfers of a batch, as they are in the table."""
    sums = dict[UUID, dict[Component, Decimal]]()
    with connection.cursor() as cursor:
        cursor.execute(_POSTED, [batch_id, list(organization_ids)])
        for organization_id, part, amount in cursor.fetchall():
            sums.setdefault(organization_id, {})[Component(part)] = amount
    return sums
