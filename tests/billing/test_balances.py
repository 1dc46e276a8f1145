"""What counters in Valkey are told: whole nanos, no more than there is, within what they hold."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import time_machine

from billing.balances import MOST_NANO, WALLET, balances_read, budget_scope, period_start
from billing.models import Budget, BudgetSpent, Mode, Period, Terms, UsageDay
from tests.billing.ledger.reading import use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("limit", "spent", "nano"),
    [
        ("1", "0.0000000005", 999_999_999), ("1", "1.0000000005", -1),
        ("8999999", "0", 8_999_999 * 10**9), ("9000001", "0", 9 * 10**15),
        ("0", "9000001", -9 * 10**15),
    ],
)  # fmt: skip
def test_a_wallet_is_rounded_down_and_cut_where_counters_end(
    cast: Cast, limit: str, spent: str, nano: int
) -> None:
    Terms.objects.create(organization=cast.acme, mode=Mode.POSTPAID, credit_limit=Decimal(limit))
    if Decimal(spent):
        use(cast.acme, input=spent)
    found = balances_read([cast.acme.pk])[cast.acme.pk]
    assert found.by_scope == {WALLET: nano}
    assert MOST_NANO == 9 * 10**15


def test_a_month_begins_on_its_first_day() -> None:
    day = date(2028, 2, 29)
    assert period_start(Period.MONTH, day) == date(2028, 2, 1)
    assert period_start(Period.DAY, day) == day


def _used(cast: Cast, day: date, amount: int) -> None:
    UsageDay.objects.create(
        organization=cast.acme, project=cast.project, api_key=cast.key.api_key, day=day, model="m",
        requests=1, failed_requests=0, input_tokens=1, cached_tokens=0, output_tokens=1,
        amount=amount, currency="EUR",
    )  # fmt: skip


@time_machine.travel(datetime(2026, 3, 15, 12, tzinfo=UTC), tick=False)
def test_a_budget_is_what_its_own_period_has_left_of_it(cast: Cast) -> None:
    """From its first day to its last, and by its own sum where there is one."""
    month = Budget.objects.create(organization=cast.acme, amount=1000)
    daily = Budget.objects.create(organization=cast.acme, amount=100, period=Period.DAY)
    other = Budget.objects.create(organization=cast.acme, amount=500, project=cast.project)
    days = ((2, 28), (3, 1), (3, 14), (3, 15), (3, 16), (3, 31), (4, 1))
    for at, (of, day) in enumerate(days):
        _used(cast, date(2026, of, day), 2**at)
    march = date(2026, 3, 1)
    BudgetSpent.objects.create(budget=other, period_start=march, spent=7)
    BudgetSpent.objects.create(budget=other, period_start=date(2026, 2, 1), spent=70)

    found = balances_read([cast.acme.pk])[cast.acme.pk].by_scope

    nano = 10**9
    assert {scope: left for scope, left in found.items() if scope != WALLET} == {
        budget_scope(month.pk, march): (1000 - 2 - 4 - 8 - 16 - 32) * nano,
        budget_scope(daily.pk, date(2026, 3, 15)): (100 - 8) * nano,
        budget_scope(other.pk, march): (500 - 7) * nano,
    }
