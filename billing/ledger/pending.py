"""Money that is set apart until it is known how much of it is needed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction

from billing.ledger.accounts import AccountKey, accounts_open
from billing.ledger.books import books_advance
from billing.ledger.transfers import BooksError, Entry, Source, transfer_id, transfers_write
from billing.models import AccountKind, Balance, Transfer, TransferKind

_COVERED: Final = frozenset({AccountKind.PREPAID, AccountKind.PROMO})


@transaction.atomic
def pending_make(
    *,
    source: Source,
    debit: AccountKey,
    credit: AccountKey,
    amount: Decimal,
    timeout_at: datetime,
) -> UUID:
    """Set `amount` apart from `debit` for `credit`; the same source sets apart once.

    Raises BooksError when credit is asked for that is not there.
    """
    books_advance([key.organization_id for key in (debit, credit) if key.organization_id])
    accounts = accounts_open([debit, credit])
    identity = transfer_id(source, accounts[debit], accounts[credit])
    if Transfer.objects.filter(pk=identity).exists():
        return identity
    if debit.kind in _COVERED and _left(accounts[debit]) < amount:
        raise BooksError(f"There is less than {amount} to set apart.")
    kind = TransferKind.PENDING
    entry = Entry(
        identity, accounts[debit], accounts[credit], amount, source, kind, timeout_at=timeout_at
    )
    transfers_write([entry])
    return identity


def pending_post(pending_id: UUID, amount: Decimal) -> UUID:
    """Move `amount` of what was set apart; the rest is free again.

    Once more with the same amount changes nothing. Raises BooksError when it is more than was set
    apart, or was resolved otherwise.
    """
    return _resolve(pending_id, TransferKind.POST, amount) if amount else pending_void(pending_id)


def pending_void(pending_id: UUID) -> UUID:
    """Free what was set apart. Raises BooksError when it was posted."""
    return _resolve(pending_id, TransferKind.VOID, Decimal(0))


def pendings_expire(now: datetime) -> int:
    """Void those whose time is over, and return how many."""
    late = Transfer.objects.filter(kind=TransferKind.PENDING, timeout_at__lte=now)
    resolved = Transfer.objects.exclude(pending=None).values("pending")
    found = list(late.exclude(pk__in=resolved).values_list("pk", flat=True))
    return sum(_is_voided(pk) for pk in found)


def _is_voided(pending_id: UUID) -> bool:
    """False when it was posted at the last moment."""
    try:
        pending_void(pending_id)
    except BooksError:
        return False
    return True


@transaction.atomic
def _resolve(pending_id: UUID, kind: TransferKind, amount: Decimal) -> UUID:
    pending = Transfer.objects.select_related("debit", "credit").get(pk=pending_id)
    sides = (pending.debit, pending.credit)
    books_advance([one.organization_id for one in sides if one.organization_id])
    if done := Transfer.objects.filter(pending=pending).first():
        if (done.kind, done.amount) != (kind, amount):
            raise BooksError(f"Transfer {pending_id} was resolved otherwise.")
        return done.pk
    if amount > pending.amount:
        raise BooksError(f"{amount} is more than the {pending.amount} set apart.")
    entry = _resolution(pending, kind, amount)
    transfers_write([entry])
    return entry.id


def _resolution(pending: Transfer, kind: TransferKind, amount: Decimal) -> Entry:
    source = Source("transfer", str(pending.pk), kind.value)
    return Entry(
        transfer_id(source, pending.debit_id, pending.credit_id),
        pending.debit_id,
        pending.credit_id,
        amount,
        source,
        kind,
        pending=pending.pk,
        releases=pending.amount,
    )


def _left(account: UUID) -> Decimal:
    balance = Balance.objects.get(account=account)
    return balance.credits_posted - balance.debits_posted - balance.debits_pending
