from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from billing.holds import (
    MOST,
    Denied,
    Granted,
    HoldInvalid,
    HoldsClient,
    LimitAsk,
    Unknown,
    limits_state,
    scopes_state,
    seed,
)
from billing.holds.scripts import keys_of
from billing.models import LimitKind
from tenants.valkey import client
from tests.billing.holds.conftest import ACME, RIVAL, ask, everything

BUDGET = "b:0a:20261101"


def rpm(value: int, cost: int = 1) -> LimitAsk:
    return LimitAsk("o", LimitKind.REQUESTS_MINUTE, value, cost)


def tpm(value: int, cost: int) -> LimitAsk:
    return LimitAsk("o", LimitKind.TOKENS_MINUTE, value, cost)


def streams(value: int) -> LimitAsk:
    return LimitAsk("k:1", LimitKind.STREAMS, value)


def pass_time(limit: LimitAsk, seconds: int) -> None:
    """Let a rate stand as it would `seconds` from now."""
    field = f"l:{limit.kind}:{limit.id}"
    client().hincrbyfloat(keys_of(ACME).account, field, -seconds * 1_000_000)


async def test_money_is_held_in_all_scopes(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100, BUDGET: 50})
    assert await holds.reserve(ask(30, scopes=("w", BUDGET))) == Granted((), is_repeat=False)
    assert {name: state.held for name, state in scopes_state(ACME).items()} == {
        "w": 30, BUDGET: 30,
    }  # fmt: skip


async def test_the_first_scope_that_cannot_cover_it_is_named(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100, BUDGET: 50})
    await holds.reserve(ask(30, scopes=("w", BUDGET)))
    answer = await holds.reserve(ask(21, scopes=("w", BUDGET)))
    assert answer == Denied(BUDGET, None, limit=50, used=30, retry_after_s=None, limits=())


async def test_the_last_nano_can_be_spent(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": MOST})
    assert isinstance(await holds.reserve(ask(MOST - 1)), Granted)
    assert isinstance(await holds.reserve(ask(2)), Denied)
    assert isinstance(await holds.reserve(ask(1)), Granted)
    assert scopes_state(ACME)["w"].held == MOST


async def test_a_balance_below_zero_allows_nothing_that_costs(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": -1})
    assert isinstance(await holds.reserve(ask(0)), Denied)


async def test_a_scope_that_was_never_seeded_is_unknown(holds: HoldsClient) -> None:
    assert await holds.reserve(ask(1)) == Unknown(("w",))
    seed(ACME, 1, {"w": 100})
    assert await holds.reserve(ask(1, scopes=("w", BUDGET))) == Unknown((BUDGET,))
    seed(ACME, 1, {"w": 100, BUDGET: 1})
    assert isinstance(await holds.reserve(ask(1, scopes=("w", BUDGET))), Granted)


async def test_without_scopes_nothing_needs_a_seed(holds: HoldsClient) -> None:
    assert isinstance(await holds.reserve(ask(7, streams(1), scopes=())), Granted)
    assert isinstance(await holds.reserve(ask(7, streams(1), scopes=())), Denied)


async def test_a_repeat_is_the_same_grant(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    wanted = ask(60, rpm(10), streams(1))
    first, again = [await holds.reserve(wanted) for _ in range(2)]
    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert [limit.remaining for limit in again.limits] == [9, 0]
    assert scopes_state(ACME)["w"].held == 60


async def test_a_denied_reserve_changes_nothing_at_all(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    await holds.reserve(ask(60, rpm(10), streams(1)))
    before = everything()
    assert isinstance(await holds.reserve(ask(60, rpm(10))), Denied)
    assert isinstance(await holds.reserve(ask(1, rpm(10), tpm(100, 5), streams(1))), Denied)
    assert everything() == before


async def test_a_denied_reserve_that_is_retried_may_be_granted(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 10})
    wanted = ask(60)
    assert isinstance(await holds.reserve(wanted), Denied)
    seed(ACME, 2, {"w": 100})
    assert await holds.reserve(wanted) == Granted((), is_repeat=False)
    assert scopes_state(ACME)["w"].held == 60


async def test_the_first_limit_is_named_before_any_money(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 0})
    await holds.reserve(ask(0, rpm(2), streams(1)))
    answer = await holds.reserve(ask(5, rpm(2), streams(1), tpm(10, 11)))
    assert isinstance(answer, Denied)
    assert (answer.by, answer.kind, answer.limit, answer.used) == ("k:1", LimitKind.STREAMS, 1, 1)
    assert answer.retry_after_s == 1
    assert [state.remaining for state in answer.limits] == [1, 0, 10]


async def test_a_bucket_of_requests_fills_all_the_time(holds: HoldsClient) -> None:
    limit = rpm(7)
    for left in range(6, -1, -1):
        granted = await holds.reserve(ask(0, limit, scopes=()))
        assert isinstance(granted, Granted)
        assert granted.limits[0].remaining == left
    denied = await holds.reserve(ask(0, limit, scopes=()))
    assert isinstance(denied, Denied)
    assert denied.used == 7
    assert denied.retry_after_s == pytest.approx(60 / 7, abs=2)
    assert denied.limits[0].reset_s == pytest.approx(60, abs=2)
    pass_time(limit, 9)
    assert isinstance(await holds.reserve(ask(0, limit, scopes=())), Granted)
    assert isinstance(await holds.reserve(ask(0, limit, scopes=())), Denied)


async def test_a_bucket_holds_no_more_than_a_minute_of_it(holds: HoldsClient) -> None:
    limit = rpm(3)
    await holds.reserve(ask(0, limit, scopes=()))
    pass_time(limit, 3600)
    answers = [await holds.reserve(ask(0, limit, scopes=())) for _ in range(4)]
    assert [type(answer) for answer in answers] == [Granted, Granted, Granted, Denied]


async def test_more_tokens_than_a_minute_allows_are_never_granted(holds: HoldsClient) -> None:
    denied = await holds.reserve(ask(0, tpm(100, 101), scopes=()))
    assert isinstance(denied, Denied)
    assert denied.retry_after_s is None
    assert isinstance(await holds.reserve(ask(0, tpm(100, 100), scopes=())), Granted)


async def test_a_limit_of_zero_allows_nothing(holds: HoldsClient) -> None:
    denied = await holds.reserve(ask(0, rpm(0), scopes=()))
    assert isinstance(denied, Denied)
    assert (denied.used, denied.retry_after_s) == (0, None)


async def test_a_day_counts_its_requests(holds: HoldsClient) -> None:
    limit = LimitAsk("o", LimitKind.REQUESTS_DAY, 2)
    answers = [await holds.reserve(ask(0, limit, scopes=())) for _ in range(3)]
    assert [type(answer) for answer in answers] == [Granted, Granted, Denied]
    denied = answers[-1]
    assert isinstance(denied, Denied)
    assert denied.retry_after_s is not None
    assert 0 < denied.retry_after_s <= 86_400
    yesterday = 20_000 * 10**10 + 2
    client().hset(keys_of(ACME).account, "l:rpd:o", yesterday)
    assert isinstance(await holds.reserve(ask(0, limit, scopes=())), Granted)


async def test_a_limit_that_is_raised_counts_at_once(holds: HoldsClient) -> None:
    await holds.reserve(ask(0, rpm(1), scopes=()))
    assert isinstance(await holds.reserve(ask(0, rpm(1), scopes=())), Denied)
    pass_time(rpm(1), 1)
    assert isinstance(await holds.reserve(ask(0, rpm(60), scopes=())), Granted)


@pytest.mark.parametrize("amount", [-1, MOST + 1])
async def test_an_amount_that_valkey_cannot_count_is_refused(
    holds: HoldsClient, amount: int
) -> None:
    seed(ACME, 1, {"w": 100})
    with pytest.raises(HoldInvalid, match="2\\^53"):
        await holds.reserve(ask(amount))


@pytest.mark.parametrize(
    "limit",
    [
        LimitAsk("o", LimitKind.TOKENS_MINUTE, 10, -1),
        LimitAsk("o", LimitKind.TOKENS_MINUTE, -10, 1),
        LimitAsk("o", LimitKind.TOKENS_MINUTE, 2**60, 1),
        LimitAsk("o", "rps", 10),  # type: ignore[arg-type]
    ],
)
async def test_a_wrong_ask_fails_before_anything_is_written(
    holds: HoldsClient, limit: LimitAsk
) -> None:
    seed(ACME, 1, {"w": 100})
    before = everything()
    with pytest.raises(HoldInvalid):
        await holds.reserve(ask(1, rpm(5), limit))
    assert everything() == before


async def test_a_hold_that_was_ended_is_not_granted_again(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    wanted = ask(60)
    await holds.void(wanted.hold, ACME)
    with pytest.raises(HoldInvalid, match="ended before"):
        await holds.reserve(wanted)
    assert scopes_state(ACME)["w"].held == 0


async def test_what_one_organization_does_changes_nothing_of_another(holds: HoldsClient) -> None:
    for organization in (ACME, RIVAL):
        seed(organization, 1, {"w": 100})
    await holds.reserve(ask(70, rpm(2), organization=RIVAL))
    before = scopes_state(RIVAL), client().dump(keys_of(RIVAL).account)
    one, two = ask(100, rpm(1), hold=uuid4()), ask(0, rpm(1))
    assert isinstance(await holds.reserve(one), Granted)
    assert isinstance(await holds.reserve(two), Denied)
    await holds.settle(one.hold, ACME, 40, 0, b"record")
    seed(ACME, 2, {"w": 5})
    assert (scopes_state(RIVAL), client().dump(keys_of(RIVAL).account)) == before


async def test_to_look_at_limits_counts_nothing(holds: HoldsClient) -> None:
    limits = rpm(10), tpm(1000, 400), streams(3)
    await holds.reserve(ask(0, *limits, scopes=()))
    before = everything()
    states = await asyncio.to_thread(limits_state, ACME, limits)
    assert [(state.limit, state.remaining) for state in states] == [(10, 9), (1000, 600), (3, 2)]
    assert everything() == before
