"""What follows from a batch: sums, budgets, alerts, the books, and the accounts of holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.balances import balances_read, budget_scope
from billing.holds import scopes_state
from billing.ingest import ingest
from billing.ledger import books_check, prepaid_top_up, wallet_read
from billing.metering import STREAMS, UsageRecord
from billing.models import (
    BackendHour,
    Budget,
    BudgetAlert,
    Drift,
    Mode,
    Outcome,
    Period,
    Terms,
    Transfer,
    UsageDay,
    UsageEvent,
)
from billing.seeding import accounts_seed, accounts_tend
from tenants.valkey import client
from tests.billing.records import NOON, another, put
from tests.conftest import Cast

COST = Decimal("0.000415")


def budget(cast: Cast, amount: str, **fields: object) -> Budget:
    return Budget.objects.create(
        organization=cast.acme, amount=Decimal(amount), thresholds=[50, 80, 100], **fields
    )


def test_days_are_those_of_utc(record: UsageRecord) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    put(record, *(another(record, occurred_at=midnight + timedelta(seconds=s)) for s in (-1, 0, 1)))
    ingest()
    days = UsageDay.objects.order_by("day").values_list("day", "requests", "amount")
    assert list(days) == [(date(2026, 3, 1), 2, 2 * COST), (date(2026, 3, 2), 2, 2 * COST)]


def test_a_batch_is_in_the_books_and_its_events_name_it(record: UsageRecord, cast: Cast) -> None:
    put(*(another(record) for _ in range(3)))
    ingest()
    assert wallet_read([cast.acme.id])[cast.acme.id].unbilled == 3 * COST
    batch = UsageEvent.objects.values_list("batch_id", flat=True).distinct().get()
    by_component = Transfer.objects.filter(batch_id=batch).values_list("credit__part", "amount")
    assert dict(by_component) == {
        "input": Decimal("0.0009"),
        "cached_input": Decimal("0.00012"),
        "output": Decimal("0.000225"),
    }
    assert books_check() == []


def test_what_a_backend_was_asked_is_summed_by_the_hour(record: UsageRecord) -> None:
    put(record, another(record), another(record, backend=""))
    ingest()
    hour = BackendHour.objects.get()
    assert (hour.backend, hour.hour, hour.requests) == ("gpu-1", NOON, 2)
    assert (hour.input_tokens, hour.output_tokens) == (2000, 100)


def test_a_gateway_that_crashed_bills_what_it_had_noted(record: UsageRecord) -> None:
    put(another(record, outcome=Outcome.GATEWAY_CRASH))
    ingest()
    assert UsageEvent.objects.get().amount == COST


def test_a_charge_that_differs_from_the_rate_is_told_and_the_rate_is_booked(
    record: UsageRecord,
) -> None:
    wrong = another(record, amount_nano=415_001)
    put(another(record, amount_nano=415_000), wrong, wrong, another(record, amount_nano=400_000))
    ingest()
    put(wrong)
    ingest()
    drift = Drift.objects.get()
    assert (drift.kind, drift.about, drift.at) == ("charge", record.model, NOON)
    assert (drift.expected, drift.found) == (Decimal("0.00083"), Decimal("0.000815001"))
    assert set(UsageEvent.objects.values_list("amount", flat=True)) == {COST}


def test_a_threshold_is_reported_once_in_a_period(record: UsageRecord, cast: Cast) -> None:
    spent = budget(cast, "0.01", period=Period.DAY)
    for _ in range(4):
        put(*(another(record) for _ in range(10)))
        ingest()
    put(another(record, occurred_at=NOON + timedelta(days=1)))
    ingest()
    alerts = BudgetAlert.objects.filter(budget=spent).order_by("threshold")
    assert [(alert.threshold, alert.spent) for alert in alerts] == [
        (50, 20 * COST),
        (80, 20 * COST),
        (100, 30 * COST),
    ]


def test_a_budget_counts_its_own_scope_from_the_start_of_its_period(
    record: UsageRecord, cast: Cast
) -> None:
    dear = another(record, output_tokens=9_723, amount_nano=None)  # 0.0149245 EUR
    put(another(dear, occurred_at=NOON - timedelta(days=1)), dear)
    ingest()
    of_key = budget(cast, "0.02", api_key=cast.key.api_key)
    of_project = budget(cast, "0.05", project=cast.project, is_hard=False)
    put(another(dear))
    ingest()
    reached = BudgetAlert.objects.values_list("budget", "threshold", "spent")
    both = Decimal("0.029849")
    assert set(reached) == {
        *((of_key.pk, threshold, both) for threshold in (50, 80, 100)),
        (of_project.pk, 50, both),
    }


def test_the_accounts_of_holds_fall_by_what_is_booked(record: UsageRecord, cast: Cast) -> None:
    Terms.objects.create(organization=cast.acme, mode=Mode.PREPAID)
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(1), reference="one")
    today = another(record, occurred_at=timezone.now(), amount_nano=415_000)
    accounts_seed([cast.acme.id])
    put(today, another(today), scopes="w")
    accounts_seed([cast.acme.id])
    assert scopes_state(cast.acme.id)["w"] == (10**9, 830_000, 0)
    ingest()
    assert scopes_state(cast.acme.id)["w"] == (10**9 - 830_000, 0, 0)
    assert sum(client().xlen(stream) for stream in STREAMS) == 0


def test_balances_are_the_wallet_and_the_hard_budgets_of_now(
    record: UsageRecord, cast: Cast
) -> None:
    now = timezone.now()
    assert balances_read([cast.acme.id])[cast.acme.id].by_scope == {}
    Terms.objects.create(organization=cast.acme, credit_limit=Decimal(2))
    hard, soft = budget(cast, "1"), budget(cast, "1", is_hard=False, project=cast.project)
    before = balances_read([cast.acme.id])[cast.acme.id]
    put(another(record, occurred_at=now))
    ingest()
    after = balances_read([cast.acme.id])[cast.acme.id]
    scope = budget_scope(hard.pk, now.date().replace(day=1))
    assert (before.by_scope["w"], before.by_scope[scope]) == (2 * 10**9, 10**9)
    assert (after.by_scope["w"], after.by_scope[scope]) == (2 * 10**9 - 415_000, 10**9 - 415_000)
    assert after.version > before.version
    assert not [name for name in after.by_scope if soft.pk.hex in name]


def test_whoever_can_run_out_of_money_is_seeded_again(cast: Cast) -> None:
    Terms.objects.create(organization=cast.rival, credit_limit=Decimal(2))
    accounts_tend()
    assert scopes_state(cast.rival.id)["w"].balance == 2 * 10**9
    assert scopes_state(cast.acme.id) == {}


@pytest.mark.parametrize("hour", [0, 23])
def test_within_an_hour_of_its_ends_the_next_period_is_known_too(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, hour: int
) -> None:
    moment = datetime(2026, 3, 1, hour, 30, tzinfo=UTC)
    monkeypatch.setattr("billing.balances.timezone.now", lambda: moment)
    daily = budget(cast, "1", period=Period.DAY)
    other = date(2026, 2, 28) if hour == 0 else date(2026, 3, 2)
    assert balances_read([cast.acme.id])[cast.acme.id].by_scope.keys() == {
        budget_scope(daily.pk, date(2026, 3, 1)),
        budget_scope(daily.pk, other),
    }
