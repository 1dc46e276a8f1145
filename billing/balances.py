"""What may still be spent, as the books say it: the numbers that seed the counters of requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from billing.ledger import wallet_read
from billing.models import Period

WALLET: Final = "w"
MOST_NANO: Final = 9 * 10**15
"""More than this a counter cannot tell exactly; it stands for all that is above."""
SILENT_MINUTES: Final = 15
"""A lease counts for so long after its gateway was last heard of."""
_NEAR: Final = timedelta(hours=1)
_NANO: Final = Decimal(10**9)

_BUDGETS: Final = """
SELECT budget.organization_id, budget.id, period.start,
    budget.amount - COALESCE(kept.spent, (
        SELECT sum(day.amount) FROM billing_usageday day
        WHERE day.organization_id = budget.organization_id
            AND (budget.project_id IS NULL OR budget.project_id = day.project_id)
            AND (budget.api_key_id IS NULL OR budget.api_key_id = day.api_key_id)
            AND day.day >= period.start
            AND day.day < period.start + ('1 ' || period.name)::interval
    ), 0)
FROM billing_budget budget
    JOIN unnest(%s::text[], %s::date[]) AS period(name, start) ON period.name = budget.period
    LEFT JOIN billing_budgetspent kept
        ON kept.budget_id = budget.id AND kept.period_start = period.start
WHERE budget.is_hard AND budget.organization_id = ANY(%s)
"""
_LEASES: Final = """
SELECT lease.organization_id, lease.scope, sum(lease.amount_nano)
FROM billing_lease lease JOIN billing_spender spender ON spender.name = lease.spender_id
WHERE lease.organization_id = ANY(%s)
    AND spender.heard_at > statement_timestamp() - make_interval(mins => %s)
GROUP BY 1, 2
"""


class Balances(NamedTuple):
    """By scope, in 10⁻⁹ EUR; one without a limit is not among them. Higher versions are newer."""

    version: int
    by_scope: dict[str, int]


@lru_cache(maxsize=10_000)
def budget_scope(budget_id: UUID, start: date) -> str:
    """The counter of a budget in the period that starts at `start`."""
    return f"b:{budget_id.hex}:{start:%Y%m%d}"


def period_start(period: Period, day: date) -> date:
    """Of the period that `day`, of UTC, is in."""
    return day if period is Period.DAY else day.replace(day=1)


def balances_read(organization_ids: Collection[UUID]) -> dict[UUID, Balances]:
    """The wallet and every hard budget of each without what is leased, never more than there is.

    Of budgets the period at hand, and within an hour of its ends the one beside it. The version is
    read before the rest: what is read after it may be newer than it says, and never older.
    """
    wallets = wallet_read(organization_ids)
    scopes = defaultdict[UUID, dict[str, int]](dict)
    for organization_id, wallet in wallets.items():
        if (available := wallet.available) is not None:
            scopes[organization_id][WALLET] = _nano(available)
    for organization_id, budget_id, start, left in _budgets(organization_ids, timezone.now()):
        scopes[organization_id][budget_scope(budget_id, start)] = _nano(left)
    for (organization_id, scope), nano in leases_read(organization_ids).items():
        if scope in scopes[organization_id]:
            scopes[organization_id][scope] -= nano
    return {one: Balances(wallet.version, scopes[one]) for one, wallet in wallets.items()}


def leases_read(organization_ids: Collection[UUID]) -> dict[tuple[UUID, str], int]:
    """What gateways have set apart, by organization and scope; see `billing.leases`."""
    with connection.cursor() as cursor:
        cursor.execute(_LEASES, [list(organization_ids), SILENT_MINUTES])
        return {(one, scope): int(nano) for one, scope, nano in cursor.fetchall()}


def _budgets(
    organization_ids: Collection[UUID], now: datetime
) -> list[tuple[UUID, UUID, date, Decimal]]:
    periods = sorted({
        (period.value, period_start(period, moment.date()))
        for period in Period
        for moment in (now - _NEAR, now, now + _NEAR)
    })  # fmt: skip
    names, starts = map(list, zip(*periods, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(_BUDGETS, [names, starts, list(organization_ids)])
        rows: list[tuple[UUID, UUID, date, Decimal]] = cursor.fetchall()
    return rows


def _nano(euros: Decimal) -> int:
    nano = int((euros * _NANO).to_integral_value(ROUND_FLOOR))
    return max(-MOST_NANO, min(nano, MOST_NANO))
