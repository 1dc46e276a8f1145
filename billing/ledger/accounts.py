"""Accounts by what they are for. They are made when they are first needed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from billing.models import Account, AccountKind, Balance, Component


class AccountKey(NamedTuple):
    """What an account is for; the platform's have no organization."""

    organization_id: UUID | None
    kind: AccountKind
    part: str = ""
    currency: str = "EUR"


def revenue_of(component: Component, currency: str = "EUR") -> AccountKey:
    return AccountKey(None, AccountKind.REVENUE, component.value, currency)


def accounts_open(keys: Collection[AccountKey]) -> dict[AccountKey, UUID]:
    """The account of each key. Two queries more when some are missing."""
    found = _find(keys)
    if missing := sorted(set(keys) - set(found), key=_order):
        _make(missing)
        found |= _find(missing)
    return found


def lot_open(key: AccountKey, expires_at: datetime | None) -> UUID:
    """The account of a lot of promotional credit."""
    if not _find([key]):
        _make([key], expires_at)
    return _find([key])[key]


def _find(keys: Collection[AccountKey]) -> dict[AccountKey, UUID]:
    of_whom = Q(organization__in={key.organization_id for key in keys} - {None})
    if any(key.organization_id is None for key in keys):
        of_whom |= Q(organization=None)
    wanted = Account.objects.filter(
        of_whom, kind__in={key.kind for key in keys}, part__in={key.part for key in keys}
    )
    rows = wanted.values_list("organization_id", "kind", "part", "currency", "id")
    found = {
        AccountKey(owner, AccountKind(kind), part, currency): pk
        for owner, kind, part, currency, pk in rows
    }
    return {key: found[key] for key in keys if key in found}


def _make(keys: Iterable[AccountKey], expires_at: datetime | None = None) -> None:
    """Another transaction may make the same at this moment: in one order, so both get through."""
    accounts = [
        Account(organization_id=key.organization_id, kind=key.kind, part=key.part,
                currency=key.currency, expires_at=expires_at)
        for key in keys
    ]  # fmt: skip
    Account.objects.bulk_create(accounts, ignore_conflicts=True)
    made = Account.objects.filter(pk__in=[account.pk for account in accounts])
    Balance.objects.bulk_create(Balance(account=account) for account in made)


def _order(key: AccountKey) -> tuple[str, ...]:
    return (str(key.organization_id or ""), key.kind, key.part, key.currency)
