"""What one source moves between several accounts, written once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from billing.ledger.accounts import AccountKey, accounts_open
from billing.ledger.transfers import BooksError, Source, entry_of, transfers_write
from billing.models import Transfer


class Leg(NamedTuple):
    account: AccountKey
    amount: Decimal


class Move(NamedTuple):
    debit: AccountKey
    credit: AccountKey
    amount: Decimal


class Booked(NamedTuple):
    """`is_new` is False when the same was booked before; then nothing has changed."""

    transfers: int
    is_new: bool


def journal_write(source: Source, debited: Iterable[Leg], credited: Iterable[Leg]) -> Booked:
    """Write all moves of a source, or none when it is booked. The books are locked."""
    pairs = list(moves(debited, credited))
    if not pairs or is_booked(source):
        return Booked(0, is_new=False)
    accounts = accounts_open({key for move in pairs for key in (move.debit, move.credit)})
    transfers_write(
        [
            entry_of(source, accounts[debit], accounts[credit], amount)
            for debit, credit, amount in pairs
        ]
    )
    return Booked(len(pairs), is_new=True)


def is_booked(source: Source) -> bool:
    return Transfer.objects.filter(
        source_type=source.type, source_id=source.id, code=source.code
    ).exists()


def moves(debited: Iterable[Leg], credited: Iterable[Leg]) -> Iterator[Move]:
    """Pair what is debited with what is credited, in their order; nothing moves by 0.

    Raises BooksError when both sides are not the same sum, or one is below 0.
    """
    sides = [[leg for leg in side if leg.amount] for side in (debited, credited)]
    totals = {sum((leg.amount for leg in side), Decimal(0)) for side in sides}
    if len(totals) > 1 or any(leg.amount < 0 for side in sides for leg in side):
        raise BooksError(f"Not the same sum on both sides: {totals}.")
    waiting, to = (iter(side) for side in sides)
    credit = next(to, None)
    for debit in waiting:
        left = debit.amount
        while left and credit:
            moved = min(left, credit.amount)
            yield Move(debit.account, credit.account, moved)
            left -= moved
            rest = credit.amount - moved
            credit = Leg(credit.account, rest) if rest else next(to, None)
