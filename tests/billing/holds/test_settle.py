from __future__ import annotations

from uuid import uuid4

from billing.holds import (
    Denied,
    Granted,
    HoldsClient,
    LimitAsk,
    ScopeState,
    holds_read,
    limits_state,
    scopes_state,
    seed,
)
from billing.holds.scripts import DONE_S, keys_of
from billing.models import LimitKind
from tenants.valkey import client
from tests.billing.holds.conftest import ACME, ask, entries, everything

TOKENS = LimitAsk("o", LimitKind.TOKENS_MINUTE, 1000, 600)
STREAMS = LimitAsk("o", LimitKind.STREAMS, 3)
REQUESTS = LimitAsk("o", LimitKind.REQUESTS_MINUTE, 10)


def remaining(*limits: LimitAsk) -> list[int]:
    return [state.remaining for state in limits_state(ACME, limits)]


async def test_a_settle_books_the_actual_and_queues_the_record(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100, "b:1:20261101": 90})
    wanted = ask(60, scopes=("w", "b:1:20261101"))
    await holds.reserve(wanted)
    assert await holds.settle(wanted.hold, ACME, 25, 0, b"record")
    assert scopes_state(ACME) == {
        "w": ScopeState(100, unposted=25, held=0),
        "b:1:20261101": ScopeState(90, unposted=25, held=0),
    }
    [(_, entry)] = entries()
    assert entry == {
        b"r": b"record",
        b"n": b"25",
        b"s": b"w,b:1:20261101",
        b"h": wanted.hold.bytes,
        b"o": ACME.hex.encode(),
    }
    assert holds_read().open == 0


async def test_a_hold_ends_once(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    settled, voided = ask(10, STREAMS), ask(10, STREAMS)
    for wanted in (settled, voided):
        await holds.reserve(wanted)
    assert await holds.settle(settled.hold, ACME, 4, 0, b"record")
    assert await holds.void(voided.hold, ACME)
    before = everything()
    assert not await holds.settle(settled.hold, ACME, 4, 0, b"record")
    assert not await holds.void(settled.hold, ACME)
    assert not await holds.void(voided.hold, ACME)
    assert not await holds.settle(voided.hold, ACME, 4, 0, b"record")
    assert everything() == before


async def test_what_costs_nothing_settles_too(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    for amount in (0, 60):
        wanted = ask(amount, TOKENS)
        assert isinstance(await holds.reserve(wanted), Granted)
        assert await holds.settle(wanted.hold, ACME, 0, 0, b"record")
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=0, held=0)
    assert len(entries()) == 2


async def test_without_scopes_the_record_is_queued_all_the_same(holds: HoldsClient) -> None:
    wanted = ask(60, scopes=())
    await holds.reserve(wanted)
    assert holds_read().open == 1
    assert await holds.settle(wanted.hold, ACME, 25, 0, b"record")
    assert not await holds.settle(wanted.hold, ACME, 25, 0, b"record")
    assert len(entries()) == 1
    assert holds_read().open == 0


async def test_tokens_that_were_not_used_come_back(holds: HoldsClient) -> None:
    wanted = ask(0, TOKENS, REQUESTS, scopes=())
    await holds.reserve(wanted)
    assert remaining(TOKENS, REQUESTS) == [400, 9]
    await holds.settle(wanted.hold, ACME, 0, 250, b"record")
    assert remaining(TOKENS, REQUESTS) == [750, 9]


async def test_tokens_beyond_the_guess_are_waited_for(holds: HoldsClient) -> None:
    wanted = ask(0, TOKENS, scopes=())
    await holds.reserve(wanted)
    await holds.settle(wanted.hold, ACME, 0, 1600, b"record")
    assert remaining(TOKENS) == [0]
    refused = await holds.reserve(ask(0, TOKENS, scopes=()))
    assert isinstance(refused, Denied)
    assert refused.retry_after_s
    assert 70 < refused.retry_after_s <= 72  # 600 of a debt, and 600 more


async def test_a_voided_hold_gives_all_its_tokens_back(holds: HoldsClient) -> None:
    wanted = ask(0, TOKENS, REQUESTS, scopes=())
    await holds.reserve(wanted)
    await holds.void(wanted.hold, ACME)
    assert remaining(TOKENS, REQUESTS) == [1000, 9]


async def test_streams_count_the_holds_that_are_open(holds: HoldsClient) -> None:
    wanted = [ask(0, STREAMS, scopes=()) for _ in range(3)]
    for one in wanted:
        await holds.reserve(one)
        await holds.reserve(one)
    assert remaining(STREAMS) == [0]
    for _ in range(2):
        await holds.settle(wanted[0].hold, ACME, 0, 0, b"record")
        await holds.void(wanted[1].hold, ACME)
    assert remaining(STREAMS) == [2]


async def test_a_hold_that_valkey_lost_settles_with_the_scopes_of_the_caller(
    holds: HoldsClient,
) -> None:
    seed(ACME, 1, {"w": 100})
    assert await holds.settle(uuid4(), ACME, 25, 0, b"record", scopes=("w",))
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=25, held=0)


async def test_a_settle_before_the_seed_is_counted_by_the_seed(holds: HoldsClient) -> None:
    assert await holds.settle(uuid4(), ACME, 25, 0, b"record", scopes=("w",))
    assert scopes_state(ACME) == {}
    seed(ACME, 1, {"w": 100})
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=25, held=0)


async def test_the_end_of_a_hold_is_not_remembered_for_ever(holds: HoldsClient) -> None:
    hold = uuid4()
    await holds.void(hold, ACME)
    assert 0 < client().ttl(keys_of(ACME).done + hold.bytes) <= DONE_S
