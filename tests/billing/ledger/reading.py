"""What the books say, read without the code that writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Sum

from billing.ledger import usage_post
from billing.models import AccountKind, Balance, Component
from tenants.models import Organization, new_id

NOON: Final = datetime(2099, 3, 1, 12, tzinfo=UTC)
"""After everything that a test sets in the years before."""


@contextmanager
def undone() -> Iterator[None]:
    """For one example of many: nothing of it is left for the next."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def use(organization: Organization, moment: datetime = NOON, **cost: str) -> UUID:
    """Post a batch of one organization's usage; `cost` is EUR by component."""
    batch = new_id()
    amounts = {Component(name): Decimal(amount) for name, amount in cost.items()}
    with transaction.atomic():
        usage_post(batch, {organization.pk: amounts}, moment)
    return batch


def balances(organization: Organization | None) -> dict[str, Decimal]:
    """EUR by kind of account (`revenue` by component too), below 0 for what is owed to us."""
    rows = Balance.objects.filter(account__organization=organization)
    by_account = rows.values_list("account__kind", "account__part").annotate(
        net=Sum(F("credits_posted") - F("debits_posted"))
    )
    sums = dict[str, Decimal]()
    for kind, part, amount in by_account:
        name = f"{kind}:{part}" if kind == AccountKind.REVENUE else kind
        sums[name] = sums.get(name, Decimal(0)) + amount
    return {name: amount for name, amount in sums.items() if amount}


def is_balanced() -> bool:
    """Each debit is somebody's credit, of what is posted and of what is pending."""
    sides = Balance.objects.aggregate(
        posted=Sum(F("debits_posted") - F("credits_posted")),
        pending=Sum(F("debits_pending") - F("credits_pending")),
    )
    return not any(sides.values())
