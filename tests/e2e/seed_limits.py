"""Limits that hold and are reached, and budgets at every stage of a month."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from billing.budgets import budget_set
from billing.limited import limited_key
from billing.limiting import limit_set, terms_set
from billing.models import Budget, BudgetAlert, LimitKind, Mode, Period, Plan
from tenants.valkey import client
from tests.conftest import Cast


def seed_limits(cast: Cast) -> None:
    """Acme is on a plan, with one limit agreed for a time and some of its own making."""
    plan, _is_new = Plan.objects.get_or_create(
        slug="build", defaults={"name": "Build", "rpm": 300, "tpm": 500_000, "streams": 20}
    )
    who: dict[str, Any] = {"actor": cast.oskar, "organization": cast.acme}
    terms_set(**who, plan=plan, mode=Mode.POSTPAID, credit_limit=Decimal(5000))
    ends = timezone.now() + timedelta(days=9)
    rpm, tpm = LimitKind.REQUESTS_MINUTE, LimitKind.TOKENS_MINUTE
    limit_set(**who, kind=rpm, value=5000, reason="Load test in week 48", ends_at=ends)
    limit_set(**who, kind=tpm, value=100_000, project=cast.project, model="gpt-oss-120b")
    limit_set(**who, kind=LimitKind.STREAMS, value=2, api_key=cast.key.api_key)
    _budgets(cast)


def _budgets(cast: Cast) -> None:
    who: dict[str, Any] = {"actor": cast.olivia, "organization": cast.acme}
    budget_set(**who, amount=Decimal(2000))
    told = budget_set(**who, amount=Decimal(1000), project=cast.project, is_hard=False)
    used_up = told.budget  # it stops nothing: other tests go on to spend
    budget_set(**who, amount=Decimal(50), period=Period.DAY, is_hard=False)
    for threshold in used_up.thresholds:
        _alert(used_up, threshold)


def _alert(budget: Budget, threshold: int) -> None:
    now = timezone.now()
    BudgetAlert.objects.create(
        budget=budget,
        organization=budget.organization,
        period_start=now.date().replace(day=1),
        threshold=threshold,
        spent=budget.amount * threshold / 100,
        told_at=now,
        failure="hook: answered 500" if threshold == 80 else "",
    )


def seed_refusals(cast: Cast) -> None:
    """What gateways counted this hour."""
    key = limited_key(timezone.now())
    for counter, count in (("o", 1240), (f"k:{cast.key.api_key.pk.hex}", 17), ("w", 3)):
        client().hincrby(key, f"{cast.acme.pk.hex}|{counter}", count)
