"""The one place that writes transfers and moves balances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from django.db import connection
from django.utils import timezone

from billing.models import TransferKind

_NAMESPACE: Final = UUID("9c4f5d0e-6a53-5d5b-8f5e-0d6b0f6f1a55")
_ZERO: Final = Decimal(0)

_COPY: Final = """
COPY billing_transfer (
    id, debit_id, credit_id, amount, kind, pending_id, timeout_at, code, source_type, source_id,
    batch_id, created_at
) FROM STDIN
"""
_LOCK: Final = """
SELECT FROM billing_balance WHERE account_id = ANY(%s) ORDER BY account_id FOR UPDATE
"""
_MOVE: Final = """
UPDATE billing_balance AS kept SET
    debits_pending = kept.debits_pending + moved.debits_pending,
    debits_posted = kept.debits_posted + moved.debits_posted,
    credits_pending = kept.credits_pending + moved.credits_pending,
    credits_posted = kept.credits_posted + moved.credits_posted
FROM unnest(%s::uuid[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])
    AS moved(account_id, debits_pending, debits_posted, credits_pending, credits_posted)
WHERE kept.account_id = moved.account_id
"""


class BooksError(RuntimeError):
    """The books refuse: the caller has a mistake, and its transaction must not be committed."""


class Source(NamedTuple):
    """What a transfer is for: `id` among those of `type`, and `code`, which part of it."""

    type: str
    id: str
    code: str


class Entry(NamedTuple):
    """A transfer that is to be written. `releases` is the pending amount that it resolves."""

    id: UUID
    debit: UUID
    credit: UUID
    amount: Decimal
    source: Source
    kind: TransferKind = TransferKind.SINGLE
    pending: UUID | None = None
    releases: Decimal = _ZERO
    timeout_at: datetime | None = None
    batch_id: UUID | None = None

    @property
    def moves(self) -> tuple[Decimal, Decimal]:
        """What it adds to the pending and to the posted of either account."""
        if self.kind is TransferKind.PENDING:
            return self.amount, _ZERO
        return -self.releases, self.amount


def transfer_id(source: Source, debit: UUID, credit: UUID) -> UUID:
    """The same for each try to write the same transfer."""
    return uuid5(_NAMESPACE, "\n".join((*source, str(debit), str(credit))))


def entry_of(
    source: Source, debit: UUID, credit: UUID, amount: Decimal, *, batch_id: UUID | None = None
) -> Entry:
    """A single transfer."""
    identity = transfer_id(source, debit, credit)
    return Entry(identity, debit, credit, amount, source, batch_id=batch_id)


def transfers_write(entries: Sequence[Entry]) -> None:
    """Write `entries` and move the balances of their accounts. The books are locked.

    The platform's accounts are everybody's: their balances are locked from here to the commit.
    """
    if not entries:
        return
    _write(entries)
    _move(_moved(entries))


def _write(entries: Iterable[Entry]) -> None:
    now = timezone.now()
    wrapped = connection.wrap_database_errors  # Django's cursor does not do it for a copy
    with wrapped, connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for one in entries:
            copy.write_row((
                one.id, one.debit, one.credit, one.amount, one.kind.value, one.pending,
                one.timeout_at, one.source.code, one.source.type, one.source.id, one.batch_id, now,
            ))  # fmt: skip


def _moved(entries: Iterable[Entry]) -> dict[UUID, list[Decimal]]:
    """By account: debits pending and posted, credits pending and posted."""
    moved = dict[UUID, list[Decimal]]()
    for entry in entries:
        pending, posted = entry.moves
        debit = moved.setdefault(entry.debit, [_ZERO] * 4)
        debit[0] += pending
        debit[1] += posted
        credit = moved.setdefault(entry.credit, [_ZERO] * 4)
        credit[2] += pending
        credit[3] += posted
    return moved


def _move(moved: Mapping[UUID, Sequence[Decimal]]) -> None:
    accounts = list(moved)
    sums = [list(column) for column in zip(*moved.values(), strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [accounts])
        cursor.execute(_MOVE, [accounts, *sums])
        if cursor.rowcount != len(accounts):
            raise BooksError("An account has no balance.")
