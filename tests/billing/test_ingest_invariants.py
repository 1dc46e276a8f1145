"""Whatever the order, the batches and the repetitions: the same events, sums, alerts and books."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from django.db import connection, transaction
from django.db.models import Model, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ingest import ingest
from billing.ledger import books_check, promo_grant, wallet_read
from billing.metering import UsageRecord
from billing.models import (
    Budget,
    BudgetAlert,
    BudgetSpent,
    Outcome,
    Period,
    Transfer,
    UsageDay,
    UsageEvent,
    UsageHour,
)
from tests.billing.records import NOON, put
from tests.conftest import Cast

pytestmark = pytest.mark.django_db

USES: Final = st.tuples(
    st.booleans(),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.sampled_from(Outcome.values),
    st.integers(0, 40).map(lambda hours: timedelta(hours=hours)),
)
"""Of which organization, input and output tokens, the ending, and when."""
SUMS: Final = ("requests", "input_tokens", "output_tokens", "amount")


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def records_of(record: UsageRecord, cast: Cast, uses: Sequence[Any]) -> list[UsageRecord]:
    whose = {
        False: (cast.acme.id, cast.project.id, cast.key.api_key.id),
        True: (cast.rival.id, cast.rival_project.id, cast.rival_key.api_key.id),
    }
    made = []
    for number, (is_rival, fresh, output, outcome, after) in enumerate(uses):
        organization, project, key = whose[is_rival]
        made.append(msgspec.structs.replace(
            record, request_id=UUID(int=number), organization_id=organization, project_id=project,
            api_key_id=key, input_tokens=fresh + 10, cached_tokens=10, output_tokens=output,
            outcome=outcome, occurred_at=NOON + after,
        ))  # fmt: skip
    return made


def deliver(records: Sequence[UsageRecord], sizes: Sequence[int]) -> None:
    """In batches of `sizes`, again and again."""
    rest, turn = list(records), 0
    while rest:
        size = sizes[turn % len(sizes)]
        put(*rest[:size])
        while ingest():
            pass
        rest, turn = rest[size:], turn + 1


def sums(model: type[Model]) -> dict[str, Any]:
    found: dict[str, Any] = model._default_manager.aggregate(
        **{name: Sum(name, default=0) for name in SUMS}
    )
    return found


def state() -> dict[str, Any]:
    """All that must not depend on the way there."""
    rows: dict[str, Any] = {
        "events": UsageEvent.objects.values_list("organization_id", "request_id", "amount"),
        "hours": UsageHour.objects.values_list("organization_id", "hour", *SUMS),
        "days": UsageDay.objects.values_list("organization_id", "day", *SUMS),
        "spent": BudgetSpent.objects.values_list("budget_id", "period_start", "spent"),
        "alerts": BudgetAlert.objects.values_list("budget_id", "period_start", "threshold"),
        "revenue": Transfer.objects.filter(credit__organization=None)
        .values_list("credit__part")
        .annotate(Sum("amount")),
    }
    return {name: sorted(found) for name, found in rows.items()}


@pytest.fixture
def budgets(cast: Cast) -> list[Budget]:
    return [
        Budget.objects.create(
            organization=organization, period=period, amount=Decimal("0.02"), thresholds=[50, 100]
        )
        for organization in (cast.acme, cast.rival)
        for period in Period
    ]


@settings(
    max_examples=12, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    uses=st.lists(USES, min_size=1, max_size=12),
    again=st.lists(st.integers(0, 11), max_size=6),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    order=st.randoms(use_true_random=False),
)
def test_any_order_batching_and_repetition_books_the_same(
    record: UsageRecord, cast: Cast, budgets: list[Budget],
    uses: Sequence[Any], again: Sequence[int], sizes: Sequence[int], order: Any,
) -> None:  # fmt: skip
    records = records_of(record, cast, uses)
    repeated = [*records, *(records[number % len(records)] for number in again)]
    order.shuffle(repeated)
    with undone():
        deliver(records, [len(records)])
        plain = state()
    with undone():
        deliver(repeated, sizes)
        assert state() == plain
        agree(cast, len(records))


def agree(cast: Cast, requests: int) -> None:
    """Events, hours, days, budgets, alerts and books among themselves."""
    assert UsageEvent.objects.count() == requests
    total = UsageEvent.objects.aggregate(total=Sum("amount", default=0))["total"]
    assert sums(UsageHour) == sums(UsageDay)
    assert (sums(UsageHour)["requests"], sums(UsageHour)["amount"]) == (requests, total)
    wallets = wallet_read([cast.acme.id, cast.rival.id]).values()
    assert sum(wallet.unbilled for wallet in wallets) == total
    for spent in BudgetSpent.objects.select_related("budget"):
        reached = {t for t in (50, 100) if spent.spent * 100 >= spent.budget.amount * t}
        alerts = BudgetAlert.objects.filter(budget=spent.budget, period_start=spent.period_start)
        assert set(alerts.values_list("threshold", flat=True)) == reached
    assert books_check() == []


def test_a_replay_of_all_records_gives_the_same_balances(record: UsageRecord, cast: Cast) -> None:
    uses = [(n % 3 == 0, 900 + n, 7 * n, "completed", timedelta(hours=n)) for n in range(30)]
    records = records_of(record, cast, uses)
    balances = []
    for sizes, way in (([30], 1), ([4, 7], -1)):
        with undone():
            promo_grant(
                actor=None, organization=cast.acme, amount=Decimal("0.005"),
                expires_at=NOON.replace(year=2099), reason="a start",
            )  # fmt: skip
            deliver(records[::way], sizes)
            balances.append((wallet_read([cast.acme.id, cast.rival.id]), state()["revenue"]))
    first, second = ({pk: w._replace(version=0) for pk, w in of.items()} for of, _ in balances)
    assert first == second
    assert balances[0][1] == balances[1][1]


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_time_book_each_request_once(
    record: UsageRecord, cast: Cast, budgets: list[Budget]
) -> None:
    uses = [(n % 2 == 0, 10 * n, n, "completed", timedelta(hours=n % 5)) for n in range(120)]
    for one in records_of(record, cast, uses):
        put(one)
        put(one)

    def work() -> None:
        try:
            while ingest(17):
                pass
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as workers:
        for done in [workers.submit(work) for _ in range(3)]:
            done.result()
    agree(cast, len(uses))
