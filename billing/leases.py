"""Credit that a gateway sets apart in PostgreSQL while no Valkey counts for all gateways.

Either Valkey counts what requests may spend, or leases do, never both at once. So each gateway says
here by which run of Valkey it counts, or that it counts by none and has leases on all that it has
exposed. Leases are granted only when all count by none; a new run of Valkey is used only when no
gateway counts by another. A row is believed for SILENT_MINUTES after it was last renewed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Now

from billing.balances import SILENT_MINUTES, balances_read, leases_read
from billing.ledger import books_advance
from billing.models import Lease, Spender

CHUNK_NANO: Final = 10**9
"""One EUR. More is taken at a time only from more than fifty, and less from less than eight: what
one gateway has to spare must not be missed by the others."""
SHARE: Final = 8
LARGE_SHARE: Final = 50
RECENT: Final = timedelta(seconds=5)
"""Who took more so lately may have some to spare; later he would have given it back."""
FORGOTTEN: Final = timedelta(days=1)
_FENCE: Final = 0x1EA5E
_PATIENCE: Final = "SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '2s'"

type Amounts = Mapping[tuple[UUID, str], int]
"""Nano by organization and scope."""


class LeaseRefused(Exception):  # noqa: N818 - a state of things
    """Nothing can be set apart now, and waiting may help: `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Short(NamedTuple):
    """`scope` does not have what was asked for. Of its balance all leases have `leased_nano`."""

    scope: str
    balance_nano: int
    leased_nano: int


class LeasesSeen(NamedTuple):
    """`spenders` count by no Valkey; over all of them what is set apart of each organization's."""

    spenders: int
    organizations: int
    leased_nano: Mapping[UUID, int]


@transaction.atomic
def leases_write(
    spender: str, amounts: Amounts, *, epoch: str = "", replaces: Collection[str] = ()
) -> set[UUID]:
    """Make `amounts` all that `spender` has set apart, and return whose balances changed by it.

    The spenders that it `replaces` are gone, with their leases.
    """
    _fence(is_shared=False)
    gone = Lease.objects.filter(spender__in=[spender, *replaces])
    touched = {*gone.values_list("organization_id", flat=True), *(pk for pk, _ in amounts)}
    books_advance(touched)
    gone.delete()
    Spender.objects.filter(name__in=replaces).delete()
    Spender.objects.filter(heard_at__lt=Now() - FORGOTTEN).delete()
    _hear(spender, epoch)
    Lease.objects.bulk_create(
        Lease(spender_id=spender, organization_id=pk, scope=scope, amount_nano=nano)
        for (pk, scope), nano in amounts.items()
        if nano > 0
    )
    return touched


@transaction.atomic
def spender_attach(spender: str, epoch: str, *, is_forced: bool = False) -> set[UUID] | None:
    """Count by the run `epoch` of Valkey from here on; no lease is granted from the commit on.

    Before the first request, the balances that are returned must be set anew in Valkey: those of
    organizations with leases. None where another spender counts by another run, which it must leave
    first; `is_forced` does not wait for it.
    """
    _fence(is_shared=False)
    others = _heard().exclude(name=spender).exclude(epoch__in=["", epoch])
    if not is_forced and others.exists():
        return None
    _hear(spender, epoch)
    return set(Lease.objects.values_list("organization_id", flat=True))


def spender_heard(spender: str, epoch: str) -> bool:
    """Say that it lives and counts as before; False where nobody knows, and it must begin anew."""
    return bool(_heard().filter(name=spender, epoch=epoch).update(heard_at=Now()))


def spender_leave(spender: str) -> None:
    """It stops, and nothing that it let in is left to be booked."""
    Spender.objects.filter(name=spender).delete()


@transaction.atomic
def spenders_adopt(spender: str, dead: Collection[str], epoch: str) -> bool:
    """Take the place of `dead` ones that counted by the same run; False where one did not.

    Then nothing is changed, and what they exposed is to be written with `leases_write`.
    """
    _fence(is_shared=False)
    found = Spender.objects.filter(name__in=dead)
    if found.exclude(epoch=epoch).exists() or Lease.objects.filter(spender__in=dead).exists():
        return False
    found.delete()
    return True


@transaction.atomic
def lease_take(
    spender: str, organization_id: UUID, needs: Mapping[str, int]
) -> dict[str, int] | Short:
    """Set apart at least what `needs` says of each scope; what was set apart is returned.

    Raises LeaseRefused.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PATIENCE)
    _fence(is_shared=True)
    epochs = dict(_heard().values_list("name", "epoch"))
    if epochs.get(spender) != "" or any(epochs.values()):
        raise LeaseRefused("a gateway counts by Valkey")
    books_advance([organization_id])
    left = balances_read([organization_id])[organization_id].by_scope
    if not needs.keys() <= left.keys():
        raise LeaseRefused("a budget that is gone")
    for scope, need in needs.items():
        if left[scope] < need:
            return _short(spender, organization_id, scope, left[scope])
    taken = {scope: chunk(left[scope], need) for scope, need in needs.items()}
    _grow(spender, organization_id, taken)
    return taken


@transaction.atomic
def leases_shrink(spender: str, amounts: Amounts) -> None:
    """Give back `amounts`, of which nothing is used."""
    books_advance({organization_id for organization_id, _ in amounts})
    for (organization_id, scope), nano in amounts.items():
        mine = Lease.objects.filter(
            spender=spender, organization_id=organization_id, scope=scope, amount_nano__gte=nano
        )
        mine.update(amount_nano=F("amount_nano") - nano)


def leases_seen() -> LeasesSeen:
    """One query each."""
    alive = Lease.objects.filter(spender__in=_heard())
    organizations = alive.values("organization_id").distinct().count()
    rows = alive.filter(scope="w").order_by().values_list("organization_id")
    leased = dict(rows.annotate(Sum("amount_nano")))
    return LeasesSeen(_heard().filter(epoch="").count(), organizations, leased)


def chunk(left_nano: int, need_nano: int) -> int:
    """How much to take at once of what is left, which covers the need."""
    usual = min(left_nano // SHARE, max(CHUNK_NANO, left_nano // LARGE_SHARE))
    return max(need_nano, usual)


def _short(spender: str, organization_id: UUID, scope: str, left_nano: int) -> Short:
    others = Lease.objects.filter(spender__in=_heard(), organization=organization_id, scope=scope)
    if others.exclude(spender=spender).filter(changed_at__gt=Now() - RECENT).exists():
        raise LeaseRefused("another gateway may give some back")
    leased_nano = leases_read([organization_id]).get((organization_id, scope), 0)
    return Short(scope, left_nano + leased_nano, leased_nano)


def _grow(spender: str, organization_id: UUID, taken: Mapping[str, int]) -> None:
    rows = Lease.objects.filter(spender=spender, organization=organization_id)
    for scope, nano in taken.items():
        grown = rows.filter(scope=scope).update(
            amount_nano=F("amount_nano") + nano, changed_at=Now()
        )
        if not grown:
            Lease.objects.create(
                spender_id=spender, organization_id=organization_id, scope=scope, amount_nano=nano
            )


def _heard() -> QuerySet[Spender]:
    return Spender.objects.filter(heard_at__gt=Now() - timedelta(minutes=SILENT_MINUTES))


def _hear(spender: str, epoch: str) -> None:
    Spender.objects.bulk_create(
        [Spender(name=spender, epoch=epoch, heard_at=Now())],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["epoch", "heard_at"],
    )


def _fence(*, is_shared: bool) -> None:
    """Who counts by what changes for one at a time, and while no lease is being taken."""
    lock = "pg_advisory_xact_lock_shared" if is_shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {lock}(%s)", [_FENCE])
