"""How much: rates, usage, the ledger, limits and budgets."""

from __future__ import annotations

from billing.models.checks import Drift, DriftKind, ModelHalt
from billing.models.ledger import (
    Account,
    AccountKind,
    Balance,
    Books,
    Transfer,
    TransferKind,
)
from billing.models.limits import (
    Budget,
    BudgetAlert,
    Limit,
    LimitKind,
    Mode,
    Period,
    Plan,
    Terms,
)
from billing.models.rates import Component, Rate, RateQuerySet
from billing.models.usage import (
    BILLED,
    FAILED,
    SUMMED,
    BackendHour,
    BudgetSpent,
    Outcome,
    UsageDay,
    UsageEvent,
    UsageEventId,
    UsageHour,
    UsageHourQuerySet,
    midnight,
)

__all__ = [
    "BILLED",
    "FAILED",
    "SUMMED",
    "Account",
    "AccountKind",
    "BackendHour",
    "Balance",
    "Books",
    "Budget",
    "BudgetAlert",
    "BudgetSpent",
    "Component",
    "Drift",
    "DriftKind",
    "Limit",
    "LimitKind",
    "Mode",
    "ModelHalt",
    "Outcome",
    "Period",
    "Plan",
    "Rate",
    "RateQuerySet",
    "Terms",
    "Transfer",
    "TransferKind",
    "UsageDay",
    "UsageEvent",
    "UsageEventId",
    "UsageHour",
    "UsageHourQuerySet",
    "midnight",
]
