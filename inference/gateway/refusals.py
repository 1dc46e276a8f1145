"""Who was refused for which limit, told so that both people and SDKs know what to do.

A rate is gone by waiting, and says for how long. Money is not: SDKs are told not to try again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final
from uuid import UUID

from django.conf import settings

from billing.holds import Denied, LimitState
from billing.limits import BudgetEntry, KeyTerms
from billing.models import LimitKind, Period
from inference.gateway.errors import GatewayError, InsufficientQuota, RateLimited

DAY_S: Final = 86_400
_UNITS: Final = {
    LimitKind.REQUESTS_MINUTE: "requests per minute",
    LimitKind.TOKENS_MINUTE: "tokens per minute",
    LimitKind.REQUESTS_DAY: "requests per day",
    LimitKind.STREAMS: "requests at the same time",
}
_HEADERS: Final = {
    LimitKind.REQUESTS_MINUTE: "requests",
    LimitKind.TOKENS_MINUTE: "tokens",
}
_PERIODS: Final = {Period.DAY: "day", Period.MONTH: "month"}
_SPEND_CODES: Final = {
    "organization": "organization_spend_limit_exceeded",
    "project": "project_spend_limit_exceeded",
    "key": "api_key_spend_limit_exceeded",
}
_CENT: Final = Decimal("0.0001")
_NANO: Final = Decimal("1e-9")


def refusal_of(denied: Denied, terms: KeyTerms, model: str, amount_nano: int) -> GatewayError:
    """The error for a request that might have cost `amount_nano`."""
    if denied.kind is None:
        return _no_money(denied, terms, amount_nano)
    entries = terms.limits + terms.by_model.get(model, ())
    scope = next((e.scope_name for e in entries if e.id == denied.by), "organization")
    text = (
        f"The limit of {denied.limit:,} {_UNITS[denied.kind]} ({scope}) is reached: "
        f"{denied.used:,} are in use."
    )
    headers = limit_headers(denied.limits)
    if denied.retry_after_s is None:
        return RateLimited(f"{text} Send less at a time.", headers=headers)
    after_s = min(max(math.ceil(denied.retry_after_s), 1), DAY_S)
    text += f" Try again in {duration(after_s)}."
    return RateLimited(text, headers={"Retry-After": str(after_s), **headers})


def _no_money(denied: Denied, terms: KeyTerms, amount_nano: int) -> GatewayError:
    left = max(denied.limit - denied.used, 0)
    reason, code = _counter_of(denied.by, terms)
    costs = f"This request may cost up to {_money(amount_nano, ROUND_UP)} {terms.currency}"
    text = f"{reason} {costs}, and {_money(left, ROUND_DOWN)} {terms.currency} are left."
    advice = " A smaller `max_tokens` makes it cost less." if left else ""
    headers = {"x-should-retry": "false", **limit_headers(denied.limits)}
    return InsufficientQuota(text + advice, code=code, headers=headers)


def _counter_of(scope: str, terms: KeyTerms) -> tuple[str, str]:
    """What is used up, and the code of it."""
    budget = _budget_of(scope, terms.budgets)
    if budget is None:
        text = "The credit of your organization does not cover this request."
        to_do = f"Add balance under Billing at {settings.CONSOLE_URL}/."
        return f"{text} {to_do}", "credit_balance_exhausted"
    period = _PERIODS[budget.period]
    amount = f"{budget.amount} {terms.currency}"
    text = f"The budget of {amount} per {period} ({budget.scope_name}) stops it."
    return text, _SPEND_CODES[budget.kind]


def _budget_of(scope: str, budgets: Iterable[BudgetEntry]) -> BudgetEntry | None:
    kind, _, rest = scope.partition(":")
    if kind != "b":
        return None
    wanted = UUID(rest.partition(":")[0])
    return next((budget for budget in budgets if budget.id == wanted), None)


def _money(nano: int, rounding: str) -> Decimal:
    return (nano * _NANO).quantize(_CENT, rounding=rounding)


def limit_headers(limits: Collection[LimitState]) -> Mapping[str, str]:
    """What is left of the tightest limit of requests and of tokens per minute."""
    headers = dict[str, str]()
    for kind, name in _HEADERS.items():
        tightest: LimitState | None = None
        for one in limits:
            if one.kind == kind and (tightest is None or _is_tighter(one, tightest)):
                tightest = one
        if tightest:
            headers |= _headers_of(name, tightest)
    return headers


def _is_tighter(one: LimitState, other: LimitState) -> bool:
    return one.remaining * other.limit < other.remaining * one.limit


def _headers_of(name: str, state: LimitState) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{name}": str(state.limit),
        f"x-ratelimit-remaining-{name}": str(max(state.remaining, 0)),
        f"x-ratelimit-reset-{name}": duration(state.reset_s),
    }


def duration(seconds: float) -> str:
    """As `17ms`, `1s`, `6m0s` or `23h5m0s`, rounded up."""
    if seconds < 1:
        return f"{math.ceil(max(seconds, 0) * 1000)}ms"
    minutes, s = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{s}s"
    return f"{minutes}m{s}s" if minutes else f"{s}s"
