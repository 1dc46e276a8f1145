"""Budgets: set, refused with a reason, spent and foreseen."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoCaptureOnCommitCallbacks

from billing import budgets
from billing.holds import scopes_state
from billing.models import Budget, Period, UsageDay
from tenants.models import ApiKey, AuditEntry
from tenants.sealing import unseal
from tests.conftest import Cast

HOOK = "https://hooks.acme.test/budgets"


def budget_set(cast: Cast, amount: str = "100", **facts: Any) -> budgets.BudgetSet:
    facts = {"actor": cast.olivia, "organization": cast.acme} | facts
    return budgets.budget_set(amount=Decimal(amount), **facts)


def spend(key: ApiKey, amount: str, day: date | None = None) -> None:
    UsageDay.objects.create(
        organization=key.organization, project=key.project, api_key=key, model="tiny-llama",
        day=day or timezone.now().astimezone(UTC).date(), requests=1, failed_requests=0,
        input_tokens=1, cached_tokens=0, output_tokens=1, amount=Decimal(amount), currency="EUR",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "facts"),
    [
        ("amount", {"amount": "0"}),
        ("amount", {"amount": "-5"}),
        ("amount", {"amount": "0.001"}),
        ("amount", {"amount": "1e12"}),
        ("currency", {"currency": "SEK"}),
        ("thresholds", {"thresholds": []}),
        ("thresholds", {"thresholds": [50, 101]}),
        ("emails", {"emails": ["nobody"]}),
        ("emails", {"emails": [f"{n}@acme.test" for n in range(11)]}),
        ("webhook_url", {"webhook_url": "http://hooks.acme.test/"}),
        ("webhook_url", {"webhook_url": "https://169.254.169.254/latest/meta-data"}),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_at_its_field(
    cast: Cast, field: str, facts: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refusal:
        budget_set(cast, **facts)
    assert list(refusal.value.message_dict) == [field]
    assert not Budget.objects.exists()


def test_a_budget_of_another_organizations_project_is_refused(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="another organization"):
        budget_set(cast, project=cast.rival_project)
    with pytest.raises(ValidationError, match="another organization"):
        budget_set(cast, api_key=cast.rival_key.api_key)


def test_a_budget_is_replaced_and_keeps_its_secret_with_its_webhook(cast: Cast) -> None:
    first = budget_set(cast, webhook_url=HOOK)
    again = budget_set(cast, "250", webhook_url=HOOK, emails=["cfo@acme.test"])
    assert (again.budget.pk, again.webhook_secret) == (first.budget.pk, "")
    kept = Budget.objects.get()
    assert unseal(bytes(kept.sealed_webhook_secret)) == first.webhook_secret
    assert kept.thresholds == [50, 80, 100]
    assert (kept.amount, kept.emails) == (Decimal(250), ["cfo@acme.test"])
    moved = budget_set(cast, webhook_url=HOOK + "2")
    assert moved.webhook_secret not in {"", first.webhook_secret}
    assert budget_set(cast).webhook_secret == ""
    assert bytes(Budget.objects.get().sealed_webhook_secret) == b""


def test_no_secret_is_on_record(cast: Cast) -> None:
    secret = budget_set(cast, webhook_url=HOOK).webhook_secret
    assert secret not in str(AuditEntry.objects.get(action="budget.set").data)


def test_a_budget_counts_at_once_and_not_once_it_is_removed(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    spend(cast.key.api_key, "4")
    with django_capture_on_commit_callbacks(execute=True):
        budget = budget_set(cast, "10").budget
    (state,) = scopes_state(cast.acme.pk).values()
    assert state.balance == 6 * 10**9
    budgets.budget_remove(actor=cast.olivia, budget=budget)
    assert not Budget.objects.exists()


def test_what_is_spent_is_of_the_scope_and_of_the_period(cast: Cast) -> None:
    now = datetime(2026, 11, 16, tzinfo=UTC)
    key, other = cast.key.api_key, cast.rival_key.api_key
    spend(key, "7", date(2026, 11, 16))
    spend(key, "8", date(2026, 11, 1))
    spend(key, "90", date(2026, 10, 31))
    spend(other, "1000", date(2026, 11, 16))
    for scope in ({}, {"project": cast.project}, {"api_key": key}):
        for period in Period:
            budget_set(cast, "20", period=period, **scope)

    found = budgets.budgets_read(cast.acme, now)

    assert [(use.budget.period, use.spent) for use in found] == 3 * [
        ("day", Decimal(7)), ("month", Decimal(15)),
    ]  # fmt: skip
    month = found[1]
    assert month.span == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert (month.forecast, month.left, month.will_be_used_up) == (Decimal(30), Decimal(5), True)
    assert found[0].forecast is None


def test_the_queries_do_not_grow_with_the_budgets(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    for period in Period:
        budget_set(cast, period=period)
        budget_set(cast, period=period, project=cast.project)
    with django_assert_num_queries(2):
        budgets.budgets_read(cast.acme)


@given(st.sampled_from(Period), st.integers(0, 20 * 366 * 86_400))
def test_each_moment_is_in_one_period_and_the_next_begins_where_it_ends(
    period: Period, seconds: int
) -> None:
    now = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    span = budgets.span_of(period, now)
    assert span.start <= now < span.end
    assert budgets.span_of(period, span.end).start == span.end
    assert span.end - span.start <= timedelta(days=31 if period == Period.MONTH else 1)
