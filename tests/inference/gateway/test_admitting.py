"""Who is let in, by what the holds answer: money first seeded, then counted, never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from billing.holds import MOST, Ask, Denied, Granted, HoldsClient, StoreAway, Unknown
from billing.limits import NO_TERMS, BudgetEntry, KeyTerms, LimitEntry
from billing.models import LimitKind, Period
from inference.gateway import admission
from inference.gateway.admission import Admission, Grant, Wish, scopes_of
from inference.gateway.errors import InsufficientQuota, MeteringAway, RateLimited
from inference.gateway.figures import LiveFigures
from inference.snapshot import KeyEntry
from tenants.valkey import async_client

GRANTED = Granted((), is_repeat=False)
BROKE = Denied("w", None, 100, 60, None, ())
WALLET_ONLY = KeyTerms(has_wallet=True)


class Holds:
    """Answers what it is told to, one after the other."""

    def __init__(self, *answers: Granted | Denied | Unknown | StoreAway) -> None:
        self.answers, self.asked = list(answers), list[Ask]()

    async def reserve(self, ask: Ask) -> Granted | Denied | Unknown:
        self.asked.append(ask)
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, StoreAway):
            raise answer
        return answer


class Seeds:
    def __init__(self, error: Exception | None = None) -> None:
        self.seeded, self.error = list[UUID](), error

    def __call__(self, organizations: Collection[UUID]) -> None:
        self.seeded += organizations
        if self.error:
            raise self.error


def admission_of(holds: Holds, seeds: Seeds | None = None) -> Admission:
    figures = LiveFigures(async_client())
    return Admission(cast("HoldsClient", holds), "here:1", figures, seeds or Seeds())


def wish(terms: KeyTerms = NO_TERMS, **fields: Any) -> Wish:
    key = KeyEntry(uuid4(), uuid4(), uuid4(), terms=terms)
    return Wish(uuid4(), key, "m", **{"amount_nano": 50, "tokens": 7} | fields)


async def no_count(left: int) -> int | None:
    return None


async def test_who_has_no_terms_is_asked_for_nothing() -> None:
    holds = Holds(GRANTED)
    assert await admission_of(holds).admit(wish(), no_count) == Grant(50)
    assert (holds.asked[0].scopes, holds.asked[0].limits) == ((), ())


async def test_what_costs_more_than_a_counter_can_tell_is_asked_for_all_the_same() -> None:
    holds = Holds(BROKE)
    with pytest.raises(InsufficientQuota):
        await admission_of(holds).admit(wish(WALLET_ONLY, amount_nano=10**18), no_count)
    assert [ask.amount_nano for ask in holds.asked] == [MOST]


async def test_an_unknown_account_is_seeded_once_for_all_who_ask() -> None:
    holds, seeds = Holds(*[Unknown(("w",))] * 3, *[GRANTED] * 3), Seeds()
    admitting, asked = admission_of(holds, seeds), wish(WALLET_ONLY)
    grants = await asyncio.gather(*(admitting.admit(asked, no_count) for _ in range(3)))
    assert {grant.scopes for grant in grants} == {("w",)}
    assert seeds.seeded == [asked.key.organization_id]


async def test_money_that_nobody_can_tell_is_not_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SEED_AGAIN_S", 0.01)
    holds, seeds = Holds(*[Unknown(("w",))] * 2, *[GRANTED] * 2), Seeds(OSError())
    admitting, asked = admission_of(holds, seeds), wish(WALLET_ONLY)
    for _ in range(2):  # the second does not ask PostgreSQL again at once
        with pytest.raises(MeteringAway) as refused:
            await admitting.admit(asked, no_count)
    assert refused.value.headers["Retry-After"]
    assert len(seeds.seeded) == 1


async def test_without_valkey_only_who_has_no_money_limit_goes_on() -> None:
    assert await admission_of(Holds(StoreAway())).admit(wish(), no_count) == Grant(50)
    with pytest.raises(MeteringAway):
        await admission_of(Holds(StoreAway())).admit(wish(WALLET_ONLY), no_count)


async def test_without_valkey_rates_are_counted_here() -> None:
    terms = KeyTerms((LimitEntry("o", LimitKind.REQUESTS_MINUTE, 1, "organization"),))
    admitting, asked = admission_of(Holds(StoreAway(), StoreAway())), wish(terms)
    grant = await admitting.admit(asked, no_count)
    assert [state.remaining for state in grant.limits] == [0]
    with pytest.raises(RateLimited):
        await admitting.admit(asked, no_count)


async def test_a_loose_bound_is_counted_exactly_before_it_is_refused() -> None:
    holds, left = Holds(BROKE, GRANTED), list[int]()

    async def counted(money: int) -> int:
        left.append(money)
        return 30

    grant = await admission_of(holds).admit(wish(WALLET_ONLY), counted)
    assert (left, grant.amount_nano) == ([40], 30)
    assert [ask.amount_nano for ask in holds.asked] == [50, 30]


async def test_nothing_is_counted_for_who_has_nothing_left() -> None:
    async def counted(left: int) -> int:
        raise AssertionError("asked")

    with pytest.raises(InsufficientQuota):
        await admission_of(Holds(BROKE._replace(used=100))).admit(wish(WALLET_ONLY), counted)


async def test_one_request_larger_than_the_tokens_of_a_minute_asks_for_all_of_them() -> None:
    entries = (
        LimitEntry("o", LimitKind.TOKENS_MINUTE, 5, "organization"),
        LimitEntry("o", LimitKind.REQUESTS_MINUTE, 5, "organization"),
    )
    holds = Holds(GRANTED, Denied("o", LimitKind.TOKENS_MINUTE, 5, 5, 60, ()))
    admitting, asked = admission_of(holds), wish(KeyTerms(entries))
    await admitting.admit(asked, no_count)
    assert [limit.cost for limit in holds.asked[0].limits] == [5, 1]
    with pytest.raises(RateLimited):
        await admitting.admit(asked, no_count)


def test_hard_budgets_count_in_each_period_where_a_request_may_end_and_soft_ones_do_not() -> None:
    month, day, soft = (
        BudgetEntry(uuid4(), Decimal(1), period, is_hard, "project x", "project")
        for period, is_hard in ((Period.MONTH, True), (Period.DAY, True), (Period.DAY, False))
    )
    terms = KeyTerms(budgets=(month, day, soft), has_wallet=True)
    today = ["w", f"b:{month.id.hex}:20260301", f"b:{day.id.hex}:20260309"]
    assert list(scopes_of(terms, datetime(2026, 3, 9, 12, tzinfo=UTC))) == today
    late = datetime(2026, 3, 9, 23, 59, tzinfo=UTC)
    assert list(scopes_of(terms, late)) == [*today, f"b:{day.id.hex}:20260310"]
