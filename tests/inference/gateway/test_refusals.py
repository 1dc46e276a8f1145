"""What people and SDKs are told when a limit or the money does not allow a request."""

from __future__ import annotations

from decimal import Decimal
from typing import Final
from uuid import uuid4

import pytest

from billing.holds import Denied, LimitState
from billing.limits import BudgetEntry, KeyTerms, LimitEntry
from billing.models import LimitKind, Period
from inference.gateway.errors import ANTHROPIC, InsufficientQuota, RateLimited
from inference.gateway.refusals import duration, limit_headers, refusal_of

RPM, TPM = LimitKind.REQUESTS_MINUTE, LimitKind.TOKENS_MINUTE
NO_STATES: Final[tuple[LimitState, ...]] = ()


def state(kind: LimitKind, limit: int, remaining: int, reset_s: float = 1) -> LimitState:
    return LimitState("o", kind, limit, remaining, reset_s)


def test_a_reached_rate_names_scope_limit_and_when() -> None:
    terms = KeyTerms((LimitEntry("k:1", RPM, 60, "key ci"),))
    denied = Denied("k:1", RPM, 60, 60, 0.4, (state(RPM, 60, 0, 59.1),))
    error = refusal_of(denied, terms, "m", 0)
    assert isinstance(error, RateLimited)
    assert (error.status, error.type) == (429, "rate_limit_exceeded")
    assert error.code == "rate_limit_exceeded"
    assert "60 requests per minute (key ci)" in error.message
    assert "Try again in 1s." in error.message
    assert error.headers["Retry-After"] == "1"
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    assert error.headers["x-ratelimit-reset-requests"] == "1m0s"


def test_a_limit_of_one_model_is_named() -> None:
    entry = LimitEntry("o:m", TPM, 1000, "organization, model m")
    denied = Denied("o:m", TPM, 1000, 990, 30, NO_STATES)
    error = refusal_of(denied, KeyTerms(by_model={"m": (entry,)}), "m", 0)
    assert "1,000 tokens per minute (organization, model m)" in error.message


def test_nobody_is_told_to_wait_longer_than_a_day_or_in_vain() -> None:
    long = Denied("o", LimitKind.REQUESTS_DAY, 5, 5, 10**6, NO_STATES)
    assert refusal_of(long, KeyTerms(), "m", 0).headers["Retry-After"] == "86400"
    never = Denied("o", TPM, 5, 5, None, NO_STATES)
    assert "Retry-After" not in refusal_of(never, KeyTerms(), "m", 0).headers


def budget(kind: str) -> BudgetEntry:
    return BudgetEntry(uuid4(), Decimal("25.00"), Period.MONTH, True, f"{kind} x", kind)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("organization", "organization_spend_limit_exceeded"),
        ("project", "project_spend_limit_exceeded"),
        ("key", "api_key_spend_limit_exceeded"),
    ],
)
def test_a_budget_says_whose_it_is_and_what_is_left(kind: str, code: str) -> None:
    entry = budget(kind)
    denied = Denied(f"b:{entry.id.hex}:20260301", None, 10**10, 9 * 10**9, None, NO_STATES)
    error = refusal_of(denied, KeyTerms(budgets=(budget("key"), entry)), "m", 1_500_000_001)
    assert isinstance(error, InsufficientQuota)
    assert (error.status, error.type, error.code) == (429, "insufficient_quota", code)
    assert f"25.00 EUR per month ({kind} x)" in error.message
    assert "up to 1.5001 EUR" in error.message
    assert "1.0000 EUR are left" in error.message
    assert "Retry-After" not in error.headers
    assert error.headers["x-should-retry"] == "false"


def test_an_empty_wallet_is_to_be_filled() -> None:
    error = refusal_of(Denied("w", None, 5, 9, None, NO_STATES), KeyTerms(has_wallet=True), "m", 1)
    assert error.code == "credit_balance_exhausted"
    assert "0.0000 EUR are left." in error.message


def test_anthropic_has_a_type_of_its_own_for_money() -> None:
    error = refusal_of(Denied("w", None, 0, 0, None, NO_STATES), KeyTerms(), "m", 1)
    assert ANTHROPIC.document(error, uuid4())["error"]["type"] == "billing_error"
    rate = refusal_of(Denied("o", RPM, 1, 1, 1, NO_STATES), KeyTerms(), "m", 1)
    assert ANTHROPIC.document(rate, uuid4())["error"]["type"] == "rate_limit_error"


def test_the_headers_tell_of_the_tightest_limits() -> None:
    headers = limit_headers([
        state(RPM, 100, 50), state(RPM, 10, 4, 36), state(TPM, 10, 9),
        state(LimitKind.STREAMS, 5, 0),
    ])  # fmt: skip
    assert headers == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-reset-requests": "36s",
        "x-ratelimit-limit-tokens": "10",
        "x-ratelimit-remaining-tokens": "9",
        "x-ratelimit-reset-tokens": "1s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0165, "17ms"), (1, "1s"), (59.2, "1m0s"), (360, "6m0s"), (82_801, "23h0m1s")],
)
def test_durations_are_written_as_sdks_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
