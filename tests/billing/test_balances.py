"""What counters in Valkey are told: whole nanos, no more than there is, within what they hold."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from billing.balances import MOST_NANO, WALLET, balances_read, period_start
from billing.models import Mode, Period, Terms
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
