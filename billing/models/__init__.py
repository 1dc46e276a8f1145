"""How much: rates, usage, the ledger, limits and budgets."""

from __future__ import annotations

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
    SUMMED,
    BackendHour,
    Outcome,
    UsageDay,
    UsageEvent,
    UsageHour,
    UsageHourQuerySet,
)

__all__ = [
    "SUMMED",
    "Account",
    "AccountKind",
    "BackendHour",
    "Balance",
    "Books",
    "Budget",
    "BudgetAlert",
    "Component",
    "Limit",
    "LimitKind",
    "Mode",
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
    "UsageHour",
    "UsageHourQuerySet",
]
