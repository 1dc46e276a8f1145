"""The counters of what may be spent, set from the books."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db.models import Q

from billing.balances import balances_read
from billing.holds import Posting, Reaped, orphans, reap, seed_many
from billing.models import Budget, Mode, Terms


def accounts_seed(organization_ids: Collection[UUID]) -> None:
    """Tell Valkey what each organization may spend, as the books say it now."""
    seed_many([
        Posting(organization_id, version, balances)
        for organization_id, (version, balances) in balances_read(organization_ids).items()
    ])  # fmt: skip


def accounts_tend() -> Reaped:
    """Seed all that have a limit of money, and end the holds of gateways that are gone.

    What such a gateway knew of them comes from its spool, if that can still be read; only holds of
    which nothing was heard for long are voided here.
    """
    accounts_seed(_limited())
    return reap(orphans(), {})


def _limited() -> set[UUID]:
    """The organizations that can run out of money."""
    terms = Terms.objects.filter(Q(mode=Mode.PREPAID) | Q(credit_limit__isnull=False))
    budgets = Budget.objects.filter(is_hard=True)
    return {*terms.values_list("pk", flat=True), *budgets.values_list("organization_id", flat=True)}
